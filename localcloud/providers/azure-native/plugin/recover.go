package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits for the creation of a secret or key whose name a soft-deleted object may still hold, as in azure-native v3:
// the total time, and the number of consecutive conflicts without such an object. A deleted object takes a while to
// appear.
const (
	recoveryLimit  = 3 * time.Minute
	recoveryMisses = 6

	firstRecovery = 100 * time.Millisecond // wait before the next attempt, which grows up to lastRecovery
	lastRecovery  = 5 * time.Second
)

// recovery recovers the soft-deleted object with a resource's name. It reports whether there was one.
type recovery func(context.Context) (found bool, err error)

// recovery returns nil if the plugin does not recover the resource: in v2, and for types that ARM deletes.
func (p *azureNative) recovery(rt *resourceType, id string) (recovery, error) {
	if p.version != Version3 || rt.dataPlane == nil {
		return nil, nil
	}
	parameters, err := rt.parseID(id)
	return func(ctx context.Context) (bool, error) { return rt.dataPlane.recover(ctx, p, parameters) }, err
}

// put sends a body, and repeats it after each conflict that w.recover may resolve. It returns the results of
// armClient.put.
func (p *azureNative) put(
	ctx context.Context,
	w write,
	body map[string]any,
) (answer map[string]any, accepted bool, err error) {
	start, misses := time.Now(), 0
	for delay := firstRecovery; ; delay = min(delay*3/2, lastRecovery) {
		answer, accepted, err = p.arm.put(ctx, w.id, w.apiVersion, body, w.rt.waits&waitPut != 0)
		if accepted || w.recover == nil || !isConflict(err) || time.Since(start) > recoveryLimit {
			return answer, accepted, err
		}
		found, failure := w.recover(ctx)
		if failure != nil {
			return nil, false, errors.Join(err, fmt.Errorf("recovering the soft-deleted object of that name: %w", failure))
		}
		if found {
			misses = 0
		} else if misses++; misses == recoveryMisses {
			return nil, false, err
		}
		if paused := pause(ctx, delay); paused != nil {
			return nil, false, errors.Join(err, paused)
		}
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
