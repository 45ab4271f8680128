package radius

import (
	"context"
	"fmt"
	"time"

	"enlace/nas"
)

// A device may talk to another node for a while: what that node heard of a session this one learns from storage. It asks
// for the sessions that it should have heard of by now and did not, some in each round.
const (
	settleMost = 2000            // sessions in a round
	settleWait = time.Minute     // beyond one and a half intervals of the device
	settleLess = 5 * time.Minute // its interval where that is not known yet
)

// Settle takes in what other nodes have stored of sessions that this one has long not heard of: that they have ended, or
// that they go on. It also takes in when access servers began anew. It reports how many sessions have ended so.
func (a *Accounting) Settle(ctx context.Context, store SessionStore, now time.Time) (ended int, err error) {
	if err := store.LoadBoots(ctx, a.sessions.Boots().Remember); err != nil {
		return 0, err
	}
	unheard := a.sessions.unheard(now, settleMost)
	if len(unheard) == 0 {
		return 0, nil
	}
	stored, err := store.LoadStates(ctx, unheard)
	if err != nil {
		return 0, fmt.Errorf("settling sessions with other nodes: %w", err)
	}
	before := a.sessions.Count()
	for _, s := range stored {
		if s.Open() {
			a.sessions.refresh(s)
		} else {
			a.sessions.Settle(s, now)
		}
	}
	return max(0, before-a.sessions.Count()), nil
}

// unheard gives open sessions that their devices should have reported by now, at most so many: any of them.
func (t *Sessions) unheard(now time.Time, most int) (found []Session) {
	patience := map[nas.DeviceID]int64{}
	for n := range t.shards {
		sh := &t.shards[(n+int(now.Unix()))%sessionShards]
		for _, s := range sh.openOnes(func(s *Session) bool {
			wait, ok := patience[s.Key.Device]
			if !ok {
				interval := time.Duration(t.life(s.Key.Device).interval.Load())
				if interval == 0 {
					interval = settleLess
				}
				wait = seconds(interval*3/2 + settleWait)
				patience[s.Key.Device] = wait
			}
			return now.Unix()-s.Heard > wait
		}) {
			if found = append(found, s); len(found) == most {
				return found
			}
		}
	}
	return found
}

// refresh takes in that an open session goes on, as storage knows and this table does not. What begins here stays its
// start.
func (t *Sessions) refresh(stored Session) bool {
	sh := t.shard(stored.Key)
	sh.telling.Lock()
	defer sh.telling.Unlock()
	sh.mu.Lock()
	lineage := sh.byKey[stored.Key]
	before, ok := lineage.current()
	if !ok || before.other(&stored) || !stored.LastSeen.After(before.LastSeen) {
		sh.mu.Unlock()
		return false
	}
	after := stored
	after.StartedAt, after.Attention = before.StartedAt, before.Attention
	after.Heard, after.Quiet, after.Hearsay = max(before.Heard, stored.LastSeen.Unix()), false, true
	lineage[len(lineage)-1] = after
	t.count(&before, &after)
	sh.mu.Unlock()
	if o := t.observer.Load(); o != nil {
		(*o).SessionSeen(after.Session, after.report(0))
	}
	return true
}

// other reports whether two sessions of one key are different ones.
func (s *Session) other(o *Session) bool {
	return s.StartedAt.Sub(o.StartedAt).Abs() > reuseAfter ||
		s.Stranger(&Record{Login: o.Login, NASIdentifier: o.NASIdentifier, Cookie: nas.Cookie{Access: o.Access}})
}
