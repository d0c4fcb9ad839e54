package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/goccy/go-graphviz"
)

// resource is an element of a graph's source. End-to-end tests write the sources from the states of stacks.
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

// box is one box of a graph, or one frame. It stands for a resource, or for several that are alike.
type box struct {
	resource
	names []string // without the component's
	count int
}

// wide is the width above which a graph is drawn from top to bottom, if that makes it narrower. GitHub shows 1,012.
const wide = 1100

// drawGraph draws a graph from its source.
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

// legendOf returns the meaning of each colour in the graph.
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
		// Graphviz has no arrows between clusters. An arrow between boxes inside is cut at the frames, and invisible
		// arrows keep all other boxes of the first cluster before those of the second.
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

// cluster returns the name of a component's subgraph. Graphviz frames those whose names begin with "cluster".
func cluster(key string) string { return "cluster " + key }

func (b box) title() string {
	if b.count > 1 {
		return fmt.Sprintf("%s × %d", b.kind(), b.count)
	}
	return b.kind()
}

// label returns the text of the box: the type, and below it the names.
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

// cell returns a cell that is wide enough for its text in the font of any browser.
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
