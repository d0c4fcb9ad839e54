package dashboard

import (
	"cmp"
	"math"
	"slices"
)

// box is a node of a drawing: its size is given, and its place found.
type box struct{ x, y, w, h float64 }

// Gaps between boxes, in the unit of their sizes.
const (
	columnGap = 64.0
	rowGap    = 16.0
	partGap   = 36.0 // between parts that no edge connects
	bendGap   = 10.0 // beside an edge that passes
)

type point [2]float64

// layered places boxes in columns, with edges that lead to the right where they can. It returns the points that each
// edge passes. Boxes without edges come last, in rows as wide as the rest.
//
// It is the method of Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man, and Cybernetics 11, 1981): columns
// by longest paths, order in them by barycentres, and then places by the least sum of squared lengths that the order
// allows.
func layered(boxes []box, edges [][2]int) (width, height float64, paths [][]point) {
	paths = make([][]point, len(edges))
	var alone []int
	for _, part := range parts(len(boxes), edges) {
		if len(part) == 1 {
			alone = append(alone, part[0])
			continue
		}
		if height > 0 {
			height += partGap
		}
		d := newDrawing(boxes, edges, part)
		d.order()
		w, h := d.place()
		d.finish(height, paths)
		width, height = max(width, w), height+h
	}
	width = max(width, 4*(columnGap+rowGap))
	x, y, row := 0.0, height, 0.0
	if height > 0 && len(alone) > 0 {
		y += partGap
	}
	for _, i := range alone {
		b := &boxes[i]
		if x > 0 && x+b.w > width {
			x, y, row = 0, y+row+rowGap, 0
		}
		b.x, b.y = x, y
		x, row = x+b.w+rowGap, max(row, b.h)
		width, height = max(width, b.x+b.w), y+row
	}
	return width, height, paths
}

// parts returns the nodes that edges connect, those with the lowest number first.
func parts(n int, edges [][2]int) [][]int {
	next := make([][]int, n)
	for _, e := range edges {
		next[e[0]], next[e[1]] = append(next[e[0]], e[1]), append(next[e[1]], e[0])
	}
	seen := make([]bool, n)
	var all [][]int
	for i := range n {
		if seen[i] {
			continue
		}
		seen[i] = true
		part := []int{i}
		for at := 0; at < len(part); at++ {
			for _, j := range next[part[at]] {
				if !seen[j] {
					seen[j] = true
					part = append(part, j)
				}
			}
		}
		slices.Sort(part)
		all = append(all, part)
	}
	return all
}

// drawing is that of one part. Edges that pass a column have a node in it.
type drawing struct {
	boxes   []box
	nodes   []node
	columns [][]int // of nodes, from top to bottom
	chains  []chain
}

type node struct {
	box           int // of none: -1
	w, h          float64
	rank          int
	before, after []int // neighbours in the columns beside
	at            int   // place in its column
	y             float64
}

// chain is an edge: the nodes that it passes, from left to right.
type chain struct {
	edge     int
	reversed bool
	nodes    []int
}

func newDrawing(boxes []box, edges [][2]int, part []int) *drawing {
	d := &drawing{boxes: boxes}
	number := map[int]int{}
	for _, i := range part {
		number[i] = len(d.nodes)
		d.nodes = append(d.nodes, node{box: i, w: boxes[i].w, h: boxes[i].h})
	}
	for e, ends := range edges {
		from, ok := number[ends[0]]
		if to := number[ends[1]]; ok && from != to {
			d.chains = append(d.chains, chain{edge: e, nodes: []int{from, to}})
		}
	}
	d.directCycles()
	d.rank()
	for i := range d.chains {
		c := &d.chains[i]
		from, to := c.nodes[0], c.nodes[1]
		c.nodes = c.nodes[:1]
		for rank := d.nodes[from].rank + 1; rank < d.nodes[to].rank; rank++ {
			c.nodes = append(c.nodes, len(d.nodes))
			d.nodes = append(d.nodes, node{box: -1, h: 2 * bendGap, rank: rank})
		}
		c.nodes = append(c.nodes, to)
		for j, n := range c.nodes[1:] {
			d.nodes[c.nodes[j]].after = append(d.nodes[c.nodes[j]].after, n)
			d.nodes[n].before = append(d.nodes[n].before, c.nodes[j])
		}
	}
	for i, n := range d.nodes {
		for len(d.columns) <= n.rank {
			d.columns = append(d.columns, nil)
		}
		d.columns[n.rank] = append(d.columns[n.rank], i)
	}
	return d
}

// directCycles turns edges around that close a cycle.
func (d *drawing) directCycles() {
	const open, done = 1, 2
	from := make([][]int, len(d.nodes))
	for i, c := range d.chains {
		from[c.nodes[0]] = append(from[c.nodes[0]], i)
	}
	state := make([]int, len(d.nodes))
	var visit func(n int)
	visit = func(n int) {
		state[n] = open
		for _, i := range from[n] {
			switch c := &d.chains[i]; state[c.nodes[1]] {
			case open:
				c.reversed = true
			case 0:
				visit(c.nodes[1])
			}
		}
		state[n] = done
	}
	for n := range d.nodes {
		if state[n] == 0 {
			visit(n)
		}
	}
	for i := range d.chains {
		if c := &d.chains[i]; c.reversed {
			slices.Reverse(c.nodes)
		}
	}
}

// rank gives nodes their columns: as far to the left as edges allow, and then nearer to what they point to.
func (d *drawing) rank() {
	for range d.nodes { // a path is no longer than that
		changed := false
		for _, c := range d.chains {
			from, to := &d.nodes[c.nodes[0]], &d.nodes[c.nodes[1]]
			if to.rank <= from.rank {
				to.rank, changed = from.rank+1, true
			}
		}
		if !changed {
			break
		}
	}
	for range 4 {
		for i := range d.nodes {
			in, out, nearest := 0, 0, math.MaxInt
			for _, c := range d.chains {
				if c.nodes[1] == i {
					in++
				}
				if c.nodes[0] == i {
					out++
					nearest = min(nearest, d.nodes[c.nodes[1]].rank)
				}
			}
			if out > in {
				d.nodes[i].rank = nearest - 1
			}
		}
	}
}

// order sorts each column by the means of its neighbours' places, and keeps the order with the fewest crossings.
func (d *drawing) order() {
	d.number()
	best, fewest := d.copyColumns(), d.crossings()
	for sweep := range 24 {
		for i := range d.columns {
			column := d.columns[i]
			if sweep%2 == 1 {
				column = d.columns[len(d.columns)-1-i]
			}
			mean := map[int]float64{}
			for _, n := range column {
				beside := d.nodes[n].before
				if sweep%2 == 1 {
					beside = d.nodes[n].after
				}
				mean[n] = float64(d.nodes[n].at)
				if len(beside) > 0 {
					sum := 0
					for _, b := range beside {
						sum += d.nodes[b].at
					}
					mean[n] = float64(sum) / float64(len(beside))
				}
			}
			slices.SortStableFunc(column, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
			for at, n := range column {
				d.nodes[n].at = at
			}
		}
		if n := d.crossings(); n < fewest {
			best, fewest = d.copyColumns(), n
		}
	}
	d.columns = best
	d.number()
}

func (d *drawing) copyColumns() [][]int {
	all := slices.Clone(d.columns)
	for i := range all {
		all[i] = slices.Clone(all[i])
	}
	return all
}

func (d *drawing) number() {
	for _, column := range d.columns {
		for at, n := range column {
			d.nodes[n].at = at
		}
	}
}

// crossings counts the pairs of edges that cross.
func (d *drawing) crossings() (count int) {
	for _, column := range d.columns {
		var ends [][2]int
		for _, n := range column {
			for _, to := range d.nodes[n].after {
				ends = append(ends, [2]int{d.nodes[n].at, d.nodes[to].at})
			}
		}
		for i, a := range ends {
			for _, b := range ends[:i] {
				if (a[0]-b[0])*(a[1]-b[1]) < 0 {
					count++
				}
			}
		}
	}
	return count
}

// place finds the heights: in turn, each column is put as near to the middles of its neighbours as it can be.
func (d *drawing) place() (width, height float64) {
	for _, column := range d.columns {
		d.align(column, func(node) []int { return nil })
	}
	before, after := func(n node) []int { return n.before }, func(n node) []int { return n.after }
	both := func(n node) []int { return slices.Concat(n.before, n.after) }
	for round := range 12 {
		side, other := before, after
		if round >= 8 {
			side, other = both, both
		}
		for _, column := range d.columns {
			d.align(column, side)
		}
		for _, column := range slices.Backward(d.columns) {
			d.align(column, other)
		}
	}
	top, bottom := math.Inf(1), math.Inf(-1)
	for _, n := range d.nodes {
		top, bottom = min(top, n.y-n.h/2), max(bottom, n.y+n.h/2)
		if n.box >= 0 {
			d.boxes[n.box].x = 0
		}
	}
	x := 0.0
	for _, column := range d.columns {
		widest := 0.0
		for _, n := range column {
			widest = max(widest, d.nodes[n].w)
		}
		for _, n := range column {
			node := &d.nodes[n]
			node.y -= top
			if node.box >= 0 {
				b := &d.boxes[node.box]
				b.x, b.y = x+(widest-b.w)/2, node.y-b.h/2
			} else {
				node.w = widest
			}
		}
		x += widest + columnGap
	}
	return x - columnGap, bottom - top
}

// align puts the nodes of a column as near to the means of their neighbours as the order allows, by least squares:
// isotonic regression, with pools of nodes that touch (Best and Chakravarti, Mathematical Programming 47, 1990).
func (d *drawing) align(column []int, beside func(node) []int) {
	type pool struct {
		sum    float64
		weight float64
		count  int
	}
	offsets := make([]float64, len(column))
	var pools []pool
	for i, n := range column {
		node := d.nodes[n]
		if i > 0 {
			above := d.nodes[column[i-1]]
			offsets[i] = offsets[i-1] + above.h/2 + rowGap + node.h/2
		}
		want, weight := node.y, 0.1
		if near := beside(node); len(near) > 0 {
			sum := 0.0
			for _, b := range near {
				sum += d.nodes[b].y
			}
			want, weight = sum/float64(len(near)), float64(len(near))
			if node.box < 0 {
				weight *= 4 // long edges are straight
			}
		}
		pools = append(pools, pool{sum: (want - offsets[i]) * weight, weight: weight, count: 1})
		for last := len(pools) - 1; last > 0; last-- {
			a, b := pools[last-1], pools[last]
			if a.sum/a.weight <= b.sum/b.weight {
				break
			}
			pools = append(pools[:last-1], pool{a.sum + b.sum, a.weight + b.weight, a.count + b.count})
		}
	}
	i := 0
	for _, p := range pools {
		for range p.count {
			d.nodes[column[i]].y = p.sum/p.weight + offsets[i]
			i++
		}
	}
}

// finish moves the part down, and says where its edges pass.
func (d *drawing) finish(down float64, paths [][]point) {
	left := make([]float64, len(d.columns))
	x := 0.0
	for i, column := range d.columns {
		left[i] = x
		widest := 0.0
		for _, n := range column {
			widest = max(widest, d.nodes[n].w)
		}
		x += widest + columnGap
	}
	for _, n := range d.nodes {
		if n.box >= 0 {
			d.boxes[n.box].y += down
		}
	}
	for _, c := range d.chains {
		var path []point
		for i, at := range c.nodes {
			n := d.nodes[at]
			start, end := left[n.rank], left[n.rank]+n.w
			if n.box >= 0 {
				start, end = d.boxes[n.box].x, d.boxes[n.box].x+n.w
			}
			if i > 0 {
				path = append(path, point{start, n.y + down})
			}
			if i < len(c.nodes)-1 {
				path = append(path, point{end, n.y + down})
			}
		}
		if c.reversed {
			slices.Reverse(path)
		}
		paths[c.edge] = path
	}
}
