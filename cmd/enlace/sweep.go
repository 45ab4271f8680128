package main

import (
	"context"
	"time"

	"enlace/radius"
)

// sweepEvery is how often it is looked for stale sessions.
const sweepEvery = 10 * time.Second

// compareEvery is how often it is looked for what other nodes know of this node's sessions.
const compareEvery = 15 * time.Second

// settle takes in what other nodes have stored of sessions that this one has not heard of for long, once the sessions are
// known.
func (n *node) settle(ctx context.Context) {
	select {
	case <-n.loaded:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(compareEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking, cancel := context.WithTimeout(ctx, compareEvery)
		ended, err := n.accounting.Settle(asking, n.stores.sessions, n.clock.Now())
		cancel()
		if err != nil && ctx.Err() == nil {
			n.log.Debug().Err(err).Msg("sessions could not be compared with those stored; it is tried again")
		} else if ended > 0 {
			n.log.Info().Int("sessions", ended).Msg("sessions have ended on other nodes")
		}
	}
}

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
