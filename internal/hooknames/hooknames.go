// Package hooknames names resource hooks. The engine takes a name once from all the processes of a deployment: the
// program, and the plugins that bring up components for it.
package hooknames

import (
	"context"
	"fmt"
	"sync"
)

// scope is where names are unique. It counts them by what they begin with, so that another component changes no name.
type scope struct {
	prefix string
	mu     sync.Mutex
	counts map[string]int
}

type key struct{}

// runs are the scopes of a program's own process, by the channels that end its runs: the Automation API runs an inline
// program again and again. Any other program is run once, by a context that does not end.
var runs sync.Map

// Within returns a context in which names begin with what no other process uses, and are counted from 1: the state has
// them, and should not change from one update to the next.
func Within(ctx context.Context, prefix string) context.Context {
	return context.WithValue(ctx, key{}, &scope{prefix: prefix + "-"})
}

// New returns another name that begins with what is given, after that of the context.
func New(ctx context.Context, name string) string {
	in, ok := ctx.Value(key{}).(*scope)
	if !ok {
		in = run(ctx)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.counts == nil {
		in.counts = map[string]int{}
	}
	in.counts[name]++
	return fmt.Sprintf("%s%s-%d", in.prefix, name, in.counts[name])
}

// run returns the scope of the run that a context is of.
func run(ctx context.Context) *scope {
	end := ctx.Done()
	in, known := runs.LoadOrStore(end, &scope{})
	if !known && end != nil {
		context.AfterFunc(ctx, func() { runs.Delete(end) })
	}
	return in.(*scope)
}
