package control

import (
	"container/heap"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"enlace/nas"
)

// outcome is what became of a command.
type outcome struct {
	job      *job
	answer   answer
	attempts int
	err      error
}

// cut says that it was ended by us: shutdown, or the device's address changed.
func (o *outcome) cut() bool {
	return errors.Is(o.err, context.Canceled) || errors.Is(o.err, net.ErrClosed)
}

// unsure says that it may have been obeyed and the answer lost, or was obeyed in part: what steps before the one that was
// refused have done stays done.
func (o *outcome) unsure() bool {
	return o.err != nil && o.attempts > 0 || o.err == nil && !o.answer.ack && o.answer.step > 0
}

// changed says that something else is, or may be, applied now.
func (o *outcome) changed() bool {
	return !o.job.ends() && (o.err == nil && o.answer.ack || o.unsure() && !o.job.probe)
}

func (o *outcome) gone() bool {
	return o.err == nil && !o.answer.ack && remedyOf(o.answer.cause) == sessionGone
}

// outcomes are those that are not taken in yet. They are taken in some at a time, so that thousands of commands under way do
// not stand in line for the Reconciler's lock.
type outcomes struct {
	mu   sync.Mutex
	come []outcome
	wake chan struct{}
}

// finish hands in what became of a command.
func (r *Reconciler) finish(o outcome) {
	r.outcomes.mu.Lock()
	r.outcomes.come = append(r.outcomes.come, o)
	r.outcomes.mu.Unlock()
	select {
	case r.outcomes.wake <- struct{}{}:
	default:
	}
}

// complete takes outcomes in until stop is closed, and then what has come by then.
func (r *Reconciler) complete(stop <-chan struct{}) {
	for {
		select {
		case <-r.outcomes.wake:
			r.takeIn()
		case <-stop:
			r.takeIn()
			return
		}
	}
}

func (r *Reconciler) takeIn() {
	r.outcomes.mu.Lock()
	come := r.outcomes.come
	r.outcomes.come = nil
	r.outcomes.mu.Unlock()
	for some := range slices.Chunk(come, batch) {
		r.keep(some)
		r.mu.Lock()
		for i := range some {
			r.completed(&some[i])
		}
		r.mu.Unlock()
		for i := range some {
			if o := &some[i]; o.gone() {
				r.cfg.Gone(o.job.rec.Session, o.job.start)
			}
		}
	}
}

// completed takes what became of a command.
func (r *Reconciler) completed(o *outcome) {
	j, a, err := o.job, o.answer, o.err
	s := j.s
	if other := r.sessions[j.rec.Session]; o.changed() && other != nil && other != s {
		other.applied = 0 // the device was told of an id, and that may by then have been this one's
		r.dirty(other, false)
	}
	s.busy = false
	s.tell(j, err == nil && a.ack, o.unsure())
	if !o.cut() && s.order == j.order {
		s.order = nil
	}
	if err == nil && j.rec.Method == nas.CoA {
		s.lane.answers = true
	}
	j.rec.Attempts = o.attempts
	r.wave.told(s, o.attempts)
	if o.changed() && o.unsure() {
		s.applied = 0
	}
	if !o.cut() {
		j.rec.AnsweredAt = r.cfg.Now()
	}
	switch {
	case o.cut(): // it stays unanswered, and is due again if the difference is still there
	case errors.Is(err, errTimeout):
		r.timedOut(j)
	case j.rec.Method == nas.ViaAPI && err != nil:
		r.apiFailed(j, err)
	case err != nil:
		j.rec.Answer = nas.Unreachable
		s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultUnreachable).Inc()
		r.giveUp(s, err.Error())
	case a.ack:
		r.acked(j)
	default:
		r.naked(j, a)
	}
	if s.gone && (j.ends() || j.rec.Method == nas.ViaAPI || a.ack) && !s.goneAt.IsZero() {
		j.rec.ConfirmedAt, j.rec.Evidence = s.goneAt, nas.EvidenceStop // the Stop was faster than the answer
		s.trial = nil
	}
	r.cfg.Record(j.rec)
	r.settle(s)
}

// keep stores what sessions have after commands, before the next command for them can be sent. Where an id names another
// session by now, it is unknown what that one has. SetApplied is called without the lock: the store may be telling of
// sessions at this moment.
func (r *Reconciler) keep(come []outcome) {
	type stored struct {
		key nas.SessionKey
		is  nas.Digest
	}
	var all []stored
	r.mu.Lock()
	for i := range come {
		o := &come[i]
		current := r.sessions[o.job.rec.Session]
		s := stored{key: o.job.rec.Session}
		switch {
		case current == nil || !o.changed() && !o.job.announced:
			continue
		case current == o.job.s && !o.changed():
			s.is = o.job.had
		case current == o.job.s && !o.unsure():
			s.is = o.job.want.Digest()
		}
		all = append(all, s)
	}
	r.mu.Unlock()
	for _, s := range all {
		r.cfg.SetApplied(s.key, s.is)
	}
}

func (r *Reconciler) acked(j *job) {
	s := j.s
	j.rec.Answer = nas.Acked
	s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultACK).Inc()
	if !j.since.IsZero() {
		r.metrics.changeToACK.Observe(time.Since(j.since).Seconds())
	}
	r.obeyed(j)
}

// obeyed takes a command for done, and begins to look for evidence.
func (r *Reconciler) obeyed(j *job) {
	s := j.s
	s.backoff, s.retryAt = 0, time.Time{}
	s.lane.knows(j.named)
	s.trial = &trial{rec: j.rec, order: j.order, want: j.want, had: j.had, at: r.cfg.Now(), until: time.Now().Add(trialFor), class: j.class}
	switch {
	case j.had == j.want.Digest():
		s.trial.from = j.want
	case s.before != nil && s.before.Digest() == j.had:
		s.trial.from = *s.before
	}
	s.before = nil
	if j.ends() {
		s.disconnectedAt = time.Now()
		r.awaitEnd(s)
	} else {
		s.applied = j.want.Digest()
	}
	if s.instead == j.want.Digest() {
		s.instead, s.insteadBy, s.insteadWhy = 0, "", ""
	}
}

// naked does what the table of Error-Causes says.
func (r *Reconciler) naked(j *job, a answer) {
	s, refused := j.s, string(j.rec.Method)+" refused: "+ErrorCauseName(a.cause)
	j.rec.Answer, j.rec.ErrorCause = nas.Naked, a.cause
	s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultNAK).Inc()
	log := r.cfg.Log.Info().Str("login", s.Login).Str("method", string(j.rec.Method)).Str("cause", ErrorCauseName(a.cause))
	if s.lane.device != nil {
		log = log.Str("device", s.lane.device.Name)
	}
	log.Msg("command refused")
	todo := remedyOf(a.cause)
	switch {
	case todo == sessionGone: // if it has such a session after all, its accounting will tell
		s.stale = true
		s.lane.deny(s.Key.ID)
		r.rest(s)
		return
	case j.probe: // it knows the session
		return
	case todo == renamed || todo == renamedOnly:
		if f, ok := r.rename(s, s.lane.device, a.cause); ok {
			s.form = f
			s.anew(j.order)
			return
		}
	}
	switch todo {
	case anotherMethod, renamed:
		r.escalate(j, refused)
	case afterPause:
		s.anew(j.order)
		r.again(s, refused)
	default:
		r.giveUp(s, refused)
	}
}

// anew keeps a person's order, if there is no newer one.
func (s *session) anew(o *order) {
	if s.order == nil {
		s.order = o
	}
}

// timedOut has another method tried once: a device may know that when it does not know the other. One that is known to know
// it is first asked again.
func (r *Reconciler) timedOut(j *job) {
	s := j.s
	j.rec.Answer = nas.TimedOut
	s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultTimeout).Inc()
	if j.probe {
		return
	}
	if j.ends() { // a Stop would still show that it was obeyed
		s.trial = &trial{rec: j.rec, order: j.order, want: j.want, had: j.had, at: r.cfg.Now()}
	}
	why := "no answer to the " + string(j.rec.Method)
	// A device that answers CoA-Requests has missed this one. Nobody is cut off for a failing path before a second attempt;
	// who waits for service is not kept waiting.
	if j.rec.Method == nas.CoA && s.lane.answers && !s.restore && s.missed != j.want.Digest() {
		s.missed = j.want.Digest()
		r.again(s, why)
		return
	}
	s.missed = 0
	r.escalate(j, why)
}

// answeredLate records an answer that came after a command was given up. Where nothing was told since, it also counts; last
// says that it is to the last of the command's packets.
func (r *Reconciler) answeredLate(j *job, a answer, last bool) {
	if r.late(j, a, last) {
		r.cfg.SetApplied(j.rec.Session, j.want.Digest())
	}
}

func (r *Reconciler) late(j *job, a answer, last bool) (applied bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := j.s
	s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultLate).Inc()
	rec := j.rec
	if t := s.trial; t != nil && t.rec.ID == rec.ID {
		rec = t.rec
	}
	rec.Reason += "; answered after it was given up"
	rec.AnsweredAt, rec.Answer, rec.ErrorCause = r.cfg.Now(), nas.Naked, a.cause
	if a.ack && last {
		rec.Answer = nas.Acked
	}
	j.rec = rec
	if s.gone || s.busy || s.last != rec.ID || !a.ack || !last || j.probe {
		r.cfg.Record(rec)
		return false
	}
	r.obeyed(j)
	r.cfg.Record(rec)
	r.settle(s)
	return !j.ends()
}

// apiFailed is the end of what can be tried.
func (r *Reconciler) apiFailed(j *job, err error) {
	j.rec.Answer = nas.Naked
	if errors.Is(err, context.DeadlineExceeded) {
		j.rec.Answer = nas.TimedOut
	}
	j.rec.Reason += "; " + err.Error()
	j.s.lane.tally().commands.WithLabelValues(string(nas.ViaAPI), resultNAK).Inc()
	r.giveUp(j.s, err.Error())
}

// giveUp leaves a difference open until the session should have something else, or is heard of after a pause that grows
// with every failure.
func (r *Reconciler) giveUp(s *session, why string) {
	r.rest(s)
	t := s.lane.tally()
	t.givenUp.Inc()
	r.cfg.Log.Warn().Str("login", s.Login).Str("device", t.device).Str("want", s.want.String()).
		Dur("pause", s.backoff).Str("why", why).Msg("giving a difference up until the session is heard of again")
}

// maxBackoff bounds the pause.
const maxBackoff = 30 * time.Minute

func (r *Reconciler) rest(s *session) {
	s.backoff = min(max(2*s.backoff, r.cfg.Backoff), max(maxBackoff, r.cfg.Backoff))
	s.retryAt = time.Now().Add(s.backoff)
	s.instead, s.insteadBy, s.insteadWhy = 0, "", ""
}

// again leaves a difference open for a pause that grows with every failure: the device could not at this moment.
func (r *Reconciler) again(s *session, why string) {
	r.rest(s)
	heap.Push(&r.alarms, alarm{s.retryAt, s})
	r.cfg.Log.Info().Str("login", s.Login).Str("device", s.lane.tally().device).Dur("pause", s.backoff).Str("why", why).
		Msg("the device cannot at this moment; it is told again after a pause")
}

// awaitEnd has a session looked at when its end, which was acknowledged, should have been heard of.
func (r *Reconciler) awaitEnd(s *session) {
	heap.Push(&r.alarms, alarm{s.disconnectedAt.Add(r.endPatience(s.lane)), s})
}

// alarm has a session looked at again at an instant of the real clock.
type alarm struct {
	at time.Time
	s  *session
}

// alarms is a heap, the next first.
type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = alarm{}
	*a = (*a)[:last]
	return x
}

// ring looks at the sessions whose alarm is due.
func (r *Reconciler) ring() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for now := time.Now(); len(r.alarms) > 0 && !r.alarms[0].at.After(now); {
		r.settle(heap.Pop(&r.alarms).(alarm).s)
	}
}
