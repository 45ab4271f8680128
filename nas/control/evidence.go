package control

import (
	"fmt"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// trial is an obeyed command whose effect is awaited: an ACK is no proof.
type trial struct {
	rec   nas.CommandRecord // as it was recorded last
	order *order
	want  nas.Service
	from  nas.Service // what was applied before; its Outcome is 0 where that is not known
	had   nas.Digest  // its digest
	at    time.Time   // the clock's, when it was answered
	until time.Time   // real clock: evidence is no longer looked for
	base  nas.Report  // counters since then are those of the new service; zero: none were heard yet
	stuck int         // times in a row that the subscriber was seen at the older, lower rate
	class bool        // the command carried a Class that the device is known to give back
}

// What traffic proves: over at least soundInterval a subscriber was faster than a rate by more than overshoot, which is
// more than bursts, headers that the device counts and counters that are countersLag old make of it.
const (
	soundInterval = 240 // seconds: countersLag of more traffic must stay below overshoot
	overshoot     = 1.25
	trialFor      = 6 * time.Hour
	// A subscriber who was given more and is seen stuckTimes in a row between ceiling and overshoot of what he had before,
	// has that still. It is shown only where the new rate is stuckBelow times as much: then the one is not mistaken for use
	// of the other.
	ceiling    = 0.85
	stuckTimes = 2
	stuckBelow = 1.5
	// countersLag is how far behind a device's counters may be: large ones read their hardware once in a while.
	countersLag = time.Minute
)

// endsOver is how soon after an acknowledged change a Stop is told of it: some access servers end a session over a profile
// that they do not know, and acknowledge it.
const endsOver = 10 * time.Second

func (t *trial) fresh() bool { return time.Until(t.until) > trialFor-endsOver }

// unsure is what has become unknown of a session and is to be stored, once the lock is released.
type unsure struct {
	key nas.SessionKey
	is  bool
}

// heardOf takes accounting for a session as evidence about the last command.
func (r *Reconciler) heardOf(s *session, said nas.Report) (u unsure) {
	if s.stale {
		s.stale = false
		r.namedBadly(s)
	}
	if t := s.trial; t != nil && !t.ends() {
		if what := r.weigh(s, t, said); what != "" {
			u = r.withoutEffect(s, t, what)
		}
	}
	if s.disconnectedAt.IsZero() || s.lane.device == nil {
		return u
	}
	if time.Since(s.disconnectedAt) >= r.evidenceAfter(s.lane) {
		r.goesOn(s)
	}
	return u
}

// evidenceAfter is when accounting for a session means that its Disconnect was not obeyed.
func (r *Reconciler) evidenceAfter(l *lane) time.Duration {
	if r.cfg.Evidence != 0 || l.device == nil {
		return r.cfg.Evidence
	}
	return time.Duration(l.device.InterimSeconds) * time.Second
}

// endPatience is how long the Stop of a session is awaited, or that it goes on, by those who count what has become of it: it
// may be that neither is ever heard of.
func (r *Reconciler) endPatience(l *lane) time.Duration { return 3 * r.evidenceAfter(l) }

// ends reports whether the command was to end the session.
func (t *trial) ends() bool {
	return t.rec.Method == nas.Disconnect || t.order != nil || t.want.Outcome == contracts.OutcomeReject
}

// mayEnd adds the API, by which a session may be changed or ended.
func (t *trial) mayEnd() bool { return t.ends() || t.rec.Method == nas.ViaAPI }

// weigh holds what accounting says against a change that was acknowledged. It gives in words what shows that it had no
// effect; "" where nothing does.
func (r *Reconciler) weigh(s *session, t *trial, said nas.Report) string {
	if late := !said.At.IsZero() && said.At.Before(t.at.Truncate(time.Second)); t.rec.Evidence == nas.NoEvidence && !late {
		r.confirm(s, nas.EvidenceInterim)
	}
	if said.At.Before(t.at) {
		return ""
	}
	if t.class && said.Class != 0 {
		if said.Class == t.want.Digest() {
			r.proved(s, nas.EvidenceClass)
			return ""
		}
		if said.At.Before(t.at.Add(countersLag)) {
			return "" // said before the change, perhaps, by a clock that is ahead, or sent again without Acct-Delay-Time
		}
		return "the Class of the service before came back"
	}
	if said.At.Before(t.at.Add(countersLag)) {
		return ""
	}
	if t.base.At.IsZero() || said.Seconds < t.base.Seconds {
		t.base = said
		return ""
	}
	// A device whose Acct-Session-Time stands still or lags has not become faster.
	seconds := max(said.Seconds-t.base.Seconds, int64(said.At.Sub(t.base.At)/time.Second))
	if seconds < soundInterval {
		return ""
	}
	down, up := speed(t.base.Output, said.Output, seconds), speed(t.base.Input, said.Input, seconds)
	t.base = said
	from, want := t.from.Profile, t.want.Profile
	faster := func(seen, than uint64) bool { return than > 0 && float64(seen) > overshoot*float64(than) }
	stuck := func(seen, from, want uint64) bool {
		return t.from.Outcome != 0 && float64(want) >= stuckBelow*float64(from) && float64(seen) >= ceiling*float64(from) && !faster(seen, from)
	}
	// Some devices count the directions the other way round: what is within rates so read proves nothing.
	within := func(p contracts.Profile) bool { return !faster(up, p.DownBps) && !faster(down, p.UpBps) }
	// Where a service was ended and the new one not begun there is no limit left, so a raise is held to its rate too.
	changed := func(from, want uint64) bool { return t.from.Outcome == 0 || want != from }
	switch {
	case changed(from.DownBps, want.DownBps) && faster(down, want.DownBps) && !within(want):
		return fmt.Sprintf("%s down were seen, %s were ordered", about(down), nas.Rate(want.DownBps))
	case changed(from.UpBps, want.UpBps) && faster(up, want.UpBps) && !within(want):
		return fmt.Sprintf("%s up were seen, %s were ordered", about(up), nas.Rate(want.UpBps))
	case t.from.Outcome != 0 && !within(from) && (want.DownBps > from.DownBps && faster(down, from.DownBps) || want.UpBps > from.UpBps && faster(up, from.UpBps)):
		r.proved(s, nas.EvidenceTraffic)
	case stuck(down, from.DownBps, want.DownBps), stuck(up, from.UpBps, want.UpBps):
		if t.stuck++; t.stuck == stuckTimes {
			return fmt.Sprintf("%s down and %s up were seen again and again, as before", about(down), about(up))
		}
	case time.Now().After(t.until):
		s.trial = nil
	default:
		t.stuck = 0
	}
	return ""
}

func speed(before, after uint64, seconds int64) uint64 {
	if after < before {
		return 0
	}
	return (after - before) * 8 / uint64(seconds)
}

// about rounds a measured rate for people.
func about(bps uint64) string {
	for _, unit := range []uint64{1e6, 1e3} {
		if bps >= 10*unit {
			return nas.Rate(bps / unit * unit)
		}
	}
	return nas.Rate(bps)
}

// proved ends the trial of a command: better evidence will not come.
func (r *Reconciler) proved(s *session, e nas.Evidence) {
	r.confirm(s, e)
	if t := s.trial; e == nas.EvidenceClass || e == nas.EvidenceTraffic {
		s.lane.distrust.worked(changeOf(t.had, t.want), t.rec.Method)
	}
	s.trial = nil
}

func (r *Reconciler) confirm(s *session, e nas.Evidence) {
	t := s.trial
	t.rec.ConfirmedAt, t.rec.Evidence = r.cfg.Now(), e
	r.cfg.Record(t.rec)
}

// ignored records that what was acknowledged had no effect.
func (r *Reconciler) ignored(s *session, what string) {
	s.trial.rec.Reason += "; acknowledged without effect: " + what
	r.proved(s, nas.EvidenceIgnored)
}

// withoutEffect escalates a change that was acknowledged and did not happen: it has what it had before.
func (r *Reconciler) withoutEffect(s *session, t *trial, what string) (u unsure) {
	l := s.lane
	r.ignored(s, what)
	r.suspect(l, changeOf(t.had, t.want), t.rec.Method)
	r.cfg.Log.Warn().Str("login", s.Login).Str("device", l.tally().device).Str("method", string(t.rec.Method)).Str("what", what).
		Msg("a change was acknowledged and had no effect")
	if s.applied != t.want.Digest() {
		return u // something else was told since
	}
	s.applied = t.had
	if s.want.Digest() == t.want.Digest() {
		r.escalate(&job{s: s, want: t.want, rec: t.rec}, "acknowledged without effect ("+what+")")
	}
	r.settle(s)
	return unsure{s.Key, true}
}

// goesOn sees to a session that its device goes on reporting though it has acknowledged its end: it is told once more, and
// then in another way.
func (r *Reconciler) goesOn(s *session) {
	t := s.trial
	s.disconnectedAt, s.outlived = time.Time{}, true
	s.goneOn++
	r.cfg.Log.Warn().Str("login", s.Login).Str("device", s.lane.tally().device).Uint8("times", s.goneOn).
		Msg("the end of a session was acknowledged but it goes on")
	if t == nil {
		r.settle(s)
		return
	}
	kind := changeOf(t.had, t.want)
	r.ignored(s, "the session goes on")
	r.suspect(s.lane, kind, t.rec.Method)
	again := s.goneOn < 2 && t.rec.Method == nas.Disconnect
	switch {
	case !again:
		r.escalate(&job{s: s, want: t.want, order: t.order, rec: t.rec}, "the end of the session was acknowledged, and it goes on")
		s.goneOn = 0
	case t.order != nil && s.order == nil:
		s.order = t.order
	}
	r.settle(s)
}

// namedBadly has a session, which its device denied and goes on reporting, named in another way.
func (r *Reconciler) namedBadly(s *session) {
	if s.lane.device == nil {
		return
	}
	if f, ok := r.rename(s, s.lane.device, 503); ok {
		s.form = f
	}
}

// loggedInAgain takes a new session of an access as evidence that the Disconnect of its older one took effect.
func (r *Reconciler) loggedInAgain(s *session) {
	if s.owner() == (owner{}) {
		return
	}
	for _, old := range r.byOwner[s.owner()] {
		if old != s && old.Key.Device == s.Key.Device && old.trial != nil && old.trial.mayEnd() {
			r.proved(old, nas.EvidenceLogin)
		}
	}
}
