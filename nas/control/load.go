package control

import (
	"sync/atomic"

	"enlace/nas"
)

// load is what is to be done about a device's sessions, counted as it changes.
type load struct {
	differing, pending int // under the Reconciler's lock
	flying             atomic.Int32
}

// Loads is what is to be done at each device that this node has heard of, in no order.
func (r *Reconciler) Loads() []nas.DeviceLoad {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]nas.DeviceLoad, 0, len(r.lanes))
	for id, l := range r.lanes {
		out = append(out, nas.DeviceLoad{Device: id, Differences: l.differing, GivenUp: l.differing - l.pending,
			Restoring: l.first.len(), Waiting: l.rest.len(), InFlight: int(l.flying.Load()), Paused: r.isPaused(id)})
	}
	return out
}
