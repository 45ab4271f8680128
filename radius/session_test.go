package radius

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/nas"
)

var t0 = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

var testKey = nas.SessionKey{Device: 7, ID: "81500003"}

// rec is a record of testKey's session at a second after t0, with the session's seconds and wide counters.
func rec(kind Kind, at, seconds int, in, out uint64) *Record {
	event := t0.Add(time.Duration(at) * time.Second)
	return &Record{
		Kind: kind, Key: testKey, Received: event, Event: event, Seconds: int64(seconds), TimeKnown: kind != KindStart,
		Input: Octets{in, kind != KindStart, true}, Output: Octets{out, kind != KindStart, true}, Login: "ana@isp",
	}
}

func narrow(r *Record) *Record {
	r.Input.Wide, r.Output.Wide = false, false
	return r
}

func foldAll(records ...*Record) Lineage {
	var l Lineage
	for _, r := range records {
		l, _, _ = l.Fold(r, Boot{})
	}
	return l
}

func sameLineage(a, b Lineage) bool {
	return slices.EqualFunc(a, b, func(x, y Session) bool { return x.Same(&y) && slices.Equal(x.FramedIPv6, y.FramedIPv6) })
}

// incarnation draws the records of one session in the order in which they happened: a Start, Interims, perhaps a Stop.
func incarnation(t *rapid.T, start int, key nas.SessionKey, mustStop bool) []*Record {
	base := Record{
		Key: key, Login: "ana@isp", NASIdentifier: "bras-1", CallingStation: "aa:bb", NASPort: "eth1:100",
		FramedIP: netip.MustParseAddr("100.64.0.9"), Cookie: nas.Cookie{Access: 3, Granted: 99},
	}
	at, seconds := t0.Add(time.Duration(start)*time.Second), int64(0)
	var in, out uint64
	var records []*Record
	add := func(kind Kind) *Record {
		r := base
		r.Kind, r.Event, r.Seconds, r.TimeKnown = kind, at.Add(time.Duration(seconds)*time.Second), seconds, kind != KindStart
		r.Received = r.Event
		r.Input, r.Output = Octets{in, kind != KindStart, true}, Octets{out, kind != KindStart, true}
		records = append(records, &r)
		return &r
	}
	add(KindStart)
	for range rapid.IntRange(0, 6).Draw(t, "interims") {
		seconds += int64(rapid.IntRange(1, 600).Draw(t, "pause"))
		in += rapid.Uint64Range(0, 1<<40).Draw(t, "in")
		out += rapid.Uint64Range(0, 1<<40).Draw(t, "out")
		r := add(KindInterim)
		if rapid.Bool().Draw(t, "v6") {
			var b [16]byte
			b[0], b[1], b[5] = 0x20, 0x01, byte(rapid.IntRange(0, 3).Draw(t, "pd"))
			r.FramedIPv6 = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16(b), 56)}
		}
	}
	if mustStop || rapid.Bool().Draw(t, "stop") {
		seconds += int64(rapid.IntRange(1, 600).Draw(t, "pause"))
		add(KindStop).Cause = 1
	}
	return records
}

func shuffled(t *rapid.T, records []*Record, duplicate bool) []*Record {
	shuffled := slices.Clone(records)
	if duplicate {
		for range rapid.IntRange(0, 5).Draw(t, "duplicates") {
			shuffled = append(shuffled, records[rapid.IntRange(0, len(records)-1).Draw(t, "of")])
		}
	}
	return rapid.Permutation(shuffled).Draw(t, "order")
}

func TestAnyOrderGivesTheSameSession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := incarnation(t, 0, testKey, false)
		want := foldAll(records...)
		if got := foldAll(shuffled(t, records, true)...); !sameLineage(got, want) {
			t.Fatalf("in another order:\n%+v\nin order:\n%+v", got, want)
		}
	})
}

func TestAnyOrderOfTwoSessionsWithOneID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := incarnation(t, 0, testKey, rapid.Bool().Draw(t, "first stops"))
		lasted := int(first[len(first)-1].Event.Sub(t0).Seconds())
		second := incarnation(t, lasted+int(2*reuseAfter.Seconds()), testKey, false)
		want := foldAll(append(slices.Clone(first), second...)...)
		if len(want) != 2 || want[0].Open() {
			t.Fatalf("not two sessions of which the first has ended: %+v", want)
		}
		got := foldAll(shuffled(t, append(slices.Clone(first), second...), true)...)
		if !sameLineage(got, want) {
			t.Fatalf("in another order:\n%+v\nin order:\n%+v", got, want)
		}
	})
}

func TestFoldIsIdempotentAndNeverLowers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := opened(rec(KindStart, 0, 0, 0, 0))
		for range rapid.IntRange(1, 12).Draw(t, "records") {
			seconds := rapid.IntRange(0, 5000).Draw(t, "seconds")
			r := rec(rapid.SampledFrom([]Kind{KindStart, KindInterim, KindStop}).Draw(t, "kind"),
				rapid.IntRange(0, 5000).Draw(t, "at"), seconds,
				rapid.Uint64Range(0, 1<<33).Draw(t, "in"), rapid.Uint64Range(0, 1<<33).Draw(t, "out"))
			if rapid.Bool().Draw(t, "narrow") {
				r.Input.N, r.Output.N = r.Input.N&(wrap-1), r.Output.N&(wrap-1)
				narrow(r)
			}
			once := Fold(s, r)
			if twice := Fold(once, r); !twice.Same(&once) {
				t.Fatalf("%+v again on\n%+v gives\n%+v", r, once, twice)
			}
			if once.Input < s.Input || once.Output < s.Output || once.Seconds < s.Seconds || once.LastSeen.Before(s.LastSeen) ||
				!once.StartedAt.Equal(s.StartedAt) {
				t.Fatalf("%+v lowers\n%+v to\n%+v", r, s, once)
			}
			s = once
		}
	})
}

func TestFoldCases(t *testing.T) {
	start, stop := KindStart, KindStop
	for name, c := range map[string]struct {
		records []*Record
		want    func(Lineage) bool
	}{
		"an Interim alone opens at its event less its session time": {
			[]*Record{rec(KindInterim, 300, 300, 10, 20)},
			func(l Lineage) bool {
				return len(l) == 1 && l[0].Open() && l[0].StartedAt.Equal(t0) && l[0].Output == 20
			}},
		"a Stop alone is a whole session": {
			[]*Record{rec(stop, 300, 300, 10, 20)},
			func(l Lineage) bool { return !l[0].Open() && l[0].StartedAt.Equal(t0) && l[0].Input == 10 }},
		"a Stop without counters keeps the usage": {
			[]*Record{rec(KindInterim, 300, 300, 10, 20), {Kind: stop, Key: testKey, Event: t0.Add(400 * time.Second)}},
			func(l Lineage) bool {
				return len(l) == 1 && !l[0].Open() && l[0].Output == 20 && l[0].Seconds == 300
			}},
		"a late Interim does not open again": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(stop, 600, 600, 9, 9), rec(KindInterim, 300, 300, 5, 5)},
			func(l Lineage) bool { return !l[0].Open() && l[0].Input == 9 }},
		"an Interim beyond the Stop opens again": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(stop, 600, 600, 9, 9), rec(KindInterim, 900, 900, 11, 11)},
			func(l Lineage) bool { return len(l) == 1 && l[0].Open() && l[0].Input == 11 && l[0].Stopped.IsZero() }},
		"an Interim later than the Stop with smaller counters does not": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(stop, 600, 600, 9, 9), rec(KindInterim, 900, 900, 2, 2)},
			func(l Lineage) bool { return !l[0].Open() && l[0].Input == 9 }},
		"a Start much later is another session": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(KindInterim, 300, 300, 5, 5), rec(start, 9000, 0, 0, 0)},
			func(l Lineage) bool {
				return len(l) == 2 && l[0].ClosedBy == ClosedByReuse && l[0].Input == 5 &&
					l[0].Stopped.Equal(t0.Add(300*time.Second)) && l[1].Open() && l[1].Input == 0
			}},
		"an Interim of a session that began much later is of another": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(KindInterim, 3600, 3600, 500, 500), rec(KindInterim, 9000, 60, 1, 1)},
			func(l Lineage) bool { return len(l) == 2 && l[1].Open() && l[1].Input == 1 }},
		"a Start of somebody else is another session at once": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(KindInterim, 60, 60, 5, 5), login(rec(start, 120, 0, 0, 0), "rui@isp")},
			func(l Lineage) bool { return len(l) == 2 && l[1].Login == "rui@isp" && l[0].ClosedBy == ClosedByReuse }},
		"a Start resent without a delay is the same session": {
			[]*Record{rec(KindInterim, 300, 300, 5, 5), rec(start, 310, 0, 0, 0)},
			func(l Lineage) bool { return len(l) == 1 && l[0].StartedAt.Equal(t0) }},
		"32 bits that wrap": {
			[]*Record{narrow(rec(KindInterim, 300, 300, 4_000_000_000, 1)), narrow(rec(KindInterim, 600, 600, 500, 2))},
			func(l Lineage) bool { return l[0].Input == wrap+500 && l[0].Output == 2 }},
		"32 bits that wrap, and the same record again": {
			[]*Record{narrow(rec(KindInterim, 300, 300, 4_000_000_000, 1)), narrow(rec(KindInterim, 600, 600, 500, 2)),
				narrow(rec(KindInterim, 600, 600, 500, 2)), narrow(rec(KindInterim, 300, 300, 4_000_000_000, 1))},
			func(l Lineage) bool { return l[0].Input == wrap+500 && l[0].Output == 2 }},
		"32 bits that wrap twice": {
			[]*Record{narrow(rec(KindInterim, 300, 300, 4_000_000_000, 1)), narrow(rec(KindInterim, 600, 600, 3_000_000_000, 1)),
				narrow(rec(stop, 900, 900, 7, 1))},
			func(l Lineage) bool { return l[0].Input == 2*wrap+7 }},
		"a small counter that falls has not wrapped: it has begun anew": {
			[]*Record{narrow(rec(KindInterim, 300, 300, 5_000_000, 1)), narrow(rec(KindInterim, 600, 600, 1000, 2))},
			func(l Lineage) bool { return l[0].Input == 5_001_000 && l[0].Output == 2 }},
		"a cookie is taken once": {
			[]*Record{cookie(rec(start, 0, 0, 0, 0), 5), cookie(rec(KindInterim, 300, 300, 1, 1), 6)},
			func(l Lineage) bool { return l[0].Applied == 5 && l[0].Access == 3 }},
		"what was applied later stays": {
			[]*Record{cookie(rec(start, 0, 0, 0, 0), 5), {Kind: KindApplied, Key: testKey, Event: t0.Add(time.Hour), Cookie: nas.Cookie{Granted: 8}},
				cookie(rec(KindInterim, 4000, 4000, 1, 1), 5)},
			func(l Lineage) bool { return len(l) == 1 && l[0].Applied == 8 }},
		"what is applied to an unknown session is nothing": {
			[]*Record{{Kind: KindApplied, Key: testKey, Event: t0, Cookie: nas.Cookie{Granted: 8}}},
			func(l Lineage) bool { return len(l) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			if l := foldAll(c.records...); !c.want(l) {
				t.Errorf("%+v", l)
			}
		})
	}
}

func login(r *Record, l string) *Record {
	r.Login = l
	return r
}

func cookie(r *Record, d nas.Digest) *Record {
	r.Cookie = nas.Cookie{Access: 3, Granted: d}
	return r
}

func TestBootedSessions(t *testing.T) {
	l, _, _ := Lineage(nil).Fold(rec(KindStart, 0, 0, 0, 0), Boot{At: t0.Add(time.Minute), By: ClosedByOn})
	if l[0].ClosedBy != ClosedByOn || !l[0].Stopped.Equal(t0.Add(time.Minute)) || l[0].Cause != CauseNASReboot {
		t.Fatalf("a Start from before the boot: %+v", l[0])
	}
	l, _, change := l.Fold(rec(KindInterim, 300, 300, 5, 5), Boot{At: t0.Add(time.Minute), By: ClosedByOn})
	if change != Reopened || !l[0].Open() {
		t.Fatalf("reported after the boot that was taken for its end: %v %+v", change, l[0])
	}
	l[0].infer(ClosedByOn, t0.Add(10*time.Minute), CauseNASReboot)
	l, _, change = l.Fold(rec(KindStart, 630, 0, 0, 0), Boot{At: t0.Add(10 * time.Minute), By: ClosedByOn})
	if change != Opened || len(l) != 2 || !l[1].Open() {
		t.Fatalf("the same id soon after the boot: %v %+v", change, l)
	}
}
