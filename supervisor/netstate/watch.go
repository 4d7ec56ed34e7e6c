package netstate

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"tench/supervisor/system"
	"tench/supervisor/unit"
)

// quiet is the shortest time between two wake-ups of the loop. It bounds the
// work that a storm of changes makes, e.g. a routing daemon loading its table.
const quiet = 20 * time.Millisecond

// Watch wakes the loop whenever the kernel's network changed, until ctx ends.
// There is at most one of its events in the channel: further changes are seen
// by the cycle that this one starts, because that observes everything. Messages
// that the kernel had to drop (ENOBUFS) count as a change, too.
func Watch(ctx context.Context, sys system.Network, events chan<- unit.Event) error {
	tokens, err := sys.Notify(ctx, system.Anything)
	if err != nil {
		return err
	}
	var waiting atomic.Bool
	// Taking the event clears the flag before the loop observes, so that a
	// change during the observation sends another one.
	event := unit.Event{From: "netlink", Apply: func(*unit.Facts) { waiting.Store(false) }}
	for range tokens {
		if !waiting.CompareAndSwap(false, true) {
			continue
		}
		select {
		case events <- event:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
			return nil
		}
	}
	if ctx.Err() == nil {
		return errors.New("netlink: the kernel closed the socket")
	}
	return nil
}
