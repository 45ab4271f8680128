package control

import (
	"context"
	"errors"
	"net"
	"time"

	"enlace/nas"
)

// complete takes what became of a command.
func (r *Reconciler) complete(j *job, a answer, attempts int, err error) {
	ended := errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) // by us: shutdown, or the device's address changed
	lost := err != nil && attempts > 0                                         // it may have been applied and the answer lost
	changed := j.rec.Method == nas.CoA && (err == nil && a.ack || lost && !j.probe)
	if changed {
		r.keep(j, lost)
	}
	if err == nil && !a.ack && a.cause == 503 {
		defer r.cfg.Gone(j.rec.Session, j.start) // after the lock is released
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := j.s
	if other := r.sessions[j.rec.Session]; changed && other != nil && other != s {
		other.applied = 0 // the device was told of an id, and that may by then have been this one's
		r.dirty(other, false)
	}
	s.busy = false
	s.tell(j, err == nil && a.ack, err != nil && attempts > 0)
	if !ended && s.order == j.order {
		s.order = nil
	}
	j.rec.Attempts = attempts
	r.wave.told(s, attempts)
	if changed && lost {
		s.applied = 0
	}
	if !ended {
		j.rec.AnsweredAt = r.cfg.Now()
	}
	switch {
	case ended: // it stays unanswered, and is due again if the difference is still there
	case errors.Is(err, errTimeout):
		r.timedOut(j)
	case err != nil:
		j.rec.Answer = nas.Unreachable
		s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultUnreachable).Inc()
		r.giveUp(s, err.Error())
	case a.ack:
		r.acked(j)
	default:
		r.naked(j, a.cause)
	}
	if s.gone && j.rec.Method == nas.Disconnect && !s.goneAt.IsZero() {
		j.rec.ConfirmedAt, j.rec.Evidence = s.goneAt, nas.EvidenceStop // the Stop was faster than the answer
		s.awaiting = nil
	}
	r.cfg.Record(j.rec)
	r.settle(s)
}

// keep stores what a session has after a CoA, before the next command for it can be sent. When its id names another
// session by now, it is unknown what that one has. SetApplied is called without the lock: the store may be telling of
// sessions at this moment.
func (r *Reconciler) keep(j *job, lost bool) {
	r.mu.Lock()
	current := r.sessions[j.rec.Session]
	r.mu.Unlock()
	switch {
	case current == nil:
	case lost || current != j.s:
		r.cfg.SetApplied(j.rec.Session, 0)
	default:
		r.cfg.SetApplied(j.rec.Session, j.want.Digest())
	}
}

func (r *Reconciler) acked(j *job) {
	s := j.s
	j.rec.Answer = nas.Acked
	s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultACK).Inc()
	if !j.since.IsZero() {
		r.metrics.changeToACK.Observe(time.Since(j.since).Seconds())
	}
	s.backoff, s.retryAt = 0, time.Time{}
	if j.rec.Method == nas.CoA {
		s.applied = j.want.Digest()
	} else {
		s.disconnectedAt, s.obeyed = time.Now(), j.order
	}
	s.instead, s.insteadWhy = 0, ""
	awaiting := j.rec
	s.awaiting = &awaiting
}

// naked decides by the Error-Cause (RFC 5176, section 3.5) whether a Disconnect may do what the CoA could not.
func (r *Reconciler) naked(j *job, cause int) {
	s := j.s
	j.rec.Answer, j.rec.ErrorCause = nas.Naked, cause
	s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultNAK).Inc()
	log := r.cfg.Log.Info().Str("login", s.Login).Str("method", string(j.rec.Method)).Str("cause", ErrorCauseName(cause))
	if s.lane.device != nil {
		log = log.Str("device", s.lane.device.Name)
	}
	log.Msg("command refused")
	switch {
	case cause == 503: // if it has such a session after all, its accounting will tell
		s.stale = true
		r.rest(s)
	case j.probe: // it knows the session
	case j.rec.Method == nas.Disconnect:
		r.giveUp(s, "disconnect refused: "+ErrorCauseName(cause))
	case cause == 403, cause == 502, cause == 505, cause == 507, cause == 508: // a Disconnect would fare no better
		r.giveUp(s, "CoA refused: "+ErrorCauseName(cause))
	default:
		s.instead, s.insteadWhy = j.want.Digest(), "CoA refused: "+ErrorCauseName(cause)
	}
}

// timedOut tries a Disconnect once: a device may know that when it does not know the other.
func (r *Reconciler) timedOut(j *job) {
	s := j.s
	j.rec.Answer = nas.TimedOut
	s.lane.tally().commands.WithLabelValues(string(j.rec.Method), resultTimeout).Inc()
	if j.probe {
		return
	}
	if j.rec.Method == nas.CoA {
		s.instead, s.insteadWhy = j.want.Digest(), "no answer to the CoA"
		return
	}
	awaiting := j.rec // a Stop would still show that it was obeyed
	s.awaiting = &awaiting
	r.giveUp(s, errTimeout.Error())
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
	s.instead, s.insteadWhy = 0, ""
}
