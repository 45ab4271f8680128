package main

import (
	"context"
	"time"

	"enlace/radius"
)

// sweepEvery is how often it is looked for stale sessions.
const sweepEvery = 10 * time.Second

// sweep marks the sessions that their devices no longer report, and closes those that have been so for a day.
func (n *node) sweep(ctx context.Context) {
	n.sessions.Resume(n.clock.Now())
	n.clock.OnMove(func() { n.sessions.Resume(n.clock.Now()) })
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		closed := 0
		for _, s := range n.sessions.Sweep(n.clock.Now(), n.projection.device) {
			if !n.accounting.Close(&s, radius.ClosedByStale, s.LastSeen) {
				break // the journal has no room; the next sweep finds them again
			}
			closed++
		}
		if closed > 0 {
			n.log.Info().Int("sessions", closed).Msg("sessions that their access servers no longer report are closed")
		}
	}
}
