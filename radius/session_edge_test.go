package radius

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// TestEdgesOfAccountingRules holds each rule where it is nearest to its opposite.
func TestEdgesOfAccountingRules(t *testing.T) {
	start, interim, stop := KindStart, KindInterim, KindStop
	untimed := func(r *Record) { r.Seconds, r.TimeKnown = 0, false }
	cause := func(c uint32) func(*Record) { return func(r *Record) { r.Cause = c } }
	ip := func(last byte) func(*Record) {
		return func(r *Record) { r.FramedIP = netip.AddrFrom4([4]byte{100, 64, 0, last}) }
	}
	has := func(last byte) func(Lineage) bool {
		return func(l Lineage) bool { return l[0].FramedIP == netip.AddrFrom4([4]byte{100, 64, 0, last}) }
	}
	applied := func(d nas.Digest) *Record {
		return &Record{Kind: KindApplied, Key: testKey, Event: t0.Add(time.Hour), Cookie: nas.Cookie{Granted: d}}
	}
	access := func(a contracts.AccessID) func(*Record) {
		return func(r *Record) { r.Cookie = nas.Cookie{Access: a, Granted: 9} }
	}
	closedBy := func(by ClosedBy, at int) func(Lineage) bool {
		return func(l Lineage) bool {
			return len(l) == 1 && l[0].ClosedBy == by && l[0].Stopped.Equal(t0.Add(time.Duration(at)*time.Second))
		}
	}
	open := func(l Lineage) bool { return len(l) == 1 && l[0].Open() }
	stopped := rec(stop, 600, 600, 9, 90)
	for name, c := range map[string]struct {
		records []*Record
		want    func(Lineage) bool
	}{
		"what is applied to a session that has ended is nothing": {
			[]*Record{cookie(rec(start, 0, 0, 0, 0), 5), stopped, applied(8)}, func(l Lineage) bool { return l[0].Applied == 5 && !l[0].Open() }},
		"what is applied and not known is unsure": {
			[]*Record{cookie(rec(start, 0, 0, 0, 0), 5), applied(0)}, func(l Lineage) bool { return l[0].Applied == nas.Unsure }},

		"beyond the Stop, after a wrap": {
			[]*Record{narrow(rec(interim, 300, 300, 4_000_000_000, 1)), narrow(rec(interim, 600, 600, 500, 2)),
				narrow(rec(stop, 900, 900, 700, 3)), narrow(rec(interim, 1200, 1200, 900, 4))},
			func(l Lineage) bool { return open(l) && l[0].Input == wrap+900 }},
		"beyond the Stop by its session time only": {
			[]*Record{stopped, rec(interim, 590, 610, 9, 90)}, closedBy(ClosedByStop, 600)},
		"beyond the Stop by its event only": {
			[]*Record{stopped, rec(interim, 700, 600, 9, 90)}, closedBy(ClosedByStop, 600)},
		"beyond the Stop with less sent": {
			[]*Record{stopped, rec(interim, 900, 900, 11, 80)}, closedBy(ClosedByStop, 600)},
		"beyond the Stop with less received": {
			[]*Record{stopped, rec(interim, 900, 900, 8, 100)}, closedBy(ClosedByStop, 600)},
		"beyond the Stop without a session time": {
			[]*Record{stopped, on(rec(interim, 900, 900, 11, 110), untimed)}, closedBy(ClosedByStop, 600)},

		"a Stop from before an Interim, without a session time": {
			[]*Record{rec(interim, 900, 900, 11, 110), on(rec(stop, 600, 600, 9, 90), untimed)}, closedBy(ClosedByStop, 600)},
		"a Stop from before an Interim, with a longer session time": {
			[]*Record{rec(interim, 900, 600, 11, 110), rec(stop, 890, 601, 11, 110)}, closedBy(ClosedByStop, 890)},
		"a Stop from before an Interim, with more received": {
			[]*Record{rec(interim, 900, 900, 11, 110), rec(stop, 600, 600, 50, 90)}, closedBy(ClosedByStop, 600)},
		"a Stop from before an Interim, with more sent": {
			[]*Record{rec(interim, 900, 900, 11, 110), rec(stop, 600, 600, 9, 900)}, closedBy(ClosedByStop, 600)},

		"the later of two Stops":        {[]*Record{stopped, rec(stop, 700, 700, 10, 100)}, closedBy(ClosedByStop, 700)},
		"the later of two Stops, first": {[]*Record{rec(stop, 700, 700, 10, 100), stopped}, closedBy(ClosedByStop, 700)},
		"the later of two Stops, whatever was said after them": {
			[]*Record{stopped, rec(interim, 900, 600, 9, 90), rec(stop, 700, 599, 9, 90)}, closedBy(ClosedByStop, 700)},
		"two Stops at once, the lower cause": {[]*Record{on(rec(stop, 600, 600, 9, 90), cause(6)), on(rec(stop, 600, 600, 9, 90), cause(2))}, func(l Lineage) bool { return l[0].Cause == 2 }},
		"two Stops at once, in turn":         {[]*Record{on(rec(stop, 600, 600, 9, 90), cause(2)), on(rec(stop, 600, 600, 9, 90), cause(6))}, func(l Lineage) bool { return l[0].Cause == 2 }},
		"a Stop takes back what was inferred": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByGone, 0, 1000), rec(stop, 400, 400, 5, 50)},
			func(l Lineage) bool { return closedBy(ClosedByStop, 400)(l) && l[0].ClosedAt.IsZero() }},
		"nothing is inferred of a Stop": {
			[]*Record{stopped, closing(ClosedByGone, 0, 1000)}, closedBy(ClosedByStop, 600)},
		"of two inferred ends the later": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByGone, 0, 1000), closing(ClosedByStale, 0, 900), rec(interim, 950, 950, 6, 60)},
			closedBy(ClosedByGone, 950)},

		"of two at one instant, one and the same": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByGone, 0, 1000), closing(ClosedByStale, 0, 1000)}, closedBy(ClosedByGone, 300)},
		"whichever comes first": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByStale, 0, 1000), closing(ClosedByGone, 0, 1000)}, closedBy(ClosedByGone, 300)},

		"the address follows the newest":      {[]*Record{on(rec(start, 0, 0, 0, 0), ip(1)), on(rec(interim, 300, 300, 1, 1), ip(2))}, has(2)},
		"and not what comes late":             {[]*Record{on(rec(interim, 600, 600, 1, 1), ip(2)), on(rec(interim, 300, 300, 1, 1), ip(1))}, has(2)},
		"unless none is known":                {[]*Record{rec(interim, 600, 600, 1, 1), on(rec(interim, 300, 300, 1, 1), ip(1))}, has(1)},
		"which access it is comes with Class": {[]*Record{rec(start, 0, 0, 0, 0), on(rec(interim, 300, 300, 1, 1), access(4))}, func(l Lineage) bool { return len(l) == 1 && l[0].Access == 4 }},

		"a late counter is not the sum of what was before": {
			[]*Record{rec(interim, 300, 300, 5000, 5000), rec(interim, 600, 600, 70, 70), rec(interim, 450, 450, 60, 60)},
			func(l Lineage) bool { return l[0].Input == 5070 && l[0].InputBase == 5000 }},
		"exactly half of what it was is read badly": {
			[]*Record{rec(interim, 300, 300, 5000, 5000), rec(interim, 600, 600, 2500, 2500)}, func(l Lineage) bool { return l[0].Input == 5000 }},
		"wide counters do not wrap": {
			[]*Record{rec(interim, 300, 300, 4_000_000_000, 4_000_000_000), rec(interim, 600, 600, 500, 500)},
			func(l Lineage) bool { return l[0].Input == 4_000_000_500 }},
		"without a session time, the event says what is late": {
			[]*Record{on(rec(interim, 600, 0, 5000, 5000), untimed), on(rec(interim, 300, 0, 100, 100), untimed)},
			func(l Lineage) bool { return l[0].Input == 5000 && l[0].InputBase == 0 }},
		"without a session time, counters begin anew all the same": {
			[]*Record{on(rec(interim, 300, 0, 5000, 5000), untimed), on(rec(interim, 600, 0, 100, 100), untimed)},
			func(l Lineage) bool { return l[0].Input == 5100 && l[0].InputBase == 5000 }},

		"a start ten minutes apart is the same":                      {[]*Record{rec(interim, 300, 300, 5, 50), rec(start, 600, 0, 0, 0)}, open},
		"one second more is another":                                 {[]*Record{rec(interim, 300, 300, 5, 50), rec(start, 601, 0, 0, 0)}, func(l Lineage) bool { return len(l) == 2 }},
		"an Interim without a session time is of whoever has the id": {[]*Record{rec(interim, 300, 300, 5, 50), on(rec(interim, 9000, 0, 6, 60), untimed)}, open},
		"an Interim from before a later session of the id is of the earlier one": {
			[]*Record{rec(interim, 9000, 300, 5, 50), rec(interim, 300, 300, 3, 30)},
			func(l Lineage) bool { return len(l) == 2 && l[0].Input == 3 && !l[0].Open() && l[1].Open() }},
		"a session time that jumps back is another session": {
			[]*Record{rec(interim, 3600, 3600, 500, 500), rec(interim, 3700, 10, 600, 600)}, func(l Lineage) bool { return len(l) == 2 }},
		"a session that begins after its id was last seen is another, with whatever session time": {
			[]*Record{rec(interim, 300, 300, 5, 50), rec(interim, 9000, 5000, 6, 60)}, func(l Lineage) bool { return len(l) == 2 }},
		"a start within an inferred end's reach": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByGone, 0, 400), rec(start, 450, 0, 0, 0)}, func(l Lineage) bool { return len(l) == 2 && l[1].Open() }},
		"but not of one that was replaced": {
			[]*Record{rec(interim, 300, 300, 5, 50), closing(ClosedByReuse, 0, 400), rec(start, 450, 0, 0, 0)}, open},
		"an inferred end reaches no session but its own": {
			[]*Record{rec(start, 0, 0, 0, 0), closing(ClosedByGone, -3000, 400)}, open},
		"an inferred end of nothing is nothing": {
			[]*Record{closing(ClosedByGone, 0, 400)}, func(l Lineage) bool { return len(l) == 0 }},
		"who has no NAS-Identifier is no stranger": {
			[]*Record{on(rec(interim, 300, 300, 5, 50), func(r *Record) { r.NASIdentifier = "bras-1" }), rec(interim, 600, 600, 6, 60)}, open},
		"who has no login is no stranger": {
			[]*Record{rec(interim, 300, 300, 5, 50), login(rec(interim, 600, 600, 6, 60), "")}, open},
		"a Class says more than the login": {
			[]*Record{on(rec(interim, 300, 300, 5, 50), access(1)), login(on(rec(interim, 600, 600, 6, 60), access(1)), "rui")}, open},
		"a stranger between": {
			[]*Record{rec(start, 0, 0, 0, 0), login(rec(start, 60, 0, 0, 0), "rui"), rec(interim, 300, 300, 5, 50), login(rec(interim, 360, 300, 6, 60), "rui")},
			func(l Lineage) bool {
				return len(l) == 2 && l[0].Input == 5 && l[1].Input == 6 && l[1].Open() && !l[0].Open()
			}},
		"one that goes on beneath a later one stays replaced": {
			[]*Record{rec(start, 0, 0, 0, 0), rec(start, 3000, 0, 0, 0), rec(interim, 1200, 1200, 5, 50)},
			func(l Lineage) bool {
				return len(l) == 2 && l[0].ClosedBy == ClosedByReuse && l[0].Input == 5 && l[1].Open()
			}},
	} {
		t.Run(name, func(t *testing.T) {
			if l := foldAll(c.records...); !c.want(l) {
				t.Errorf("%+v", l)
			}
		})
	}
}

// TestChanges is what a record is said to have done.
func TestChanges(t *testing.T) {
	var l Lineage
	for i, c := range []struct {
		r    *Record
		want Change
		at   int
	}{
		{rec(KindStart, 0, 0, 0, 0), Opened, 0},
		{rec(KindStart, 0, 0, 0, 0), Unchanged, 0},
		{rec(KindInterim, 300, 300, 5, 50), Updated, 0},
		{rec(KindInterim, 200, 200, 4, 40), Unchanged, 0},
		{closing(ClosedByGone, 0, 400), Closed, 0},
		{rec(KindInterim, 600, 600, 6, 60), Reopened, 0},
		{rec(KindStop, 700, 700, 7, 70), Closed, 0},
		{rec(KindInterim, 650, 650, 8, 80), Amended, 0},
		{closing(ClosedByGone, 0, 800), Unchanged, 0},
		{rec(KindStart, 9000, 0, 0, 0), Opened, 1},
		{rec(KindStop, 90_000, 100, 1, 1), Closed, 2},
		{&Record{Kind: KindApplied, Key: testKey, Event: t0}, Unchanged, 2},
	} {
		var change Change
		var at int
		if l, at, change = l.Fold(c.r, Boot{}); change != c.want || at != c.at {
			t.Errorf("record %d: %d at %d, want %d at %d: %+v", i, change, at, c.want, c.at, l)
		}
	}
}

// TestEdgesOfBoots: which sessions an Accounting-On or -Off ends.
func TestEdgesOfBoots(t *testing.T) {
	at := func(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }
	for name, c := range map[string]struct {
		started, seen    int
		identifier, boot string
		ends             bool
	}{
		"before":                           {0, 300, "bras-1", "bras-1", true},
		"seen at that instant":             {0, 600, "bras-1", "bras-1", true},
		"seen after it":                    {0, 601, "bras-1", "bras-1", false},
		"begun at that instant":            {600, 600, "bras-1", "bras-1", true},
		"begun after it, its clock behind": {601, 500, "bras-1", "bras-1", false},
		"of another access server":         {0, 300, "bras-2", "bras-1", false},
		"which is not known":               {0, 300, "", "bras-1", true},
		"the whole device":                 {0, 300, "bras-1", "", true},
	} {
		for kind, by := range map[Kind]ClosedBy{KindOn: ClosedByOn, KindOff: ClosedByOff} {
			s := Session{Session: nas.Session{StartedAt: at(c.started), NASIdentifier: c.identifier}, LastSeen: at(c.seen)}
			b := BootOf(&Record{Kind: kind, Event: at(600)})
			if got := b.End(c.boot, &s); got != c.ends || s.Open() == c.ends {
				t.Errorf("%s: %v, %+v", name, got, s)
			}
			if c.ends && (s.ClosedBy != by || !s.Stopped.Equal(at(600)) || !s.ClosedAt.Equal(at(600)) || s.Cause != CauseNASReboot) {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
}

// TestPrefixesAreNotShared: a session that was handed out keeps its prefixes whatever is learned afterwards.
func TestPrefixesAreNotShared(t *testing.T) {
	one, two := netip.MustParsePrefix("2001:db8:1::/56"), netip.MustParsePrefix("2001:db8:2::/56")
	before := append(make([]netip.Prefix, 0, 8), two)
	after := withPrefix(before, one)
	if !slices.Equal(before, []netip.Prefix{two}) || !slices.Equal(after, []netip.Prefix{one, two}) || before[:2][1] == two {
		t.Errorf("%v, %v", before, after)
	}
}
