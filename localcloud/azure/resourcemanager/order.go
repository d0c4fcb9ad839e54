package resourcemanager

import (
	"sync"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// order has reads of a resource wait for the writes to it that have arrived before. Without it, one who asks whether
// the write of a client that was killed has been done is told no while it waits for its turn, and it is done
// afterwards.
type order struct {
	mutex  sync.Mutex
	writes map[string][]chan struct{} // by path: each is closed when its write is done
}

// write says that a write to a path has arrived. The returned function says that it is done.
func (o *order) write(path string) (done func()) {
	path = fold.Lower(path)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.writes == nil {
		o.writes = map[string][]chan struct{}{}
	}
	mine := make(chan struct{})
	o.writes[path] = append(o.writes[path], mine)
	return func() {
		o.mutex.Lock()
		defer o.mutex.Unlock()
		close(mine)
		var left []chan struct{}
		for _, other := range o.writes[path] {
			if other != mine {
				left = append(left, other)
			}
		}
		if o.writes[path] = left; len(left) == 0 {
			delete(o.writes, path)
		}
	}
}

// read waits for the writes to a path that have arrived so far.
func (o *order) read(path string) {
	o.mutex.Lock()
	before := o.writes[fold.Lower(path)]
	o.mutex.Unlock()
	for _, write := range before {
		<-write
	}
}
