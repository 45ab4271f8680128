package radius

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"

	"enlace/nas"
)

// ClosedBy says how a session's end is known.
type ClosedBy string

const (
	StillOpen     ClosedBy = ""
	ClosedByStop  ClosedBy = "stop"
	ClosedByOn    ClosedBy = "accounting-on"  // inferred: the access server began anew
	ClosedByOff   ClosedBy = "accounting-off" // inferred: the access server ended
	ClosedByReuse ClosedBy = "replaced"       // inferred: its id names a later session
)

// CauseNASReboot is the Acct-Terminate-Cause of sessions that Accounting-On and -Off end (RFC 2866, section 5.10).
const CauseNASReboot = 11

// Session is what is known of a session: everything that its records have said so far.
type Session struct {
	nas.Session
	LastSeen   time.Time // newest event
	Seconds    int64     // longest Acct-Session-Time
	Input      uint64    // octets from the subscriber: upload
	Output     uint64    // octets to the subscriber: download
	FramedIPv6 []netip.Prefix

	ClosedBy ClosedBy
	// Stopped is the end: of the Stop; or, inferred, the time of Accounting-On or -Off, or when it was last seen.
	Stopped time.Time
	Cause   uint32 // Acct-Terminate-Cause
}

// Open reports whether the session is not known to have ended.
func (s *Session) Open() bool { return s.ClosedBy == StillOpen }

// Fold merges a record into the session it belongs to. The same records give the same session in any order and however
// often each comes: counters, times and addresses only grow, the start is fixed when the session is first seen, and a
// Stop ends it whatever comes late. Two things open it again: records later than an end that was only inferred, and an
// Interim-Update whose Acct-Session-Time and counters are beyond the Stop's.
//
// A counter without Gigawords that falls while the session goes on has wrapped when more than half of its 32 bits had
// been used, and 2³² are added; of such counters the order of records does matter. Any other fall is passed over.
func Fold(s Session, r *Record) Session {
	if r.Kind == KindApplied {
		if s.Open() {
			s.Applied = cmp.Or(r.Cookie.Granted, nas.Unsure)
		}
		return s
	}
	advanced := !r.Event.Before(s.LastSeen)
	beyond := r.TimeKnown && r.Seconds > s.Seconds && r.Input.N >= s.Input && r.Output.N >= s.Output
	s.describe(r, advanced)
	s.Input = grow(s.Input, r.Input, s, r)
	s.Output = grow(s.Output, r.Output, s, r)
	s.end(r, beyond)
	s.Seconds = max(s.Seconds, r.Seconds)
	if r.Event.After(s.LastSeen) {
		s.LastSeen = r.Event
	}
	if s.ClosedBy == ClosedByReuse {
		s.Stopped = s.LastSeen
	}
	return s
}

// describe takes what the record says about who and where. What is known stays, but the address follows the newest.
func (s *Session) describe(r *Record, advanced bool) {
	fill := func(have *string, said string) {
		if *have == "" {
			*have = said
		}
	}
	fill(&s.Login, r.Login)
	fill(&s.CallingStation, r.CallingStation)
	fill(&s.NASPort, r.NASPort)
	fill(&s.NASIdentifier, r.NASIdentifier)
	if s.Access == 0 {
		s.Access = r.Cookie.Access
	}
	// A later Access-Accept cannot change an open session, so that a later cookie says nothing of this one.
	if s.Applied == 0 {
		s.Applied = r.Cookie.Granted
	}
	if r.FramedIP.IsValid() && (advanced || !s.FramedIP.IsValid()) {
		s.FramedIP = r.FramedIP
	}
	for _, p := range r.FramedIPv6 {
		s.FramedIPv6 = withPrefix(s.FramedIPv6, p)
	}
}

// withPrefix adds to a sorted list without changing it.
func withPrefix(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	i, found := slices.BinarySearchFunc(list, p, netip.Prefix.Compare)
	if found || len(list) >= maxPrefixes {
		return list
	}
	return slices.Insert(slices.Clone(list), i, p)
}

// end applies what the record says about the session's end.
func (s *Session) end(r *Record, beyond bool) {
	switch {
	case r.Kind == KindStop:
		later := r.Event.After(s.Stopped) || r.Event.Equal(s.Stopped) && r.Cause < s.Cause
		if s.ClosedBy != ClosedByStop || later {
			s.ClosedBy, s.Stopped, s.Cause = ClosedByStop, r.Event, r.Cause
		}
	case s.ClosedBy == ClosedByStop && r.Kind == KindInterim && beyond,
		(s.ClosedBy == ClosedByOn || s.ClosedBy == ClosedByOff) && r.Event.After(s.Stopped):
		s.ClosedBy, s.Stopped, s.Cause = StillOpen, time.Time{}, 0
	}
}

// close ends an open session by inference.
func (s *Session) close(by ClosedBy, at time.Time, cause uint32) {
	s.ClosedBy, s.Stopped, s.Cause = by, at, cause
}

const wrap = 1 << 32

// grow is a counter of s after r.
func grow(have uint64, said Octets, s Session, r *Record) uint64 {
	late := r.Seconds < s.Seconds
	advanced := r.Seconds > s.Seconds
	if !r.TimeKnown {
		late = r.Event.Before(s.LastSeen)
		advanced = r.Event.After(s.LastSeen)
	}
	switch {
	case !said.Known:
		return have
	case said.Wide || late:
		return max(have, said.N)
	}
	n := have&^(wrap-1) | said.N
	if n < have && advanced && have&(wrap-1) >= wrap/2 {
		n += wrap
	}
	return min(max(have, n), math.MaxInt64)
}

// opened is the session that a record is the first sight of.
func opened(r *Record) Session {
	start, _ := r.start()
	s := Session{Session: nas.Session{Key: r.Key, StartedAt: start}, LastSeen: r.Event}
	return Fold(s, r)
}

// Same reports whether two states of a session are equal.
func (s *Session) Same(o *Session) bool {
	return s.Session == o.Session && s.LastSeen.Equal(o.LastSeen) && s.Seconds == o.Seconds && s.Input == o.Input &&
		s.Output == o.Output && len(s.FramedIPv6) == len(o.FramedIPv6) && s.ClosedBy == o.ClosedBy &&
		s.Stopped.Equal(o.Stopped) && s.Cause == o.Cause
}
