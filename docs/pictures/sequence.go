package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"strings"

	"github.com/goccy/go-graphviz"
)

// step is an element of a sequence's source: a request, or an answer. An end-to-end test writes the source.
type step struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Asks    string `json:"asks,omitempty"`
	Answer  string `json:"answer,omitempty"`
	Because string `json:"because,omitempty"`
}

// lifelines are the participants, from left to right.
var lifelines = []struct {
	name string
	colour
}{
	{"API server", kubernetes}, {"kubelet", kubernetes}, {"CSI driver", kubernetes}, {"Azure provider", kubernetes},
	{"Key Vault", azure}, {"Entra ID", azure}, {"OIDC issuer", azure},
}

// Distances in a sequence.
const (
	column = 150
	row    = 38
)

// drawSequence draws who asks whom, from top to bottom, and why it was allowed.
func drawSequence(ctx context.Context, title string, source []byte) ([]byte, error) {
	var steps []step
	decoder := json.NewDecoder(bytes.NewReader(source))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&steps); err != nil {
		return nil, err
	}
	graph, err := placed(steps)
	if err != nil {
		return nil, err
	}
	drawn, err := layOut(ctx, graphviz.NOP, graph)
	if err != nil {
		return nil, err
	}
	return drawn.framed(title, []swatch{
		{kubernetes, "in the cluster"}, {azure, "Azure"},
		{text: "below an arrow: the answer, who asked, and what allowed it"},
	}), nil
}

// placed returns a graph in Graphviz's language, with a position for everything.
func placed(steps []step) ([]byte, error) {
	x := func(name string) (float64, error) {
		for i, l := range lifelines {
			if l.name == name {
				return float64(i) * column, nil
			}
		}
		return 0, fmt.Errorf("%q takes part in the sequence, and has no lifeline", name)
	}
	bottom := -float64(len(steps)+1) * row
	var out bytes.Buffer
	fmt.Fprintf(&out, "digraph {\n"+
		"graph [splines=line, bgcolor=transparent, pad=0, margin=0, fontname=%[1]q, outputorder=edgesfirst]\n"+
		"node [fontname=%[1]q, fontsize=11]\nedge [color=%[2]q, arrowsize=0.7]\n", font, line)
	points := 0
	arrow := func(fromX, fromY, toX, toY float64, how string) {
		for i, at := range [][2]float64{{fromX, fromY}, {toX, toY}} {
			fmt.Fprintf(&out, "p%d [shape=point, style=invis, width=0.01, pos=\"%g,%g\"]\n", points+i, at[0], at[1])
		}
		fmt.Fprintf(&out, "p%d -> p%d [%s]\n", points, points+1, how)
		points += 2
	}
	text := 0
	say := func(said, shade string, size, left, y float64) {
		width := textWidth(said, size, false) + 6
		label := fmt.Sprintf(`<TABLE BORDER="0" CELLPADDING="0" CELLSPACING="0"><TR><TD ALIGN="LEFT" WIDTH="%g">`+
			`<FONT POINT-SIZE="%g" COLOR=%q>%s</FONT></TD></TR></TABLE>`, width-2, size, shade, html.EscapeString(said))
		fmt.Fprintf(&out, "t%d [%s, color=%q, fillcolor=%q, width=%g, pos=\"%g,%g\", label=<%s>]\n", text,
			"shape=box, style=filled, margin=0, height=0.1, fixedsize=true", paper, paper, width/72, left+width/2, y, label)
		text++
	}
	for i, l := range lifelines {
		at := float64(i) * column
		fmt.Fprintf(&out, "l%d [shape=box, style=\"filled,rounded\", fillcolor=%q, color=%q, width=1.7, height=0.36, "+
			"label=%q, fontname=\"%s-Bold\", fontcolor=%q, pos=\"%g,0\"]\n", i, l.fill, l.stroke, l.name, font, ink, at)
		arrow(at, -13, at, bottom, fmt.Sprintf("arrowhead=none, color=%q", edge))
	}
	for i, s := range steps {
		y := -float64(i+1) * row
		from, err := x(s.From)
		if err != nil {
			return nil, err
		}
		to, err := x(s.To)
		if err != nil {
			return nil, err
		}
		answer, shade := s.Answer, "#1a7f37"
		if s.Because != "" {
			answer += ", " + s.Because
		}
		if strings.HasPrefix(s.Answer, "4") || strings.HasPrefix(s.Answer, "5") {
			shade = "#9a6700"
		}
		left := min(from, to) + 5
		if s.Asks == "" {
			arrow(from, y, to, y, "style=dashed")
			say(answer, shade, 10, left, y+9)
			continue
		}
		arrow(from, y, to, y, "")
		say(s.Asks, ink, 11, left, y+9)
		if answer != "" {
			say(answer, shade, 10, left, y-9)
		}
	}
	out.WriteString("}\n")
	return out.Bytes(), nil
}
