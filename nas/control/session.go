package control

import (
	"fmt"
	"strings"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// session is an open session with what it should have and what it has. The Reconciler's lock guards it.
type session struct {
	nas.Session
	lane *lane

	want    nas.Service
	known   bool       // want has been asked for and is known
	askedAt time.Time  // real clock: when want was asked for
	until   time.Time  // want holds until then; zero: no end is foreseen
	applied nas.Digest // 0: unknown
	restore bool       // want lowers a restriction
	differs bool
	since   time.Time // real clock: when the difference was noticed
	order   *order    // a person wants it disconnected
	probe   string    // why it is asked whether the device still has it; "": it is not

	busy  bool // a command is in flight
	dirty dirt // want is to be asked for again
	gone  bool
	place int    // in its lane's queue, -1 when in none
	line  *queue // the queue it is in
	bound int    // index in the heap of boundaries, -1 when in none

	claim     *nas.Grant // it may be commanded; nil: not, or nobody else could
	told      *nas.Told  // since the claim; nil: nothing
	commanded bool       // by this node
	heldUntil time.Time  // real clock: it may not be commanded until then

	instead     nas.Digest // the service for which a method failed: insteadBy is begun with
	insteadBy   nas.Method
	insteadWhy  string
	form        form         // how it is named, where that is not as for others of its device
	missed      nas.Digest   // the service for which a CoA-Request was not answered by a device that answers others
	goneOn      uint8        // how often it went on after a Disconnect that was acknowledged
	outlived    bool         // it went on after an end that a device acknowledged
	before      *nas.Service // what was applied when the wish changed; nil where that is not known
	retryAt     time.Time    // real clock: given up until then
	backoff     time.Duration
	unreachable bool // that its device cannot be told is recorded
	stale       bool // its device knows no such session; until it is heard of again
	givenUp     bool // until it is heard of, or is to have something else

	wave *wave // the last that it was part of
	part part  // of that wave

	last           nas.CommandID // of the last command
	trial          *trial        // of the last command
	disconnectedAt time.Time     // real clock: a Disconnect was acknowledged
	goneAt         time.Time
}

// untold reports whether nothing is known of what the session has: no Class came back, and nothing was told to it.
func (s *session) untold() bool {
	return s.Access == 0 && s.Applied == 0 && s.applied == 0 && !s.commanded && !s.busy
}

// owner is whose a session is: the access's that its Class names, else its login's.
type owner struct {
	access contracts.AccessID
	login  string
}

func (s *session) owner() owner {
	if s.Access != 0 {
		return owner{access: s.Access}
	}
	return owner{login: strings.TrimSpace(s.Login)}
}

// order is a person's Disconnect; by is the method when that did not do, and why says so.
type order struct {
	actor, reason string
	by            nas.Method
	why           string
}

// wants takes the newest answer to what the session should have. A new wish forgets what failed for the old one.
func (s *session) wants(svc nas.Service, known bool) {
	s.known = known
	before := s.want
	if !known || before.Digest() == svc.Digest() {
		return
	}
	if s.applied != 0 && before.Digest() == s.applied {
		s.before = &before
	}
	s.want = svc
	s.instead, s.insteadBy, s.insteadWhy, s.goneOn = 0, "", "", 0
	s.retryAt, s.backoff = time.Time{}, 0
	if s.applied == 0 {
		s.restore = nas.Restores(before.Digest(), svc)
	}
}

// settle puts a session where it belongs: into its lane's queue when a command is due, out of it when not.
func (r *Reconciler) settle(s *session) {
	defer r.unclaimIdle(s)
	if s.gone {
		return
	}
	defer r.track(s)
	r.setDiffers(s, s.known && !s.stale && s.applied != s.want.Digest())
	if s.busy {
		return // looked at again when the answer is there
	}
	s.givenUp = s.differs && s.order == nil && (time.Now().Before(s.retryAt) || !r.canTell(s.lane.device))
	if !s.disconnectedAt.IsZero() {
		s.givenUp = s.differs && time.Since(s.disconnectedAt) >= r.endPatience(s.lane)
	}
	if s.applied != 0 {
		s.restore = nas.Restores(s.applied, s.want)
	}
	switch {
	case time.Now().Before(s.heldUntil):
		s.lane.drop(s)
	case s.order != nil && !time.Now().Before(s.retryAt), s.probe != "" && s.known:
		s.lane.put(s, true)
	case !s.differs, !s.disconnectedAt.IsZero(), time.Now().Before(s.retryAt):
		s.lane.drop(s)
	case !r.canTell(s.lane.device):
		s.lane.drop(s)
		r.cannotTell(s)
	default:
		s.lane.put(s, s.restore)
	}
}

func (r *Reconciler) setDiffers(s *session, differs bool) {
	if s.differs == differs {
		return
	}
	s.differs = differs
	if differs {
		s.since = time.Now()
		s.lane.differing++
		r.metrics.differences.Inc()
	} else {
		s.lane.differing--
		r.metrics.differences.Dec()
	}
}

// cannotTell records once that a session's device has no address for commands.
func (r *Reconciler) cannotTell(s *session) {
	if s.unreachable {
		return
	}
	s.unreachable = true
	rec := r.newRecord(s, nas.CoA)
	rec.Reason = s.reason() + "; the access server has no address for commands"
	rec.Answer, rec.AnsweredAt = nas.Unreachable, rec.RequestedAt
	if s.want.Outcome == contracts.OutcomeReject {
		rec.Method = nas.Disconnect
	}
	s.lane.tally().commands.WithLabelValues(string(rec.Method), resultUnreachable).Inc()
	r.cfg.Record(rec)
}

// reason says for people why the session is changed.
func (s *session) reason() string {
	have := s.applied.Outcome()
	why := "rates changed"
	switch {
	case have == 0:
		why = fmt.Sprintf("to be %s, applied service unknown", s.want.Outcome)
	case s.want.Outcome < have:
		why = fmt.Sprintf("restored from %s to %s", have, s.want.Outcome)
	case s.want.Outcome > have:
		why = fmt.Sprintf("restricted from %s to %s", have, s.want.Outcome)
	}
	if s.instead != 0 && s.instead == s.want.Digest() {
		why += "; " + s.insteadWhy
	}
	return why
}
