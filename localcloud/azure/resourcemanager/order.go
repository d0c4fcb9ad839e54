package resourcemanager

import (
	"sync"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// order makes reads of a resource wait for the writes to it that arrived earlier. Otherwise a client that was killed
// during a write could read the resource, learn that nothing was written, and see the write happen afterwards.
type order struct {
	mutex  sync.Mutex
	writes map[string][]chan struct{} // by path; each channel is closed when its write is done
}

// write records that a write to a path has arrived. The caller calls done after the write.
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

// read waits for all writes to a path that have arrived so far.
func (o *order) read(path string) {
	o.mutex.Lock()
	before := o.writes[fold.Lower(path)]
	o.mutex.Unlock()
	for _, write := range before {
		<-write
	}
}
