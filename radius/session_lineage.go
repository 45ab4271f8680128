package radius

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Lineage is the sessions that one key has named, oldest first: access servers use an Acct-Session-Id again after they
// begin anew. Only the last one can be open.
type Lineage []Session

// Change is what a record did to a lineage.
type Change uint8

const (
	Unchanged Change = iota // nothing new: a duplicate, or late
	Opened                  // first sight of a session, which is open
	Updated
	Reopened // a session that was taken for closed is open
	Closed   // a session has ended, perhaps one that was first seen by its Stop
	Amended  // something was learned of a session that had ended before
)

// reuseAfter is how much later than a known session's start another start must lie to be a different session. It covers
// clocks that are wrong within the bounds of an Event-Timestamp, and records that were resent without a delay.
const reuseAfter = timestampRange

// age says when a record's session began, compared with s: -1 before it, 0 it is s, +1 after it.
func (s *Session) age(r *Record) int {
	if r.Kind == KindClosed {
		if apart := r.Closing.Start.Sub(s.StartedAt); apart.Abs() > reuseAfter {
			return cmp.Compare(apart, 0)
		}
		return 0
	}
	start, known := r.start()
	if s.Stranger(r) {
		return cmp.Or(start.Compare(s.StartedAt), cmp.Compare(r.Login, s.Login), 1)
	}
	after := start.After(s.StartedAt.Add(reuseAfter))
	switch {
	case r.Kind == KindApplied:
		return 0
	case start.Add(reuseAfter).Before(s.StartedAt) && !r.Event.After(s.StartedAt.Add(reuseAfter)):
		return -1
	case !known:
		return 0
	case s.Inferred() && s.ClosedBy != ClosedByReuse && start.After(s.ClosedAt):
		return 1
	case after && (r.Kind == KindStart || r.Seconds < s.Seconds || start.After(s.LastSeen)):
		return 1
	}
	return 0
}

// Stranger reports whether a record cannot be of the session although both have its id: it is of another access, of
// another login where no Class says which access, or of another access server behind the same device. Some access
// servers number their sessions so that two which are open at once have one id.
func (s *Session) Stranger(r *Record) bool {
	if r.NASIdentifier != s.NASIdentifier && r.NASIdentifier != "" && s.NASIdentifier != "" {
		return true
	}
	if r.Cookie.Access != 0 && s.Access != 0 {
		return r.Cookie.Access != s.Access
	}
	return r.Login != s.Login && r.Login != "" && s.Login != "" &&
		!strings.EqualFold(strings.TrimSpace(r.Login), strings.TrimSpace(s.Login))
}

// Fold merges a record into the session of the lineage that it belongs to, or begins one: a session opened before booted
// (the last Accounting-On of its access server; zero when none is known) by a record from before it has ended with it.
// at is the session that changed. When a session begins after one that was open, that one is closed as replaced: it is
// at-1. The lineage given may be changed.
func (l Lineage) Fold(r *Record, booted Boot) (after Lineage, at int, change Change) {
	next := 0
	for i := len(l) - 1; i >= 0; i-- {
		age := l[i].age(r)
		if age == 0 {
			return l.merge(i, r, booted)
		}
		if age > 0 {
			next = max(next, i+1)
			if !l[i].Stranger(r) {
				break
			}
		}
	}
	return l.begin(next, r, booted)
}

func (l Lineage) merge(i int, r *Record, booted Boot) (Lineage, int, Change) {
	before := l[i]
	after := Fold(before, r)
	if after.Open() {
		after.startedBefore(booted)
	}
	if after.Open() && i < len(l)-1 {
		after.infer(ClosedByReuse, after.LastSeen, 0)
	}
	l[i] = after
	switch {
	case after.Same(&before):
		return l, i, Unchanged
	case before.Open() && after.Open():
		return l, i, Updated
	case before.Open():
		return l, i, Closed
	case after.Open():
		return l, i, Reopened
	}
	return l, i, Amended
}

func (l Lineage) begin(i int, r *Record, booted Boot) (Lineage, int, Change) {
	if r.Kind == KindApplied || r.Kind == KindClosed {
		return l, -1, Unchanged
	}
	s := opened(r)
	// Strangers may begin in the same second; sessions of one key are told apart, and stand in order, by when they began.
	apart := time.Microsecond
	if i < len(l) {
		apart = -apart
	}
	for slices.ContainsFunc(l, func(o Session) bool { return o.StartedAt.Equal(s.StartedAt) }) {
		s.StartedAt = s.StartedAt.Add(apart)
	}
	switch {
	case !s.Open():
	case i < len(l):
		s.infer(ClosedByReuse, s.LastSeen, 0)
	default:
		s.startedBefore(booted)
	}
	if i > 0 && l[i-1].Open() {
		l[i-1].infer(ClosedByReuse, l[i-1].LastSeen, 0)
	}
	l = slices.Insert(l, i, s)
	if s.Open() {
		return l, i, Opened
	}
	return l, i, Closed
}

// Boot is an Accounting-On or -Off.
type Boot struct {
	At time.Time
	By ClosedBy
}

// ends reports whether a boot that named itself with identifier (empty: the whole device) ended the session: one of which
// nothing later is known.
func (b Boot) ends(identifier string, s *Session) bool {
	return s.Open() && !s.StartedAt.After(b.At) && !s.LastSeen.After(b.At) &&
		(identifier == "" || s.NASIdentifier == "" || s.NASIdentifier == identifier)
}

// startedBefore ends an open session that began before its access server did.
func (s *Session) startedBefore(booted Boot) {
	if !booted.At.IsZero() && !s.StartedAt.After(booted.At) {
		s.infer(booted.By, booted.At, CauseNASReboot)
	}
}

// BootOf reads Accounting-On and -Off.
func BootOf(r *Record) Boot {
	if r.Kind == KindOff {
		return Boot{r.Event, ClosedByOff}
	}
	return Boot{r.Event, ClosedByOn}
}
