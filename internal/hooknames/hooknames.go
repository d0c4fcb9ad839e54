// Package hooknames names resource hooks. The engine takes a name once from all the processes of a deployment: the
// program, and the plugins that bring up components for it.
package hooknames

import (
	"context"
	"fmt"
	"sync/atomic"
)

type scope struct {
	prefix string
	count  atomic.Int64
}

type key struct{}

// program is the scope of a program's own process.
var program scope

// Within returns a context in which names begin with what no other process uses, and are counted from 1: the state has
// them, and should not change from one update to the next.
func Within(ctx context.Context, prefix string) context.Context {
	return context.WithValue(ctx, key{}, &scope{prefix: prefix + "-"})
}

// New returns another name that begins with what is given, after that of the context.
func New(ctx context.Context, name string) string {
	in, ok := ctx.Value(key{}).(*scope)
	if !ok {
		in = &program
	}
	return fmt.Sprintf("%s%s-%d", in.prefix, name, in.count.Add(1))
}
