package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-graphviz"
)

// layOut draws a graph with Graphviz.
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

// fromGraphviz returns the content of an SVG file of Graphviz, without titles, which browsers show as tooltips.
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
