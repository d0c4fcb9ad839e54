package main

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"
)

// The measures of the picture, in its units.
const (
	pictureWidth = 960
	margin       = 24
	heading      = 26
	lane         = 18
	betweenWays  = 14
)

const pictureStyle = `<style>
  .vault { fill: #ddf4ff; stroke: #54aeff; }
  .cluster { fill: #dafbe1; stroke: #4ac26b; }
  .workload { fill: #fff8c5; stroke: #d4a72c; }
  .mount { fill: #ffebe9; stroke: #ff8182; }
  .other { fill: #f6f8fa; stroke: #8c959f; }
  .forced { stroke: #1f2328; stroke-width: 2; }
  .h { fill: #1f2328; font-weight: 600; }
  .s { fill: #57606a; font-size: 12px; }
  .b { fill: #1f2328; font-size: 12px; }
  .g { stroke: #d0d7de; }
</style>`

// draw is a picture, in SVG, of when each way had which resource made, by component. What Azure forces has a dark edge.
func draw(ways []way, divisor int) []byte {
	var longest time.Duration
	for _, w := range ways {
		begin, end := w.bounds()
		longest = max(longest, end.Sub(begin))
	}
	x := func(d time.Duration) float64 {
		return margin + d.Seconds()/longest.Seconds()*(pictureWidth-2*margin)
	}
	var body bytes.Buffer
	y := 48
	for _, w := range ways {
		begin, end := w.bounds()
		fmt.Fprintf(&body, `<text class="h" x="%d" y="%d">%s: %.1f s</text>`+"\n", margin, y+14, html.EscapeString(w.name), end.Sub(begin).Seconds())
		lanes := w.lanes()
		for _, name := range w.inOrder() {
			s := w.spans[name]
			at, width, top := x(s.begin.Sub(begin)), max(x(s.took())-margin, 1.5), y+heading+lanes[name]*lane
			class := component(name)
			if slices.Contains(forced, name) {
				class += " forced"
			}
			fmt.Fprintf(&body, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"><title>%s %.2f s</title></rect>`+"\n",
				class, at, top, width, lane-4, html.EscapeString(name), s.took().Seconds())
			if width > float64(8*len(name)) {
				fmt.Fprintf(&body, `<text class="b" x="%.1f" y="%d">%s</text>`+"\n", at+6, top+lane-7, html.EscapeString(name))
			}
		}
		y += heading + (slices.Max(slices.Collect(maps.Values(lanes)))+1)*lane + betweenWays
	}
	every := max(time.Second, (longest / 8).Round(time.Second))
	for d := time.Duration(0); d <= longest; d += every {
		fmt.Fprintf(&body, `<path class="g" d="M%.1f %dv6"/><text class="s" x="%.1f" y="%d" text-anchor="middle">%g s</text>`+"\n", x(d), y, x(d), y+20, d.Seconds())
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="14">
<title>From the resource group to the pod, at 1/%d of Azure's times</title>
%s
<rect width="%[1]d" height="%[2]d" rx="8" fill="#ffffff"/>
`, pictureWidth, y+34, divisor, pictureStyle)
	at := margin
	for _, name := range []string{"vault", "cluster", "workload", "mount", "other"} {
		fmt.Fprintf(&out, `<rect class="%s" x="%d" y="18" width="14" height="14" rx="2"/><text class="s" x="%d" y="30">%s</text>`+"\n", name, at, at+20, name)
		at += 100
	}
	fmt.Fprintf(&out, `<rect class="forced" x="%d" y="18" width="14" height="14" rx="2" fill="none"/><text class="s" x="%d" y="30">the chain that Azure forces; 1/%d of its times</text>`+"\n",
		at, at+20, divisor)
	out.Write(body.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// component is the one that a resource of the dev stack is of: its name begins with it.
func component(resource string) string {
	of, _, _ := strings.Cut(resource, "-")
	if slices.Contains([]string{"vault", "cluster", "workload", "mount"}, of) {
		return of
	}
	return "other"
}

// bounds are from the beginning of the chain to its end; what the engine does before and after is left out.
func (w way) bounds() (begin, end time.Time) {
	return w.spans[forced[0]].begin, w.spans[forced[len(forced)-1]].end
}

// inOrder are the resources that were made within the bounds, by their beginning.
func (w way) inOrder() []string {
	begin, end := w.bounds()
	names := slices.Sorted(maps.Keys(w.spans))
	names = slices.DeleteFunc(names, func(name string) bool {
		s := w.spans[name]
		return s.begin.Before(begin) || s.end.After(end)
	})
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(w.spans[a].begin.UnixNano(), w.spans[b].begin.UnixNano()) })
	return names
}

// lanes places the resources so that no two overlap.
func (w way) lanes() map[string]int {
	lanes := map[string]int{}
	var free []time.Time
	for _, name := range w.inOrder() {
		s := w.spans[name]
		i := slices.IndexFunc(free, func(t time.Time) bool { return !s.begin.Before(t) })
		if i < 0 {
			i, free = len(free), append(free, s.end)
		}
		free[i], lanes[name] = s.end, i
	}
	return lanes
}
