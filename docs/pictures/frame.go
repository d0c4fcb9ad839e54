package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
	"unicode"
)

// Colours of GitHub's light theme. Each picture has its own background, so it looks the same in the dark theme.
const (
	ink   = "#1f2328"
	faint = "#57606a"
	line  = "#6e7781"
	paper = "#ffffff"
	edge  = "#d0d7de"
)

type colour struct{ fill, stroke string }

var (
	ours       = colour{"#f0fbf3", "#4ac26b"}
	azure      = colour{"#ddf4ff", "#54aeff"}
	kubernetes = colour{"#fbefff", "#c297ff"}
	other      = colour{"#fff8c5", "#d4a72c"}
)

// Graphviz places text by the widths of font. Browsers draw it in family.
const (
	font   = "Helvetica"
	family = "Helvetica, Arial, sans-serif"
)

// drawing is the content of an SVG file, with its origin at 0, 0.
type drawing struct {
	width, height float64
	content       string
}

// swatch is an entry of a legend: a colour and its meaning, or a text alone.
type swatch struct {
	colour
	text string
}

// framed returns an SVG file: the drawing on a background, with a title above it and a legend below.
func (d drawing) framed(title string, legend []swatch) []byte {
	const margin, head, foot = 20, 44, 44
	wide := 0.0
	for _, s := range legend {
		wide += s.width()
	}
	width := math.Ceil(max(d.width, wide, textWidth(title, 16, true)) + 2*margin)
	height := math.Ceil(d.height + head + margin)
	if len(legend) > 0 {
		height += foot - margin
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]g" height="%[2]g" viewBox="0 0 %[1]g %[2]g"
 font-family="%[3]s" role="img">
<title>%[4]s</title>
`, width, height, family, html.EscapeString(title))
	fmt.Fprintf(&out, `<rect x="0.5" y="0.5" width="%g" height="%g" rx="8" fill="%s" stroke="%s"/>`+"\n",
		width-1, height-1, paper, edge)
	say := func(x, y, size float64, weight, shade, text string) {
		fmt.Fprintf(&out, `<text x="%g" y="%g" font-size="%g" font-weight="%s" fill="%s">%s</text>`+"\n",
			x, y, size, weight, shade, html.EscapeString(text))
	}
	say(margin, 28, 16, "600", ink, title)
	fmt.Fprintf(&out, "<g transform=\"translate(%g %d)\">\n%s</g>\n", math.Floor((width-d.width)/2), head, d.content)
	x, y := float64(margin), height-foot/2
	for _, s := range legend {
		left := x
		if s.fill != "" {
			fmt.Fprintf(&out, `<rect x="%g" y="%g" width="14" height="14" rx="3" fill="%s" stroke="%s"/>`+"\n",
				x, y-7, s.fill, s.stroke)
			left += 20
		}
		say(left, y+4, 12, "400", faint, s.text)
		x += s.width()
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func (s swatch) width() float64 {
	if s.fill == "" {
		return textWidth(s.text, 12, false) + 24
	}
	return textWidth(s.text, 12, false) + 44
}

// textWidth estimates the width of a text in DejaVu Sans, the widest font that browsers choose for the family.
func textWidth(text string, size float64, bold bool) float64 {
	width := 0.0
	for _, r := range text {
		switch {
		case strings.ContainsRune("ijltfrI.,:;-()/ '", r):
			width += 0.37
		case strings.ContainsRune("mwMW%", r):
			width += 0.92
		case r >= 'A' && r <= 'Z', r > unicode.MaxASCII:
			width += 0.72
		default:
			width += 0.6
		}
	}
	if bold {
		width = width*1.17 + 0.3
	}
	return math.Ceil(width * size)
}
