package resourcemanager

import (
	"testing"
	"testing/synctest"
)

func TestOrder_MakesReadsWaitForEarlierWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		first, second := o.write("/a/B"), o.write("/a/b")
		o.read("/a/c") // another resource: does not block
		read := make(chan struct{})
		go func() { o.read("/A/b"); close(read) }()
		waiting := func() bool {
			synctest.Wait()
			select {
			case <-read:
				return false
			default:
				return true
			}
		}
		if !waiting() {
			t.Error("a read did not wait for two writes")
		}
		later := o.write("/a/b") // arrives after the read
		second()
		if !waiting() {
			t.Error("a read did not wait for the first write")
		}
		first()
		if waiting() {
			t.Error("a read still waits after the earlier writes")
		}
		later()
		if len(o.writes) > 0 {
			t.Errorf("the order still has the writes %v", o.writes)
		}
	})
}
