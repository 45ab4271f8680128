package radius

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/nas"
)

// heard is an Observer that writes down what it is told.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) SessionSeen(s nas.Session, _ nas.Report) { h.add("seen %s %s", s.Key.ID, s.Login) }
func (h *heard) SessionGone(k nas.SessionKey, cause int) {
	h.add("gone %s %d", k.ID, cause)
}

func (h *heard) add(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

func (h *heard) expect(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.lines, want) {
		t.Errorf("heard %q, want %q", h.lines, want)
	}
	h.lines = nil
}

func of(r *Record, device nas.DeviceID, id, login string) *Record {
	r.Key, r.Login = nas.SessionKey{Device: device, ID: id}, login
	return r
}

func TestSessionsTable(t *testing.T) {
	table, h := NewSessions(), &heard{}
	table.Apply(of(rec(KindStart, 0, 0, 0, 0), 7, "a", "ana"))
	table.Observe(h)
	h.expect(t, "seen a ana")
	table.Apply(of(rec(KindStart, 1, 0, 0, 0), 8, "a", "ana"))
	table.Apply(cookie(of(rec(KindStart, 2, 0, 0, 0), 7, "b", "rui"), 5))
	table.Apply(of(rec(KindInterim, 300, 300, 5, 50), 7, "a", "ana"))
	h.expect(t, "seen a ana", "seen b rui", "seen a ana")
	table.Apply(of(rec(KindInterim, 300, 300, 5, 50), 7, "a", "ana")) // a duplicate is not evidence
	h.expect(t)
	if n := table.AppendOf(nil, 0, "ana"); len(n) != 2 || n[0].Key.Device != 7 || n[0].Output != 50 || n[1].Key.Device != 8 {
		t.Errorf("%+v", n)
	}
	if table.Count() != 3 || table.CountOf(7) != 2 || table.CountOf(8) != 1 || table.CountOf(9) != 0 {
		t.Errorf("%d open, %d on 7, %d on 8", table.Count(), table.CountOf(7), table.CountOf(8))
	}
	if !table.SetApplied(nas.SessionKey{Device: 7, ID: "b"}, 6) || table.SetApplied(nas.SessionKey{Device: 7, ID: "none"}, 6) {
		t.Error("SetApplied")
	}
	if s, ok := table.Get(nas.SessionKey{Device: 7, ID: "b"}); !ok || s.Applied != 6 || s.Access != 3 {
		t.Errorf("%+v", s)
	}
	h.expect(t)

	stop := of(rec(KindStop, 600, 600, 9, 90), 7, "a", "ana")
	stop.Cause = 1
	table.Apply(stop)
	table.Apply(of(rec(KindInterim, 450, 450, 7, 70), 7, "a", "ana"))
	table.Apply(of(rec(KindStart, 0, 0, 0, 0), 7, "a", "ana"))
	h.expect(t, "gone a 1")
	if n := table.AppendOf(nil, 0, "ana"); len(n) != 1 || n[0].Key.Device != 8 {
		t.Errorf("%+v", n)
	}
	table.Apply(of(rec(KindInterim, 900, 900, 11, 110), 7, "a", "ana"))
	h.expect(t, "seen a ana")
	table.Apply(of(rec(KindStart, 9000, 0, 0, 0), 7, "a", "eva")) // the id again
	h.expect(t, "gone a 0", "seen a eva")
	table.Apply(of(rec(KindStop, 901, 901, 12, 120), 7, "a", "ana")) // the first one's own Stop, late
	h.expect(t)
	if table.Count() != 3 || len(table.AppendOf(nil, 0, "eva")) != 1 || len(table.AppendOf(nil, 0, "ana")) != 1 {
		t.Errorf("%d open", table.Count())
	}
}

func TestAccountingOnInTheTable(t *testing.T) {
	table, h := NewSessions(), &heard{}
	table.Observe(h)
	one := func(device nas.DeviceID, id, identifier string, at int) {
		r := of(rec(KindStart, at, 0, 0, 0), device, id, "")
		r.NASIdentifier = identifier
		table.Apply(r)
	}
	boot := func(kind Kind, identifier string, at int) {
		event := t0.Add(time.Duration(at) * time.Second)
		table.Apply(&Record{Kind: kind, Key: nas.SessionKey{Device: 7}, NASIdentifier: identifier, Event: event, Received: event})
	}
	one(7, "a", "bras-1", 0)
	one(7, "b", "bras-2", 0)
	one(7, "c", "", 0)
	one(8, "d", "bras-1", 0)
	one(7, "e", "bras-1", 100)
	h.expect(t, "seen a ", "seen b ", "seen c ", "seen d ", "seen e ")
	boot(KindOn, "bras-1", 50)
	slices.Sort(h.lines)
	h.expect(t, "gone a 11", "gone c 11")
	boot(KindOn, "bras-1", 50)
	h.expect(t)
	one(7, "f", "bras-1", 40) // a Start from before
	h.expect(t)
	one(7, "g", "bras-2", 40) // of the other one
	h.expect(t, "seen g ")
	r := of(rec(KindInterim, 60, 60, 1, 1), 7, "a", "")
	r.NASIdentifier = "bras-1"
	table.Apply(r) // it lived through it
	h.expect(t, "seen a ")
	boot(KindOff, "", 200)
	slices.Sort(h.lines)
	h.expect(t, "gone a 11", "gone b 11", "gone e 11", "gone g 11")
	if table.Count() != 1 || table.CountOf(7) != 0 {
		t.Errorf("%d open", table.Count())
	}
}

func TestEndedSessionsAreForgotten(t *testing.T) {
	table := NewSessions()
	for i := range 100_000 {
		table.Apply(of(rec(KindStop, i/100, i/100, 1, 1), 7, fmt.Sprint(i), "ana"))
	}
	kept := 0
	for i := range table.shards {
		kept += len(table.shards[i].byKey)
		if len(table.shards[i].byKey) > rememberMost+1 {
			t.Errorf("shard %d remembers %d", i, len(table.shards[i].byKey))
		}
	}
	if kept > 91_000 || kept < 1000 { // those of the last fifteen minutes
		t.Errorf("%d are remembered", kept)
	}
	if table.Count() != 0 || len(table.AppendOf(nil, 0, "ana")) != 0 {
		t.Errorf("%d open", table.Count())
	}
}

func TestSettle(t *testing.T) {
	table, h := NewSessions(), &heard{}
	ended := opened(of(rec(KindStop, 600, 600, 9, 9), 7, "a", "ana"))
	table.Apply(of(rec(KindInterim, 300, 300, 5, 5), 7, "a", "ana"))
	table.Observe(h)
	h.expect(t, "seen a ana")
	later := ended
	later.StartedAt = later.StartedAt.Add(-5 * time.Hour)
	table.Settle(later, t0) // of an earlier one
	h.expect(t)
	table.Settle(ended, t0)
	h.expect(t, "gone a 0")
	table.Apply(of(rec(KindInterim, 900, 900, 10, 10), 7, "a", "ana"))
	h.expect(t, "seen a ana")
	table.Settle(ended, t0) // it is known to have gone on
	h.expect(t)
}

// TestTableAgreesWithItself applies anything and compares the counts and the index of logins with the sessions.
func TestTableAgreesWithItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := NewSessions()
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			r := rec(rapid.SampledFrom([]Kind{KindStart, KindInterim, KindStop, KindOn, KindOff, KindApplied}).Draw(t, "kind"),
				rapid.IntRange(0, 20000).Draw(t, "at"), rapid.IntRange(0, 20000).Draw(t, "seconds"),
				rapid.Uint64Range(0, 100).Draw(t, "in"), 0)
			of(r, nas.DeviceID(rapid.IntRange(1, 2).Draw(t, "device")), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id"),
				rapid.SampledFrom([]string{"", "ana", "rui"}).Draw(t, "login"))
			r.Cookie.Granted = nas.Digest(rapid.IntRange(0, 3).Draw(t, "digest"))
			table.Apply(r)
		}
		open, logins := 0, map[string]int{}
		devices := map[nas.DeviceID]int{}
		for i := range table.shards {
			for _, s := range table.shards[i].openOnes(func(*Session) bool { return true }) {
				open++
				devices[s.Key.Device]++
				if s.Login != "" {
					logins[s.Login]++
				}
			}
		}
		if table.Count() != open || table.CountOf(1) != devices[1] || table.CountOf(2) != devices[2] ||
			len(table.AppendOf(nil, 0, "ana")) != logins["ana"] || len(table.AppendOf(nil, 0, "rui")) != logins["rui"] {
			t.Fatalf("%d sessions are open, the table counts %d; logins %v, devices %v", open, table.Count(), logins, devices)
		}
	})
}

func TestTableUnderConcurrency(t *testing.T) {
	table := NewSessions()
	table.Observe(&heard{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range 3000 {
				kind := []Kind{KindStart, KindInterim, KindInterim, KindStop}[random.IntN(4)]
				table.Apply(of(rec(kind, i, i, uint64(i), 1), 7, fmt.Sprint(random.IntN(50)), "ana"))
				if i%500 == 0 {
					table.Apply(of(rec(KindOn, i, 0, 0, 0), 7, "", ""))
				}
				table.AppendOf(nil, 0, "ana")
				table.SetApplied(nas.SessionKey{Device: 7, ID: "1"}, 4)
			}
		})
	}
	wg.Wait()
	if n := len(table.AppendOf(nil, 0, "ana")); n != table.Count() {
		t.Errorf("%d by login, %d in all", n, table.Count())
	}
}

// TestAnIDUsedAgainAndAgain: of the sessions that one id has named, those that have ended are forgotten, also where no Stop
// said so.
func TestAnIDUsedAgainAndAgain(t *testing.T) {
	table := NewSessions()
	for i := range 50 {
		table.Apply(of(rec(KindStart, i*3000, 0, 0, 0), 7, "a", "ana"))
	}
	if n := len(table.shard(nas.SessionKey{Device: 7, ID: "a"}).byKey[nas.SessionKey{Device: 7, ID: "a"}]); n > 3 || table.Count() != 1 {
		t.Errorf("%d sessions of one id are remembered, %d are open", n, table.Count())
	}
}
