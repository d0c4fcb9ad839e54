package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// reduce returns the needs of each resource, without those that follow from its other needs. A resource that needs a
// component needs everything in it.
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

// fromFrames replaces the needs of everything that a component creates last by one need of the component. The graph
// then has one arrow, from the frame.
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

// outer returns the first boxes of each component, to which no arrow leads from inside it (end 1), or the last, from
// which none does (end 0).
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

// toFrames replaces arrows to all first boxes of a component by one arrow to the component.
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

// simplify returns the boxes of a graph and the arrows between them. Resources of one component that have the same type
// and the same neighbours share a box. Components with the same structure share a frame.
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

// join merges the boxes for which same returns the same text.
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

// refine returns a colour for each box. Boxes have the same colour if their types, and the colours around and inside
// them, are the same. (This is colour refinement, the one-dimensional Weisfeiler-Leman algorithm.)
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
