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
	ClosedByReuse ClosedBy = "replaced"       // inferred: its id, or its line, has a later session
	ClosedByStale ClosedBy = "stale"          // inferred: its device no longer reports it
	ClosedByGone  ClosedBy = "gone"           // inferred: its device says that it has no such session
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
	Multi      string // Acct-Multi-Session-Id: what the sessions of one subscriber's line have in common

	// InputBase and OutputBase are what the device's counters had reached when they wrapped or began anew: a counter as
	// the device says it is Input less InputBase.
	InputBase, OutputBase uint64

	ClosedBy ClosedBy
	// Stopped is the end: of the Stop; or, inferred, the time of Accounting-On or -Off, or when it was last seen.
	Stopped time.Time
	// ClosedAt is, of an inferred end, the instant at which it was inferred: a record of a later event opens the session
	// again. Zero of other sessions.
	ClosedAt time.Time
	Cause    uint32 // Acct-Terminate-Cause

	Attention
}

// Open reports whether the session is not known to have ended.
func (s *Session) Open() bool { return s.ClosedBy == StillOpen }

// report is what accounting has said of the session; class is what came back in the newest record.
func (s *Session) report(class nas.Digest) nas.Report {
	return nas.Report{At: s.LastSeen, Seconds: s.Seconds, Input: s.Input, Output: s.Output, Class: class}
}

// Inferred reports whether the session was taken for ended without its device having said so.
func (s *Session) Inferred() bool { return s.ClosedBy != StillOpen && s.ClosedBy != ClosedByStop }

// Fold merges a record into the session it belongs to. The same records give the same session in any order and however
// often each comes: counters, times and addresses only grow, the start is fixed when the session is first seen, and a
// Stop ends it whatever comes late. Two things open it again: a record later than an end that was only inferred, and an
// Interim-Update later than the Stop whose Acct-Session-Time and counters are beyond it.
//
// Counters that fall while the session goes on are an exception: there the order of records does matter. See count. So
// are those of records without Acct-Session-Time that rise faster than any line. See plausible.
func Fold(s Session, r *Record) Session { return fold(s, s.plausible(r)) }

func fold(s Session, r *Record) Session {
	switch r.Kind {
	case KindApplied:
		if s.Open() {
			s.Applied = cmp.Or(r.Cookie.Granted, nas.Unsure)
		}
		return s
	case KindClosed:
		s.infer(r.Closing.By, r.Event, r.Cause)
		return s
	}
	advanced := !r.Event.Before(s.LastSeen)
	beyond := s.beyond(r)
	passed := s.passed(r)
	s.describe(r, advanced)
	s.count(r, s.ClosedBy == ClosedByStop && !beyond)
	if !passed {
		s.end(r, beyond)
	}
	s.Seconds = max(s.Seconds, r.Seconds)
	if r.Event.After(s.LastSeen) {
		s.LastSeen = r.Event
	}
	if s.Inferred() && s.ClosedBy != ClosedByOn && s.ClosedBy != ClosedByOff {
		s.Stopped = s.LastSeen
	}
	return s
}

// beyond reports whether a record shows that its session went on after the Stop that is known.
func (s *Session) beyond(r *Record) bool {
	return r.TimeKnown && r.Seconds > s.Seconds && r.Event.After(s.Stopped) &&
		r.Input.N >= s.Input-s.InputBase && r.Output.N >= s.Output-s.OutputBase
}

// passed reports the same the other way round: whether a Stop is one that its session is known to have gone on after.
func (s *Session) passed(r *Record) bool {
	return r.Kind == KindStop && s.ClosedBy != ClosedByStop && r.TimeKnown && r.Seconds < s.Seconds && r.Event.Before(s.LastSeen) &&
		r.Input.N <= s.Input-s.InputBase && r.Output.N <= s.Output-s.OutputBase
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
	fill(&s.Multi, r.Multi)
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
			s.ClosedBy, s.Stopped, s.Cause, s.ClosedAt = ClosedByStop, r.Event, r.Cause, time.Time{}
		}
	case s.ClosedBy == ClosedByStop && r.Kind == KindInterim && beyond, s.Inferred() && r.Event.After(s.ClosedAt):
		s.ClosedBy, s.Stopped, s.Cause, s.ClosedAt = StillOpen, time.Time{}, 0, time.Time{}
	}
}

// infer ends a session of which nothing after at is known. Of several such ends the latest counts; a Stop stays.
func (s *Session) infer(by ClosedBy, at time.Time, cause uint32) {
	if s.ClosedBy == ClosedByStop || s.LastSeen.After(at) {
		return
	}
	if s.Inferred() && (at.Before(s.ClosedAt) || at.Equal(s.ClosedAt) && by >= s.ClosedBy) {
		return
	}
	s.ClosedBy, s.ClosedAt, s.Stopped, s.Cause = by, at, s.LastSeen, cause
	if by == ClosedByOn || by == ClosedByOff {
		s.Stopped = at
	}
}

// plausible is the record without the counters that rose faster since the last one than any line is, where the record does
// not say how long its session has lasted: ParseRecord has looked at the others.
func (s *Session) plausible(r *Record) *Record {
	in, out := s.leaps(r)
	if !in && !out {
		return r
	}
	p := *r
	if in {
		p.Input = Octets{}
	}
	if out {
		p.Output = Octets{}
	}
	return &p
}

func (s *Session) leaps(r *Record) (in, out bool) {
	if r.TimeKnown || r.Kind == KindApplied || r.Kind == KindClosed {
		return false, false
	}
	since := max(0, int64(r.Event.Sub(s.LastSeen)/time.Second))
	leaps := func(had uint64, said Octets) bool { return said.N > had && absurd(said.N-had, since) }
	return leaps(s.Input-s.InputBase, r.Input), leaps(s.Output-s.OutputBase, r.Output)
}

const wrap = 1 << 32

// count merges the counters of a record. A late record, and one after a Stop (stopped), can only raise them.
//
// A counter that falls while the session goes on has either wrapped at 32 bits, which it can without Gigawords and from
// its upper half, or has begun anew: then what it had reached is the base to which it adds. One that begins anew has lost
// more than half; of a smaller fall, and of zero, nothing is believed. When both fall and they cannot both have wrapped,
// both have begun anew.
func (s *Session) count(r *Record, stopped bool) {
	late, advanced := r.Seconds < s.Seconds, r.Seconds > s.Seconds
	if !r.TimeKnown {
		late, advanced = r.Event.Before(s.LastSeen), r.Event.After(s.LastSeen)
	}
	if late || stopped {
		s.Input, s.Output = max(s.Input, r.Input.N), max(s.Output, r.Output.N)
		return
	}
	if advanced {
		in, out := fell(s.Input-s.InputBase, r.Input), fell(s.Output-s.OutputBase, r.Output)
		if in != 0 && out != 0 && in != out {
			in, out = begunAnew, begunAnew
		}
		s.InputBase, s.OutputBase = rebase(s.InputBase, s.Input, in), rebase(s.OutputBase, s.Output, out)
	}
	s.Input, s.Output = grow(s.Input, s.InputBase, r.Input), grow(s.Output, s.OutputBase, r.Output)
}

type fall uint8

const (
	noFall fall = iota
	wrapped
	begunAnew
)

func fell(last uint64, said Octets) fall {
	switch {
	case !said.Known || said.N == 0 || said.N >= last:
		return noFall
	case !said.Wide && last < wrap && last >= wrap/2:
		return wrapped
	case said.N < last/2:
		return begunAnew
	}
	return noFall
}

func rebase(base, have uint64, f fall) uint64 {
	switch f {
	case wrapped:
		return base + wrap
	case begunAnew:
		return have
	}
	return base
}

func grow(have, base uint64, said Octets) uint64 {
	if !said.Known {
		return have
	}
	return min(max(have, base+said.N), math.MaxInt64)
}

// opened is the session that a record is the first sight of.
func opened(r *Record) Session {
	start, _ := r.start()
	s := Session{Session: nas.Session{Key: r.Key, StartedAt: start}, LastSeen: r.Event}
	return fold(s, r)
}

// Same reports whether two states of a session are equal.
func (s *Session) Same(o *Session) bool {
	return s.Session == o.Session && s.LastSeen.Equal(o.LastSeen) && s.Seconds == o.Seconds && s.Input == o.Input &&
		s.Output == o.Output && s.InputBase == o.InputBase && s.OutputBase == o.OutputBase && s.Multi == o.Multi &&
		len(s.FramedIPv6) == len(o.FramedIPv6) && s.ClosedBy == o.ClosedBy &&
		s.Stopped.Equal(o.Stopped) && s.ClosedAt.Equal(o.ClosedAt) && s.Cause == o.Cause
}
