package control

import (
	"context"
	"math/rand/v2"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// Claims keeps the nodes that share a database from commanding a session at the same time. It is called from several
// goroutines.
type Claims interface {
	// Claim asks for sessions of one device; the grants come in their order. It returns within seconds whatever the
	// database does. Every grant is given back by Return, once.
	Claim(ctx context.Context, wanted []nas.Wanted) []nas.Grant
	// Return does not wait.
	Return(nas.Returned)
	// Share is the part of each device's rate that is this node's: 1 where it is alone.
	Share() float64
}

// CommandLife is the longest that a command takes, with all its packets and their retransmissions.
func CommandLife(retry []time.Duration) time.Duration {
	sum := time.Duration(0)
	for _, d := range retry {
		sum += d
	}
	return mostSteps * sum
}

// mostSteps is how many packets, one after the other, the longest command has.
const mostSteps = 3

// claimMost bounds the sessions of one claim.
const claimMost = 200

// share is the device's rate as far as it is this node's.
func (r *Reconciler) share() float64 {
	if r.cfg.Claims == nil {
		return 1
	}
	return r.cfg.Claims.Share()
}

// claim sees to it that the sessions whose turn comes next may be commanded, some at a time. It reports whether one may.
func (l *lane) claim(ctx context.Context, dev *nas.Device) bool {
	r := l.r
	if r.cfg.Claims == nil {
		return true
	}
	r.mu.Lock()
	asked := l.unclaimed(dev)
	ready := l.next(dev) != nil
	r.mu.Unlock()
	if len(asked) == 0 {
		return ready
	}
	wanted := make([]nas.Wanted, len(asked))
	for i, s := range asked {
		wanted[i] = nas.Wanted{Key: s.Key, StartedAt: s.StartedAt, Since: s.dueSince()}
	}
	grants := r.cfg.Claims.Claim(ctx, wanted)
	r.mu.Lock()
	var learned []nas.Told
	for i, s := range asked {
		if r.granted(s, grants[i]) {
			learned = append(learned, nas.Told{Key: s.Key, Applied: s.applied})
		}
	}
	ready = l.next(dev) != nil
	r.mu.Unlock()
	for _, t := range learned {
		r.cfg.SetApplied(t.Key, t.Applied)
	}
	return ready
}

// unclaimed is what to claim: whatever restores service and is not claimed; else, when nothing is, as much of the rest as
// about a second's commands.
func (l *lane) unclaimed(dev *nas.Device) (asked []*session) {
	for s := range l.first.all() {
		if len(asked) == claimMost {
			break
		}
		if !l.r.claimed(s) {
			asked = append(asked, s)
		}
	}
	if len(asked) > 0 || l.next(dev) != nil {
		return asked
	}
	if l.paused {
		return nil
	}
	waiting := l.rest.waiting
	for i := range min(len(waiting), claimMost, max(dev.CommandsPerSecond, 1)) {
		j := i + rand.IntN(len(waiting)-i)
		waiting[i], waiting[j] = waiting[j], waiting[i]
		waiting[i].place, waiting[j].place = i, j
		if s := waiting[i]; l.r.claimed(s) { // since its last command
			l.granted = append(l.granted, s)
		} else {
			asked = append(asked, s)
		}
	}
	return asked
}

// next is the session whose turn it is; nil when none waits that may be commanded.
func (l *lane) next(dev *nas.Device) *session {
	if l.r.cfg.Claims == nil || !l.r.canTell(dev) {
		if s := l.first.front(); s != nil {
			return s
		}
		if n := len(l.rest.waiting); n > 0 && !l.paused {
			return l.rest.waiting[rand.IntN(n)]
		}
		return nil
	}
	for s := range l.first.all() {
		if l.r.claimed(s) {
			return s
		}
	}
	for len(l.granted) > 0 {
		s := l.granted[0]
		if s.line == &l.rest && !l.paused && l.r.claimed(s) {
			return s
		}
		if s.line == &l.rest {
			l.r.unclaim(s)
		}
		l.granted[0] = nil
		l.granted = l.granted[1:]
	}
	return nil
}

// claimed reports whether a session may be commanded, for as long as a command can take. A claim that has become too
// short for that is given back.
func (r *Reconciler) claimed(s *session) bool {
	if s.claim != nil && time.Until(s.claim.Until) < r.life {
		r.unclaim(s)
	}
	return s.claim != nil
}

// granted takes in the answer to a claim. It reports whether it told what is applied.
func (r *Reconciler) granted(s *session, g nas.Grant) (learned bool) {
	if g.Until.IsZero() {
		r.hold(s, g.Again)
		return false
	}
	s.claim = &g
	if s.gone || s.line == nil {
		r.unclaim(s)
		return false
	}
	switch {
	case g.Told != nil:
		learned = r.learn(s, *g.Told)
	case !s.commanded && known(g.Stored) != 0:
		learned = r.learn(s, nas.Told{StartedAt: s.StartedAt, Applied: g.Stored})
	}
	if s.line == &s.lane.rest {
		s.lane.granted = append(s.lane.granted, s)
	}
	return learned
}

// dueSince is when it was noticed that the session is to be told something; the zero time for what cannot wait.
func (s *session) dueSince() time.Time {
	if s.order != nil || s.probe != "" {
		return time.Time{}
	}
	return s.since
}

// unclaim gives back a session that is not being commanded, with what it was told.
func (r *Reconciler) unclaim(s *session) {
	if s.claim == nil || s.busy {
		return
	}
	r.cfg.Claims.Return(nas.Returned{Key: s.Key, Serial: s.claim.Serial, Told: s.told})
	s.claim, s.told = nil, nil
}

// unclaimIdle gives back a session that no command is due for.
func (r *Reconciler) unclaimIdle(s *session) {
	if s.line == nil {
		r.unclaim(s)
	}
}

// claimedUntil is the end of the session's claim, the zero time where there is none.
func (s *session) claimedUntil() time.Time {
	if s.claim == nil {
		return time.Time{}
	}
	return s.claim.Until
}

// bounded is a context that ends with the job's claim.
func (j *job) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if j.until.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, j.until)
}

// hold keeps a session that was refused out of its queue for a while.
func (r *Reconciler) hold(s *session, pause time.Duration) {
	s.heldUntil = time.Now().Add(pause)
	s.lane.drop(s)
	r.held = append(r.held, s)
}

// unhold has sessions ask again whose pause is over.
func (r *Reconciler) unhold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, kept := time.Now(), r.held[:0]
	for _, s := range r.held {
		if now.Before(s.heldUntil) && !s.gone {
			kept = append(kept, s)
			continue
		}
		s.heldUntil = time.Time{}
		r.settle(s)
	}
	clear(r.held[len(kept):])
	r.held = kept
}

// tell notes what a command has come to, for the other nodes. lost says that it may have been obeyed.
func (s *session) tell(j *job, acked, lost bool) {
	s.commanded = true
	told := nas.Told{Key: s.Key, StartedAt: s.StartedAt}
	switch {
	case j.probe && !acked, !acked && !lost:
		return
	case j.ends():
		told.Ended = acked
		if !acked {
			return
		}
	case acked:
		told.Applied = j.want.Digest()
	}
	s.told = &told
}

// Learn takes in what other nodes have told sessions, such as one that is gone.
func (r *Reconciler) Learn(told []nas.Told) {
	var news []nas.Told
	r.mu.Lock()
	for _, t := range told {
		if s := r.sessions[t.Key]; s != nil && !s.busy && r.learn(s, t) {
			news = append(news, t)
		}
	}
	r.mu.Unlock()
	for _, t := range news {
		r.cfg.SetApplied(t.Key, known(t.Applied))
	}
}

// learn takes in what another node told a session. It reports whether something else is applied than was known.
func (r *Reconciler) learn(s *session, t nas.Told) bool {
	if t.StartedAt.Sub(s.StartedAt).Abs() > sameSession {
		return false
	}
	if t.Ended {
		// Of a session that has outlived its end the other node's word stays the same: it is this one's to mend.
		if s.disconnectedAt.IsZero() && !s.outlived {
			s.disconnectedAt, s.order = time.Now(), nil
			r.awaitEnd(s)
			r.settle(s)
		}
		return false
	}
	if s.applied == known(t.Applied) {
		return false
	}
	if known(t.Applied) == 0 && s.applied.Outcome() == contracts.OutcomeWalled && s.differs {
		return false // it is told to leave the garden in any case; from an unknown service some dialects would leave it there
	}
	s.applied = known(t.Applied)
	r.settle(s)
	return true
}

// sameSession is how far apart the starts may lie that two nodes worked out for one session.
const sameSession = 10 * time.Minute
