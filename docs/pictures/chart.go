package main

import (
	"fmt"
	"html"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-analyze/charts"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// chart says which numbers of a table to draw as bars. Each row is a group of bars.
type chart struct {
	name, title string
	section     string   // the heading above the table
	table       int      // which one below it, from 0
	label       []int    // columns that name a row; defaults to the first
	values      []int    // columns of which each is a series, named by its header
	ours        int      // the column in values that stands out
	rows        []string // ends of the labels of the rows to draw; defaults to all but a last one that sums up
}

// benchmarks are the charts of docs/benchmarks.md.
var benchmarks = []chart{
	{
		name: "makespan", title: "From the resource group to a pod with its secret, at 1/10 of Azure's times",
		section: "Makespan", table: 1, values: []int{1, 2}, ours: 1,
	},
	{name: "start", title: "Steps of a warm make up", section: "Start", values: []int{1, 2}, ours: 2},
	{
		name: "cold", title: "What the first make up builds, in seconds of one processor", section: "Cold",
		values: []int{1, 3}, ours: 3,
	},
	{
		name: "scale", title: "Previews and updates of 10, 100 and 1,000 workloads", section: "Scale", label: []int{0, 1},
		values: []int{2, 3}, ours: 2,
	},
	{
		name: "languages", title: "100 workloads from Go, YAML and TypeScript", section: "Languages", label: []int{0, 1},
		values: []int{2, 3, 5}, ours: 2, rows: []string{"wall", "processor"},
	},
	{
		name: "peers", title: "OpenTofu and the components, at 1/100 of Azure's times", section: "Peers", values: []int{1, 2},
		ours: 2,
	},
}

// table is a table of a Markdown page. Its first row is the header.
type table [][]string

// tablesOf returns the tables of a page, by the heading above them.
func tablesOf(page []byte) map[string][]table {
	tables, section := map[string][]table{}, ""
	document := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(page))
	for node := document.FirstChild(); node != nil; node = node.NextSibling() {
		switch node := node.(type) {
		case *ast.Heading:
			section = textOf(node, page)
		case *extast.Table:
			var t table
			for row := node.FirstChild(); row != nil; row = row.NextSibling() {
				var cells []string
				for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
					cells = append(cells, textOf(cell, page))
				}
				t = append(t, cells)
			}
			tables[section] = append(tables[section], t)
		}
	}
	return tables
}

func textOf(node ast.Node, page []byte) string {
	var out strings.Builder
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			out.Write(t.Segment.Value(page))
		}
		return ast.WalkContinue, nil
	})
	return out.String()
}

// seconds matches a number of seconds, with or without its unit.
var seconds = regexp.MustCompile(`^([0-9][0-9,]*(?:\.[0-9]+)?)(?: s)?$`)

// drawChart draws a chart from the tables of a page.
func drawChart(c chart, page []byte) ([]byte, error) {
	tables := tablesOf(page)[c.section]
	if c.table >= len(tables) {
		return nil, fmt.Errorf("chart %s: %d tables are below the heading %q of docs/benchmarks.md, want at least %d", c.name,
			len(tables), c.section, c.table+1)
	}
	t := tables[c.table]
	rows, err := c.read(t)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", c.name, err)
	}
	var legend []swatch
	others := slices.Clone(comparisons)
	for _, column := range c.values {
		of := highlight
		if column != c.ours {
			of, others = others[0], others[1:]
		}
		legend = append(legend, swatch{of, t[0][column]})
	}
	d, err := bars(rows, legend)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", c.name, err)
	}
	return d.framed(c.title, append(legend, swatch{text: "seconds"})), nil
}

// barRow is a row of a chart: its label, and its numbers as values and as the table writes them.
type barRow struct {
	label  string
	values []float64
	cells  []string
}

// read returns the rows to draw. It skips rows without numbers of seconds.
func (c chart) read(t table) (rows []barRow, err error) {
	for i, cells := range t[1:] {
		row := barRow{label: cells[0]}
		for _, column := range c.label[min(1, len(c.label)):] {
			row.label += " " + cells[column]
		}
		wanted := len(c.rows) == 0 && (i != len(t)-2 || row.label != "together")
		for _, end := range c.rows {
			wanted = wanted || strings.HasSuffix(row.label, " "+end)
		}
		for _, column := range c.values {
			found := seconds.FindStringSubmatch(cells[column])
			if found == nil { // such as memory
				wanted = false
				break
			}
			value, err := strconv.ParseFloat(strings.ReplaceAll(found[1], ",", ""), 64)
			if err != nil {
				return nil, err
			}
			row.values, row.cells = append(row.values, value), append(row.cells, found[1])
		}
		if wanted {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no row of the table below %q has numbers of seconds", c.section)
	}
	return rows, nil
}

// highlight is the colour of the series that stands out. The others have those of comparisons, in order.
var (
	highlight   = colour{"#218bff", "#218bff"}
	comparisons = []colour{{"#afb8c1", "#afb8c1"}, {"#d4a72c", "#d4a72c"}}
)

// bars draws horizontal bars, the first row on top.
func bars(rows []barRow, names []swatch) (drawing, error) {
	const width, lineLength = 840, 36
	height := 30 + len(rows)*(len(names)*16+12)
	theme := charts.ThemeOption{
		TextColor: charts.ParseColor(ink), AxisStrokeColor: charts.ParseColor(edge),
		AxisSplitLineColor: charts.ParseColor(edge), BackgroundColor: charts.ColorTransparent,
	}
	values, longest := make([][]float64, len(names)), 0.0
	var labels []string // the longest line of each
	for _, row := range rows {
		lines := wrap(row.label, lineLength)
		labels = append(labels, slices.MaxFunc(lines, func(a, b string) int { return len(a) - len(b) }))
		for i, value := range row.values {
			values[i] = append(values[i], value)
			longest = max(longest, value)
		}
	}
	fromBelow := slices.Clone(labels) // as the library has them
	slices.Reverse(fromBelow)
	for i := range values {
		slices.Reverse(values[i])
	}
	options := charts.NewBarChartOptionWithData(values)
	for i, name := range names {
		theme.SeriesColors = append(theme.SeriesColors, charts.ParseColor(name.fill))
		options.SeriesList[i].Label.Show = charts.Ptr(true)
		cells := map[float64]string{} // as the table has them
		for _, row := range rows {
			cells[row.values[i]] = row.cells[i]
		}
		options.SeriesList[i].Label.ValueFormatter = func(value float64) string { return cells[value] }
	}
	options.Theme = charts.MakeTheme(theme)
	options.Horizontal = true
	options.Padding = charts.NewBoxEqual(0)
	options.Legend.Show = charts.Ptr(false)
	options.CategoryAxis.Labels = fromBelow
	step := axisStep(longest / 5)
	steps := math.Ceil(longest * 1.06 / step)
	options.ValueAxis[0].Min, options.ValueAxis[0].Max = charts.Ptr(0.0), charts.Ptr(step*steps)
	options.ValueAxis[0].LabelCount = int(steps) + 1
	options.ValueAxis[0].ValueFormatter = func(value float64) string { return strconv.FormatFloat(value, 'g', 6, 64) }
	painter := charts.NewPainter(charts.PainterOptions{
		OutputFormat: charts.ChartOutputSVG, Width: width, Height: height, Theme: options.Theme,
	})
	if err := painter.BarChart(options); err != nil {
		return drawing{}, err
	}
	svg, err := painter.Bytes()
	if err != nil {
		return drawing{}, err
	}
	axis := axisLine.FindSubmatch(svg)
	start, end := strings.IndexByte(string(svg), '>')+1, strings.LastIndex(string(svg), "</svg>")
	if axis == nil || end < start {
		return drawing{}, fmt.Errorf("unexpected SVG of the chart: %.300s", svg)
	}
	content := string(svg[start:end])
	next := 0
	content = texts.ReplaceAllStringFunc(content, func(found string) string {
		part := texts.FindStringSubmatch(found)
		x, y, said := part[1], part[2], part[3]
		if next == len(labels) || html.UnescapeString(said) != labels[next] {
			return fmt.Sprintf(`<text x="%s" y="%s" font-size="12" fill="%s">%s</text>`, x, y, ink, said)
		}
		lines := wrap(rows[next].label, lineLength)
		next++
		return label(string(axis[1]), y, lines)
	})
	if next < len(labels) {
		return drawing{}, fmt.Errorf("the chart lacks the label %q", labels[next])
	}
	return drawing{width, float64(height), content + "\n"}, nil
}

var (
	axisLine = regexp.MustCompile(`M ([0-9]+) 0\s+L ([0-9]+) [0-9]+"`)
	texts    = regexp.MustCompile(`<text x="(-?[0-9]+)" y="(-?[0-9]+)" style="[^"]*">([^<]*)</text>`)
)

// axisStep returns the first of 1, 2, 5, 10, 20, ... that is not less.
func axisStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, step := range []float64{1, 2, 5} {
		if step*power >= least {
			return step * power
		}
	}
	return 10 * power
}

// label returns the lines of a row's label. They end at the axis, whatever the font.
func label(axis, y string, lines []string) string {
	x, _ := strconv.Atoi(axis)
	middle, _ := strconv.Atoi(y)
	var out strings.Builder
	for i, line := range lines {
		fmt.Fprintf(&out, `<text x="%d" y="%d" font-size="12" fill="%s" text-anchor="end">%s</text>`, x-8,
			middle-2-7*(len(lines)-1)+14*i, ink, html.EscapeString(line))
	}
	return out.String()
}

// wrap breaks a text into lines of about the same length.
func wrap(text string, length int) (lines []string) {
	number := (len(text) + length - 1) / length
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last < 0 || len(lines[last])+len(word)/2 >= len(text)/number && len(lines) < number {
			lines = append(lines, word)
			continue
		}
		lines[last] += " " + word
	}
	return lines
}
