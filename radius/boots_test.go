package radius

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/nas"
)

// bootRecord is an Accounting-On at a second after t0.
func bootRecord(device nas.DeviceID, identifier string, at int) *Record {
	event := t0.Add(time.Duration(at) * time.Second)
	return &Record{Kind: KindOn, Key: nas.SessionKey{Device: device}, NASIdentifier: identifier, Event: event, Received: event}
}

// TestInventedIdentifiersAreForgotten has a device name itself anew with each Accounting-On.
func TestInventedIdentifiersAreForgotten(t *testing.T) {
	var b Boots
	b.Note(bootRecord(7, "", 1))
	for i := range 10_000 {
		b.Note(bootRecord(7, fmt.Sprint("bras-", i), 10+i))
	}
	b.Note(bootRecord(8, "bras-1", 5))
	n := 0
	for range b.All {
		n++
	}
	if n > BootsMost+1 {
		t.Errorf("%d boots of two devices are remembered", n)
	}
	of := func(identifier string) time.Time {
		return b.Of(&Record{Key: nas.SessionKey{Device: 7}, NASIdentifier: identifier}).At
	}
	if !of("bras-9999").Equal(t0.Add(10_009*time.Second)) || !of("bras-1").Equal(t0.Add(time.Second)) {
		t.Errorf("the newest: %v, a forgotten one: %v", of("bras-9999"), of("bras-1"))
	}
	b.Note(bootRecord(7, "bras-1", 10_000+2*24*3600))
	if !of("bras-9999").IsZero() {
		t.Error("a boot of two days ago is remembered")
	}
}

// TestBootsOfAHandfulOfNames compares what is remembered with the newest of all that was noted, in any order.
func TestBootsOfAHandfulOfNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Boots
		newest := map[string]time.Time{}
		names := []string{"", "bras-1", "bras-2", "bras-3"}
		for range rapid.IntRange(0, 40).Draw(t, "boots") {
			r := bootRecord(7, rapid.SampledFrom(names).Draw(t, "identifier"), rapid.IntRange(0, 80_000).Draw(t, "at"))
			b.Note(r)
			if r.Event.After(newest[r.NASIdentifier]) {
				newest[r.NASIdentifier] = r.Event
			}
		}
		for _, name := range names {
			want := newest[name]
			if newest[""].After(want) {
				want = newest[""]
			}
			if got := b.Of(&Record{Key: nas.SessionKey{Device: 7}, NASIdentifier: name}); !got.At.Equal(want) {
				t.Fatalf("%q: %v, want %v", name, got.At, want)
			}
		}
	})
}

// TestManyBootsAtOnce has a device of many sessions begin anew again and again, under many names, while the first of them
// is still at work: they wait in one place, and each ends what it should.
func TestManyBootsAtOnce(t *testing.T) {
	const n = 3 * bootAtOnce
	table := NewSessions()
	for i := range n {
		r := of(rec(KindStart, 0, 0, 0, 0), 7, fmt.Sprint(i), "ana")
		r.NASIdentifier = fmt.Sprint("bras-", i%1000)
		table.Apply(r)
	}
	o := &reached{first: make(chan struct{}), let: make(chan struct{})}
	table.Observe(o)
	before := runtime.NumGoroutine()
	table.Apply(bootRecord(7, "bras-0", 60))
	<-o.first
	for i := range 900 {
		for range 3 {
			table.Apply(bootRecord(7, fmt.Sprint("bras-", i), 61+i))
		}
	}
	if more := runtime.NumGoroutine() - before; more > 5 {
		t.Errorf("%d goroutines more", more)
	}
	close(o.let)
	for deadline := time.Now().Add(time.Minute); table.booting.busy.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the boots do not come to their end")
		}
	}
	var open []string
	table.Open(func(s Session) bool {
		if !slices.Contains(open, s.NASIdentifier) {
			open = append(open, s.NASIdentifier)
		}
		return true
	})
	if table.Count() != n/10 || len(open) != 100 || slices.Contains(open, "bras-899") {
		t.Errorf("%d are open, of %d access servers", table.Count(), len(open))
	}
}

// TestASnapshotKnowsOfBoots resumes from a snapshot that was taken after an Accounting-On.
func TestASnapshotKnowsOfBoots(t *testing.T) {
	before := NewSessions()
	before.Apply(bootRecord(7, "bras-1", 60))
	a, _, sessions := testAccounting(t, nil)
	if err := a.Resume(t.Context(), nil, slices.Collect(before.Boots().All), a.Place()); err != nil {
		t.Fatal(err)
	}
	for id, at := range map[string]int{"late": 30, "new": 90} {
		r := of(rec(KindStart, at, 0, 0, 0), 7, id, "ana")
		r.NASIdentifier = "bras-1"
		sessions.Apply(r)
	}
	if _, open := sessions.Get(nas.SessionKey{Device: 7, ID: "late"}); open || sessions.Count() != 1 {
		t.Errorf("the late one is open: %v; %d are", open, sessions.Count())
	}
}

// TestWhichBootEndsASession compares the quick answer with a look at every boot of the device.
func TestWhichBootEndsASession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"", "bras-1", "bras-2"}
		second := func(what string) time.Time {
			return t0.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, what)) * time.Second)
		}
		table, waiting := NewSessions(), map[bootKey]lateBoot{}
		for range rapid.IntRange(0, 5).Draw(t, "boots") {
			waiting[bootKey{7, rapid.SampledFrom(names).Draw(t, "identifier")}] = lateBoot{Boot{second("at"), ClosedByOn}, t0}
		}
		s := Session{Session: nas.Session{Key: testKey, NASIdentifier: rapid.SampledFrom(names).Draw(t, "of"), StartedAt: second("started")}}
		s.LastSeen = s.StartedAt.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "seconds")) * time.Second)
		var first time.Time
		for k, b := range waiting {
			if b.ends(k.identifier, &s) && (first.IsZero() || b.At.Before(first)) {
				first = b.At
			}
		}
		table.Restore(s)
		table.endOf(waiting)
		if now := table.shard(testKey).byKey[testKey][0]; !now.ClosedAt.Equal(first) || now.Open() != first.IsZero() {
			t.Fatalf("ended at %v, want %v", now.ClosedAt, first)
		}
	})
}
