package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-graphviz"
)

// resource is one of a graph's source, which the tests of the whole write from a stack's state.
type resource struct {
	Key   string   `json:"key"`
	Type  string   `json:"type"`
	In    string   `json:"in,omitempty"`
	Needs []string `json:"needs,omitempty"`
}

func (r resource) component() bool { return strings.HasPrefix(r.Type, "keyvaultaks:index:") }

// name returns the resource's logical name.
func (r resource) name() string {
	_, name, _ := strings.Cut(r.Key, " ")
	return name
}

// kind returns the type without its package.
func (r resource) kind() string { return r.Type[strings.LastIndexByte(r.Type, ':')+1:] }

// box is what a graph shows as one: a resource, or several of a type that need the same and are needed by the same.
type box struct {
	resource
	names []string // without the component's
	count int
}

// wide is from what width on a graph is drawn from top to bottom, if that is less wide. A page of GitHub has 1,012.
const wide = 1100

// drawGraph draws a graph from its source, from left to right.
func drawGraph(ctx context.Context, title string, source []byte) ([]byte, error) {
	var resources []resource
	decoder := json.NewDecoder(bytes.NewReader(source))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&resources); err != nil {
		return nil, err
	}
	drawn, err := layOut(ctx, graphviz.DOT, dot(resources, "LR"))
	if err == nil && drawn.width > wide {
		var down drawing
		if down, err = layOut(ctx, graphviz.DOT, dot(resources, "TB")); down.width < drawn.width {
			drawn = down
		}
	}
	if err != nil {
		return nil, err
	}
	return drawn.framed(title, legendOf(resources)), nil
}

// legendOf explains the colours that a graph has.
func legendOf(resources []resource) (legend []swatch) {
	for _, l := range []struct {
		swatch
		of func(resource) bool
	}{
		{swatch{ours, "component of this repository"}, resource.component},
		{swatch{azure, "Azure"}, func(r resource) bool { return strings.HasPrefix(r.Type, "azure-native:") }},
		{swatch{kubernetes, "Kubernetes"}, func(r resource) bool { return strings.HasPrefix(r.Type, "kubernetes:") }},
		{swatch{other, "random value in the state"}, func(r resource) bool { return colourOf(r.Type) == other }},
	} {
		if slices.ContainsFunc(resources, l.of) {
			legend = append(legend, l.swatch)
		}
	}
	return append(legend, swatch{text: "an arrow leads to what needs the resource"})
}

func colourOf(kind string) colour {
	switch pack, _, _ := strings.Cut(kind, ":"); pack {
	case "azure-native":
		return azure
	case "kubernetes":
		return kubernetes
	case "keyvaultaks":
		return ours
	default:
		return other
	}
}

// dot returns the graph in Graphviz's language: a cluster for each component, and arrows from what is needed to what
// needs it, without those that follow from others.
func dot(resources []resource, direction string) []byte {
	boxes, arrows := simplify(resources)
	arrows = toFrames(boxes, arrows)
	byKey := map[string]box{}
	for _, b := range boxes {
		byKey[b.Key] = b
	}
	first, last := outer(boxes, arrows, 1), outer(boxes, arrows, 0)
	var out bytes.Buffer
	fmt.Fprintf(&out, `digraph {
graph [rankdir=%[1]s, ranksep=0.3, nodesep=0.2, bgcolor=transparent, pad=0, margin=0, fontname=%[2]q]
graph [compound=true, newrank=true, labeljust=l]
node [shape=box, style="filled,rounded", margin="0.08,0.03", height=0.3, fontname=%[2]q]
edge [color=%[3]q, arrowsize=0.6, penwidth=1]
`, direction, font, line)
	var within func(in string)
	within = func(in string) {
		for _, b := range boxes {
			if b.In != in {
				continue
			}
			c := colourOf(b.Type)
			if !b.component() {
				fmt.Fprintf(&out, "%q [label=<%s>, fillcolor=%q, color=%q]\n", b.Key, b.label(), c.fill, c.stroke)
				continue
			}
			title := htmlTable(cell(b.title(), 11, true) + cell(strings.Join(b.names, ", "), 10, false))
			fmt.Fprintf(&out, "subgraph %q {\nlabel=<%s>; style=\"filled,rounded\"; fillcolor=%q; color=%q; margin=10\n",
				cluster(b.Key), title, c.fill, c.stroke)
			within(b.Key)
			out.WriteString("}\n")
		}
	}
	within("")
	for _, a := range arrows {
		// Graphviz has no arrows between clusters: they go from and to boxes inside, and are cut at the frames. Others that
		// are not seen keep all boxes of the one before those of the other.
		from, to, cut := []string{a[0]}, []string{a[1]}, ""
		if byKey[a[0]].component() {
			from, cut = last[a[0]], fmt.Sprintf("ltail=%q ", cluster(a[0]))
		}
		if byKey[a[1]].component() {
			to, cut = first[a[1]], cut+fmt.Sprintf("lhead=%q", cluster(a[1]))
		}
		for i, f := range from {
			for j, t := range to {
				how := "style=invis"
				if i == len(from)/2 && j == len(to)/2 {
					how = cut
				}
				fmt.Fprintf(&out, "%q -> %q [%s]\n", f, t, how)
			}
		}
	}
	out.WriteString("}\n")
	return out.Bytes()
}

// cluster returns the name of a component's frame, which Graphviz knows by its beginning.
func cluster(key string) string { return "cluster " + key }

func (b box) title() string {
	if b.count > 1 {
		return fmt.Sprintf("%s × %d", b.kind(), b.count)
	}
	return b.kind()
}

// label returns the box's text: the type, and the names without the component's.
func (b box) label() string {
	rows := []string{cell(b.title(), 11, true)}
	for i, name := range b.names {
		if i == maxNames-1 && len(b.names) > maxNames {
			rows = append(rows, cell(fmt.Sprintf("and %d more", len(b.names)-i), 10, false))
			break
		}
		rows = append(rows, cell(name, 10, false))
	}
	return htmlTable(rows...)
}

// htmlTable returns rows of cells in Graphviz's HTML.
func htmlTable(rows ...string) string {
	return `<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"><TR>` + strings.Join(rows, "</TR><TR>") +
		"</TR></TABLE>"
}

// cell returns a cell, at least as wide as its text in any browser's font.
func cell(text string, size float64, bold bool) string {
	width, escaped, shade := textWidth(text, size, bold), html.EscapeString(text), faint
	if bold {
		escaped, shade = "<B>"+escaped+"</B>", ink
	}
	return fmt.Sprintf(`<TD ALIGN="LEFT" WIDTH="%g"><FONT POINT-SIZE="%g" COLOR=%q>%s</FONT></TD>`,
		width, size, shade, escaped)
}

// maxNames is how many names a box lists.
const maxNames = 6

// reduce returns what each resource needs that does not follow from what else it needs. A need of a component is one of
// all that is in it.
func reduce(resources []resource) map[string][]string {
	in, inside := map[string]string{}, map[string][]string{}
	for _, r := range resources {
		in[r.Key] = r.In
	}
	for _, r := range resources {
		for component := r.In; component != "" && !r.component(); component = in[component] {
			inside[component] = append(inside[component], r.Key)
		}
	}
	needs := map[string][]string{}
	for _, r := range resources {
		if r.component() {
			continue
		}
		for _, need := range r.Needs {
			if parts, component := inside[need]; component {
				needs[r.Key] = append(needs[r.Key], parts...)
			} else {
				needs[r.Key] = append(needs[r.Key], need)
			}
		}
		slices.Sort(needs[r.Key])
		needs[r.Key] = slices.Compact(needs[r.Key])
	}
	all := map[string]map[string]bool{}
	var reach func(key string) map[string]bool
	reach = func(key string) map[string]bool {
		if all[key] == nil {
			all[key] = map[string]bool{}
			for _, need := range needs[key] {
				all[key][need] = true
				for further := range reach(need) {
					all[key][further] = true
				}
			}
		}
		return all[key]
	}
	reduced := map[string][]string{}
	for key, of := range needs {
		for _, need := range of {
			if need != key && !slices.ContainsFunc(of, func(o string) bool { return o != need && reach(o)[need] }) {
				reduced[key] = append(reduced[key], need)
			}
		}
	}
	return reduced
}

// fromFrames replaces needs of all that a component makes last with one need of the component, and so several arrows
// with one from its frame.
func fromFrames(resources []resource, needs map[string][]string) {
	for _, c := range resources {
		var inside, last []string
		for _, r := range resources {
			if r.In == c.Key && !r.component() {
				inside = append(inside, r.Key)
			}
		}
		for _, key := range inside {
			if !slices.ContainsFunc(inside, func(by string) bool { return slices.Contains(needs[by], key) }) {
				last = append(last, key)
			}
		}
		if len(last) < 2 {
			continue
		}
		for key, of := range needs {
			lacks := func(need string) bool { return !slices.Contains(of, need) }
			if slices.Contains(inside, key) || slices.ContainsFunc(last, lacks) {
				continue
			}
			of = slices.DeleteFunc(of, func(need string) bool { return slices.Contains(inside, need) })
			needs[key] = append(of, c.Key)
			slices.Sort(needs[key])
		}
	}
}

// outer returns, by component, the boxes in it that no arrow of the same component leads to (end 1), or leaves (end 0).
func outer(boxes []box, arrows [][2]string, end int) map[string][]string {
	in := map[string]string{}
	for _, b := range boxes {
		in[b.Key] = b.In
	}
	found := map[string][]string{}
	for _, b := range boxes {
		inner := func(a [2]string) bool { return a[end] == b.Key && in[a[1-end]] == b.In }
		if !b.component() && !slices.ContainsFunc(arrows, inner) {
			found[b.In] = append(found[b.In], b.Key)
		}
	}
	return found
}

// toFrames replaces arrows to all that a component begins with by one to the component.
func toFrames(boxes []box, arrows [][2]string) [][2]string {
	for component, first := range outer(boxes, arrows, 1) {
		if component == "" || len(first) < 2 {
			continue
		}
		from := map[string]int{}
		for _, a := range arrows {
			if slices.Contains(first, a[1]) {
				from[a[0]]++
			}
		}
		for source, n := range from {
			if n < len(first) {
				continue
			}
			arrows = slices.DeleteFunc(arrows, func(a [2]string) bool {
				return a[0] == source && slices.Contains(first, a[1])
			})
			arrows = append(arrows, [2]string{source, component})
		}
	}
	slices.SortFunc(arrows, byEnds)
	return arrows
}

func byEnds(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }

// simplify returns what a graph shows, and arrows between it: one box for resources of a component that need the same
// and are needed by the same, and one frame for components that are alike in what is in them and around them.
func simplify(resources []resource) (boxes []box, arrows [][2]string) {
	needs := reduce(resources)
	fromFrames(resources, needs)
	byKey := map[string]resource{}
	for _, r := range resources {
		byKey[r.Key] = r
	}
	for _, r := range resources {
		r.Needs = needs[r.Key]
		boxes = append(boxes, box{r, []string{strings.TrimPrefix(r.name(), byKey[r.In].name()+"-")}, 1})
	}
	neededBy := neededBy(boxes)
	boxes = join(boxes, func(b box) string {
		if b.component() {
			return b.Key
		}
		return fmt.Sprintf("%q", [][]string{{b.In, b.Type}, b.Needs, neededBy[b.Key]})
	})
	colours := refine(boxes)
	boxes = join(boxes, func(b box) string { return colours[b.Key] })
	for _, b := range boxes {
		for _, need := range b.Needs {
			arrows = append(arrows, [2]string{need, b.Key})
		}
	}
	slices.SortFunc(arrows, byEnds)
	return boxes, arrows
}

func neededBy(boxes []box) map[string][]string {
	by := map[string][]string{}
	for _, b := range boxes {
		for _, need := range b.Needs {
			by[need] = append(by[need], b.Key)
		}
	}
	return by
}

// join makes one box of those that are the same.
func join(boxes []box, same func(box) string) (joined []box) {
	first, at := map[string]string{}, map[string]int{}
	for _, b := range boxes {
		key := same(b)
		i, seen := at[key]
		if !seen {
			i, at[key] = len(joined), len(joined)
			joined = append(joined, box{resource: b.resource})
		}
		first[b.Key] = joined[i].Key
		joined[i].count += b.count
		for _, name := range b.names {
			if !slices.Contains(joined[i].names, name) {
				joined[i].names = append(joined[i].names, name)
			}
		}
	}
	for i, b := range joined {
		joined[i].In = first[b.In]
		joined[i].Needs = nil
		for _, need := range b.Needs {
			joined[i].Needs = append(joined[i].Needs, first[need])
		}
		slices.Sort(joined[i].Needs)
		joined[i].Needs = slices.Compact(joined[i].Needs)
	}
	return joined
}

// refine tells boxes apart by their types, and by the boxes around and inside them, until that tells no more apart.
func refine(boxes []box) map[string]string {
	colours, by, inside := map[string]string{}, neededBy(boxes), map[string][]string{}
	for _, b := range boxes {
		colours[b.Key] = b.Type
		inside[b.In] = append(inside[b.In], b.Key)
	}
	of := func(keys []string) []string {
		found := []string{}
		for _, key := range keys {
			found = append(found, colours[key])
		}
		slices.Sort(found)
		return found
	}
	for different := 0; ; {
		next, seen := map[string]string{}, map[string]bool{}
		for _, b := range boxes {
			sum := sha256.Sum256(fmt.Appendf(nil, "%q", [][]string{
				{colours[b.Key], colours[b.In]}, of(b.Needs), of(by[b.Key]), of(inside[b.Key]),
			}))
			next[b.Key] = hex.EncodeToString(sum[:])
			seen[next[b.Key]] = true
		}
		colours = next
		if len(seen) == different {
			return colours
		}
		different = len(seen)
	}
}

// layOut has Graphviz place and draw a graph.
func layOut(ctx context.Context, how graphviz.Layout, source []byte) (drawing, error) {
	g, err := graphviz.New(ctx)
	if err != nil {
		return drawing{}, err
	}
	defer g.Close()
	g.SetLayout(how)
	graph, err := graphviz.ParseBytes(source)
	if err != nil {
		return drawing{}, err
	}
	defer graph.Close()
	var out bytes.Buffer
	if err := g.Render(ctx, graph, graphviz.SVG, &out); err != nil {
		return drawing{}, err
	}
	return fromGraphviz(out.String())
}

var (
	viewBox  = regexp.MustCompile(`viewBox="0\.00 0\.00 ([0-9.]+) ([0-9.]+)"`)
	comments = regexp.MustCompile(`(?s)<!--.*?-->\n?`)
	titles   = regexp.MustCompile(`<title>[^<]*</title>\n?`)
	ids      = regexp.MustCompile(` id="[^"]*"`)
	families = regexp.MustCompile(` font-family="[^"]*"`)
)

// fromGraphviz takes from Graphviz's file what it draws, without what a viewer shows as tooltips.
func fromGraphviz(svg string) (d drawing, err error) {
	size := viewBox.FindStringSubmatch(svg)
	start, end := strings.Index(svg, "<g "), strings.LastIndex(svg, "</svg>")
	if size == nil || start < 0 || end < start {
		return drawing{}, fmt.Errorf("unexpected SVG of Graphviz: %.200s", svg)
	}
	if _, err := fmt.Sscan(size[1]+" "+size[2], &d.width, &d.height); err != nil {
		return drawing{}, err
	}
	d.content = svg[start:end]
	for _, unused := range []*regexp.Regexp{comments, titles, ids, families} {
		d.content = unused.ReplaceAllString(d.content, "")
	}
	return d, nil
}
