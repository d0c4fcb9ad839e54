// Package hooknames generates names of resource hooks. The engine accepts each name only once from all processes of a
// deployment: the program, and the plugins that construct components for it.
package hooknames

import (
	"context"
	"fmt"
	"sync"
)

// scope is where names are unique. It counts them by prefix, so that another component does not change a name.
type scope struct {
	prefix string
	mu     sync.Mutex
	counts map[string]int
}

type key struct{}

// runs are the scopes of a program's own process, by the channels that end its runs: the Automation API runs an inline
// program several times. Other programs run once, with a context that does not end.
var runs sync.Map

// Within returns a context in which names begin with a prefix that no other process uses and are counted from 1. The
// state contains the names, which should not change between updates.
func Within(ctx context.Context, prefix string) context.Context {
	return context.WithValue(ctx, key{}, &scope{prefix: prefix + "-"})
}

// New returns another name, which begins with the context's prefix and the given text.
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

// run returns the scope of the run that a context belongs to.
func run(ctx context.Context) *scope {
	end := ctx.Done()
	in, known := runs.LoadOrStore(end, &scope{})
	if !known && end != nil {
		context.AfterFunc(ctx, func() { runs.Delete(end) })
	}
	return in.(*scope)
}
