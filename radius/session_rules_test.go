package radius

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
)

// on is a record as another access, login or access server would send it under testKey's id.
func on(r *Record, change func(*Record)) *Record {
	change(r)
	return r
}

func closing(by ClosedBy, start, at int) *Record {
	event := t0.Add(time.Duration(at) * time.Second)
	return &Record{Kind: KindClosed, Key: testKey, Received: event, Event: event,
		Closing: Closing{t0.Add(time.Duration(start) * time.Second), by}}
}

func sum(l Lineage) (in, out uint64) {
	for i := range l {
		in, out = in+l[i].Input, out+l[i].Output
	}
	return in, out
}

// TestAccountingRules is what a session is, rule by rule.
func TestAccountingRules(t *testing.T) {
	start, interim, stop := KindStart, KindInterim, KindStop
	access := func(a contracts.AccessID) func(*Record) {
		return func(r *Record) { r.Cookie = nas.Cookie{Access: a, Granted: 9} }
	}
	for name, c := range map[string]struct {
		records []*Record
		want    func(Lineage) bool
	}{
		"identity: two accesses with one id at the same time are two sessions": {
			[]*Record{on(rec(start, 0, 0, 0, 0), access(1)), on(rec(start, 60, 0, 0, 0), access(2)),
				on(rec(interim, 300, 300, 7, 70), access(1)), on(rec(interim, 360, 300, 5, 50), access(2))},
			func(l Lineage) bool {
				return len(l) == 2 && l[0].Input == 7 && l[1].Input == 5 && l[0].ClosedBy == ClosedByReuse && l[1].Open()
			}},
		"identity: two access servers behind one device with one id are two sessions": {
			[]*Record{on(rec(interim, 300, 300, 7, 70), func(r *Record) { r.NASIdentifier = "bras-1" }),
				on(rec(interim, 300, 200, 5, 50), func(r *Record) { r.NASIdentifier = "bras-2" })},
			func(l Lineage) bool { in, _ := sum(l); return len(l) == 2 && in == 12 }},
		"identity: the same Class is the same session, however the login is written": {
			[]*Record{on(rec(start, 0, 0, 0, 0), access(1)), on(login(rec(interim, 300, 300, 7, 70), "ANA"), access(1))},
			func(l Lineage) bool { return len(l) == 1 && l[0].Login == "ana@isp" && l[0].Input == 7 }},
		"identity: without Class, the case of a login makes no other session": {
			[]*Record{rec(start, 0, 0, 0, 0), login(rec(interim, 300, 300, 7, 70), "ANA@isp ")},
			func(l Lineage) bool { return len(l) == 1 }},
		"a retransmission with a longer Acct-Delay-Time, its event seconds apart": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(start, 3, 0, 0, 0), rec(interim, 300, 300, 5, 50), rec(interim, 304, 300, 5, 50)},
			func(l Lineage) bool { return len(l) == 1 && l[0].Input == 5 && l[0].StartedAt.Equal(t0) }},
		"an id used again after the access server began anew": {
			[]*Record{rec(interim, 300, 300, 5, 50), rec(start, 2000, 0, 0, 0), rec(interim, 2300, 300, 1, 10)},
			func(l Lineage) bool { return len(l) == 2 && l[0].Output == 50 && l[1].Output == 10 && !l[0].Open() }},
		"a late Start": {
			[]*Record{rec(interim, 300, 300, 5, 50), rec(start, 0, 0, 0, 0)},
			func(l Lineage) bool { return len(l) == 1 && l[0].Open() && l[0].Input == 5 }},
		"no Start at all": {
			[]*Record{rec(interim, 300, 300, 5, 50), rec(stop, 400, 400, 6, 60)},
			func(l Lineage) bool {
				return len(l) == 1 && l[0].StartedAt.Equal(t0) && l[0].ClosedBy == ClosedByStop && l[0].Input == 6
			}},
		"no Stop: another session has the id": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(interim, 300, 300, 5, 50), rec(interim, 4000, 100, 1, 1)},
			func(l Lineage) bool { return len(l) == 2 && l[0].ClosedBy == ClosedByReuse && l[1].Open() }},
		"a late Interim after the Stop": {
			[]*Record{rec(stop, 600, 600, 9, 90), rec(interim, 300, 300, 5, 50)},
			func(l Lineage) bool { return len(l) == 1 && !l[0].Open() && l[0].Input == 9 && l[0].Seconds == 600 }},
		"a Stop that comes after an Interim from beyond it does not end the session": {
			[]*Record{rec(interim, 900, 900, 11, 110), rec(stop, 600, 600, 9, 90)},
			func(l Lineage) bool { return len(l) == 1 && l[0].Open() && l[0].Input == 11 }},
		"a Stop a second short of the last Interim's session time ends it": {
			[]*Record{rec(interim, 300, 300, 5, 50), rec(stop, 301, 299, 5, 50)},
			func(l Lineage) bool { return !l[0].Open() }},
		"gigawords": {
			[]*Record{rec(interim, 300, 300, 5<<32|1, 50), rec(interim, 600, 600, 6<<32, 60)},
			func(l Lineage) bool { return l[0].Input == 6<<32 && l[0].InputBase == 0 }},
		"32 bits that wrap both ways at once": {
			[]*Record{narrow(rec(interim, 300, 300, 4_000_000_000, 4_100_000_000)), narrow(rec(interim, 600, 600, 500, 600))},
			func(l Lineage) bool { return l[0].Input == wrap+500 && l[0].Output == wrap+600 }},
		"counters that begin anew add to what they had reached": {
			[]*Record{rec(interim, 300, 300, 5000, 50_000), rec(interim, 600, 600, 70, 700), rec(interim, 900, 900, 90, 900), rec(stop, 1000, 1000, 95, 950)},
			func(l Lineage) bool { return l[0].Input == 5095 && l[0].Output == 50_950 && l[0].InputBase == 5000 }},
		"counters that begin anew twice": {
			[]*Record{rec(interim, 300, 300, 5000, 50_000), rec(interim, 600, 600, 70, 700), rec(interim, 900, 900, 1, 2)},
			func(l Lineage) bool { return l[0].Input == 5071 && l[0].Output == 50_702 }},
		"counters that begin anew from beyond 2^31, one of them from less: neither wrapped": {
			[]*Record{narrow(rec(interim, 300, 300, 3_000_000, 3_000_000_000)), narrow(rec(interim, 600, 600, 1000, 2000))},
			func(l Lineage) bool { return l[0].Input == 3_001_000 && l[0].Output == 3_000_002_000 }},
		"counters that begin anew where Gigawords are sent only when there are some": {
			[]*Record{rec(interim, 300, 300, 2<<32, 9<<32), narrow(rec(interim, 600, 600, 100, 200))},
			func(l Lineage) bool { return l[0].Input == 2<<32+100 && l[0].Output == 9<<32+200 }},
		"a record from before the counters began anew, late": {
			[]*Record{rec(interim, 300, 300, 5000, 50_000), rec(interim, 600, 600, 70, 700), rec(interim, 300, 300, 5000, 50_000), rec(interim, 200, 200, 4000, 40_000)},
			func(l Lineage) bool { return l[0].Input == 5070 && l[0].Output == 50_700 }},
		"a counter that reads zero for once is no usage and loses none": {
			[]*Record{rec(interim, 300, 300, 5000, 50_000), rec(interim, 600, 600, 0, 0), rec(interim, 900, 900, 5100, 51_000), rec(stop, 1000, 1000, 0, 0)},
			func(l Lineage) bool { return l[0].Input == 5100 && l[0].Output == 51_000 }},
		"a counter that falls a little is a device that reads it badly": {
			[]*Record{rec(interim, 300, 300, 5000, 50_000), rec(interim, 600, 600, 4900, 49_000)},
			func(l Lineage) bool { return l[0].Input == 5000 && l[0].Output == 50_000 }},
		"Acct-Multi-Session-Id is kept": {
			[]*Record{on(rec(start, 0, 0, 0, 0), func(r *Record) { r.Multi = "m1" }), rec(interim, 300, 300, 5, 50)},
			func(l Lineage) bool { return len(l) == 1 && l[0].Multi == "m1" }},
		"a session taken for gone goes on when it is reported later": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByGone, 0, 1000), rec(interim, 1200, 1200, 6, 60)},
			func(l Lineage) bool {
				return len(l) == 1 && l[0].Open() && l[0].Input == 6 && l[0].ClosedAt.IsZero() && l[0].Stopped.IsZero()
			}},
		"a session taken for gone stays so by what happened before": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByGone, 0, 1000), rec(interim, 900, 900, 6, 60)},
			func(l Lineage) bool {
				return len(l) == 1 && l[0].ClosedBy == ClosedByGone && l[0].Input == 6 && l[0].Stopped.Equal(t0.Add(900*time.Second))
			}},
		"a stale session ends when it was last seen, and its Stop is believed when it comes": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByStale, 0, 300), rec(stop, 400, 400, 5, 50)},
			func(l Lineage) bool {
				return l[0].ClosedBy == ClosedByStop && l[0].Stopped.Equal(t0.Add(400*time.Second))
			}},
		"what was inferred of an earlier session of the id does not touch the later one": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(start, 3000, 0, 0, 0), closing(ClosedByGone, 0, 4000)},
			func(l Lineage) bool { return len(l) == 2 && l[1].Open() }},
		"nothing is inferred of a session that was heard of since": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(interim, 600, 600, 1, 1), closing(ClosedByStale, 0, 300)},
			func(l Lineage) bool { return l[0].Open() }},
	} {
		t.Run(name, func(t *testing.T) {
			if l := foldAll(c.records...); !c.want(l) {
				t.Errorf("%+v", l)
			}
		})
	}
}

// TestAnyOrderWithInferredEnds mixes what was inferred of a session into its records.
func TestAnyOrderWithInferredEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := incarnation(t, 0, testKey, false)
		last := int(records[len(records)-1].Event.Sub(t0).Seconds())
		for range rapid.IntRange(1, 3).Draw(t, "closings") {
			by := rapid.SampledFrom([]ClosedBy{ClosedByStale, ClosedByGone, ClosedByReuse}).Draw(t, "by")
			records = append(records, closing(by, 0, rapid.IntRange(0, last+100).Draw(t, "at")))
		}
		boot := Boot{}
		if rapid.Bool().Draw(t, "booted") {
			boot = Boot{t0.Add(time.Duration(rapid.IntRange(0, last+100).Draw(t, "boot")) * time.Second), ClosedByOn}
		}
		fold := func(records []*Record) Lineage {
			l, _, _ := Lineage(nil).Fold(records[0], boot)
			for _, r := range records[1:] {
				l, _, _ = l.Fold(r, boot)
			}
			return l
		}
		want := fold(records)
		// What is inferred is inferred of something: a record comes before it.
		rest := shuffled(t, records, true)
		first := slices.IndexFunc(rest, func(r *Record) bool { return r.Kind != KindClosed })
		rest[0], rest[first] = rest[first], rest[0]
		if got := fold(rest); !sameLineage(got, want) {
			t.Fatalf("in another order:\n%+v\nin order:\n%+v", got, want)
		}
	})
}

// TestCountersThatFall gives a session's records, whose counters begin anew or wrap now and then, in their order, with
// any of them again later. Nothing is lost and nothing counts twice.
func TestCountersThatFall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wide := rapid.Bool().Draw(t, "gigawords")
		var records []*Record
		var in, out, total uint64
		seconds := 0
		for range rapid.IntRange(1, 12).Draw(t, "interims") {
			seconds += rapid.IntRange(1, 600).Draw(t, "pause")
			step := rapid.Uint64Range(1<<20, 1<<30).Draw(t, "step")
			if wide && rapid.IntRange(0, 4).Draw(t, "anew") == 0 && in > 1<<22 {
				step = rapid.Uint64Range(1, 1<<20).Draw(t, "since")
				in, out = 0, 0
			}
			in, out, total = in+step, out+2*step, total+step
			r := rec(KindInterim, seconds, seconds, in, out)
			if !wide {
				r.Input.N, r.Output.N = in&(wrap-1), out&(wrap-1)
				narrow(r)
			}
			records = append(records, r)
		}
		l := foldAll(records...)
		if len(l) != 1 || l[0].Input != total || l[0].Output != 2*total {
			t.Fatalf("counted %+v, want %d and %d of %d records", l, total, 2*total, len(records))
		}
		var again []*Record
		for i, r := range records {
			again = append(again, r)
			for range rapid.IntRange(0, 2).Draw(t, "duplicates") {
				again = append(again, records[rapid.IntRange(0, i).Draw(t, "of")])
			}
		}
		if got := foldAll(again...); !sameLineage(got, l) {
			t.Fatalf("with duplicates:\n%+v\nwithout:\n%+v", got, l)
		}
	})
}

func TestCountersNeverOverflow(t *testing.T) {
	l := foldAll(rec(KindInterim, 300, 300, math.MaxInt64, 1), rec(KindInterim, 600, 600, 1<<40, 2), rec(KindInterim, 900, 900, math.MaxInt64, 3))
	if l[0].Input != math.MaxInt64 || l[0].Output != 3 {
		t.Fatalf("%+v", l)
	}
}

// TestTwoNodesHearOfOneSession gives each record of a session to one of two nodes, or to both, and what each has drained
// to one storage in pieces.
func TestTwoNodesHearOfOneSession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := incarnation(t, 0, testKey, false)
		want := foldAll(records...)
		var nodes [2][]*Record
		for _, r := range records {
			n := rapid.IntRange(0, 2).Draw(t, "node")
			for i := range nodes {
				if n == i || n == 2 {
					nodes[i] = append(nodes[i], r)
				}
			}
		}
		var stored Lineage
		for len(nodes[0])+len(nodes[1]) > 0 {
			i := rapid.IntRange(0, 1).Draw(t, "drains")
			n := rapid.IntRange(0, len(nodes[i])).Draw(t, "batch")
			for _, r := range nodes[i][:n] {
				stored, _, _ = stored.Fold(r, Boot{})
			}
			nodes[i] = nodes[i][n:]
		}
		if !sameLineage(stored, want) {
			t.Fatalf("stored\n%+v\nwant\n%+v", stored, want)
		}
	})
}

// untimed is a record without Acct-Session-Time.
func untimed(at int, in, out uint64) *Record {
	r := rec(KindInterim, at, 0, in, out)
	r.TimeKnown = false
	return r
}

// TestCountersThatLeap has a device that sends no Acct-Session-Time report more than any line carries.
func TestCountersThatLeap(t *testing.T) {
	const petabyte = 1e15
	for name, c := range map[string]struct {
		records []*Record
		in, out uint64
	}{
		"an impossible leap":              {[]*Record{rec(KindStart, 0, 0, 0, 0), untimed(300, 500, petabyte)}, 500, 0},
		"and what comes after it":         {[]*Record{untimed(0, 100, 100), untimed(300, petabyte, 500), untimed(600, 700, 900)}, 700, 900},
		"after a long silence":            {[]*Record{untimed(0, 100, 100), untimed(3*3600, petabyte, 500)}, petabyte, 500},
		"a line of 400 Gbit/s":            {[]*Record{untimed(0, 1e15, 0), untimed(300, 1e15+15e12, 0)}, 1e15 + 15e12, 0},
		"what it had when first seen":     {[]*Record{untimed(0, petabyte, petabyte), untimed(300, petabyte+5, petabyte+5)}, petabyte + 5, petabyte + 5},
		"late":                            {[]*Record{untimed(0, 1, 1), untimed(9000, 5, 5), untimed(4000, petabyte, 4)}, 5, 5},
		"in a Stop, which still is one":   {[]*Record{untimed(0, 1, 1), {Kind: KindStop, Key: testKey, Event: t0.Add(time.Minute), Input: Octets{petabyte, true, true}}}, 1, 1},
		"since the counters began anew":   {[]*Record{untimed(0, 5e12, 1), untimed(300, 1000, 2), untimed(600, 1001+petabyte, 3)}, 5e12 + 1000, 3},
		"with a session time it is known": {[]*Record{rec(KindInterim, 9000, 9000, 1, 1), rec(KindInterim, 9001, 9001, petabyte, 2)}, petabyte, 2},
	} {
		l := foldAll(c.records...)
		if len(l) != 1 || l[0].Input != c.in || l[0].Output != c.out {
			t.Errorf("%s: %+v, want %d and %d", name, l, c.in, c.out)
		}
		if again := foldAll(append(slices.Clone(c.records), c.records...)...); !sameLineage(again, l) {
			t.Errorf("%s: all of it again gives\n%+v, not\n%+v", name, again, l)
		}
		if l[0].Open() == (c.records[len(c.records)-1].Kind == KindStop) {
			t.Errorf("%s: open %v", name, l[0].Open())
		}
	}
}

// TestALeapIsOdd counts what only the session shows.
func TestALeapIsOdd(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, _, sessions := testAccounting(t, registry)
	sessions.Apply(untimed(0, 100, 100))
	sessions.Apply(untimed(300, 1e15, 500))
	sessions.Apply(untimed(600, 900, 900))
	if s, ok := sessions.Get(testKey); !ok || s.Input != 900 || s.Output != 900 {
		t.Errorf("%+v", s)
	}
	metrics, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range metrics {
		for _, m := range family.GetMetric() {
			if family.GetName() == "enlace_accounting_odd_total" && m.GetLabel()[0].GetValue() == "counter" && m.GetCounter().GetValue() != 1 {
				t.Errorf("%v odd counters", m.GetCounter().GetValue())
			}
		}
	}
}
