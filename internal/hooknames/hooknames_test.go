package hooknames

import (
	"context"
	"slices"
	"testing"
	"time"
)

// TestNew_RepeatsNamesInEachRun checks that each run of a process gets the same names, whatever else it contains, and
// no name twice.
func TestNew_RepeatsNamesInEachRun(t *testing.T) {
	var first []string
	for _, others := range []int{0, 3} {
		ctx, end := context.WithCancel(t.Context())
		for range others {
			New(ctx, "other")
		}
		// A program may add values to its context.
		names := []string{New(ctx, "a"), New(context.WithValue(ctx, t, 1), "a"), New(ctx, "b")}
		if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != 3 {
			t.Errorf("two of %q are alike", names)
		}
		if first == nil {
			first = names
		}
		if !slices.Equal(names, first) {
			t.Errorf("the names are %q, and then %q", first, names)
		}
		end()
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			if _, left := runs.Load(ctx.Done()); !left {
				break
			}
			if time.Since(begun) > 10*time.Second {
				t.Fatal("a run that has ended is kept")
			}
		}
	}
	if a, b := New(context.Background(), "a"), New(context.TODO(), "a"); a == b {
		t.Errorf("a program has %s twice", a)
	}
}
