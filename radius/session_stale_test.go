package radius

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"enlace/nas"
)

// staleKit is a table, a device and a clock; sessions report when told.
type staleKit struct {
	t       *testing.T
	table   *Sessions
	now     time.Time
	started map[string]time.Time
	asked   int
	retired bool
	closed  []Session
}

func newStaleKit(t *testing.T, ids ...string) *staleKit {
	k := &staleKit{t: t, table: NewSessions(), now: t0, started: map[string]time.Time{}, asked: 300}
	k.table.Resume(t0)
	k.start(ids...)
	return k
}

func (k *staleKit) start(ids ...string) {
	for _, id := range ids {
		k.started[id] = k.now
		k.table.Apply(&Record{Kind: KindStart, Key: nas.SessionKey{Device: 7, ID: id}, Received: k.now, Event: k.now, Login: id})
	}
}

func (k *staleKit) report(ids ...string) {
	for _, id := range ids {
		seconds := int64(k.now.Sub(k.started[id]).Seconds())
		k.table.Apply(&Record{Kind: KindInterim, Key: nas.SessionKey{Device: 7, ID: id}, Received: k.now, Event: k.now,
			Seconds: seconds, TimeKnown: true, Input: Octets{uint64(seconds), true, true}, Login: id})
	}
}

// pass lets time go by with a sweep every ten seconds; sessions report every so often.
func (k *staleKit) pass(d, every time.Duration, ids ...string) {
	for end := k.now.Add(d); k.now.Before(end); {
		k.now = k.now.Add(10 * time.Second)
		if every > 0 && k.now.Sub(t0)%every == 0 {
			k.report(ids...)
		}
		k.sweep()
	}
}

func (k *staleKit) sweep() {
	for _, s := range k.table.Sweep(k.now, func(nas.DeviceID) (*nas.Device, bool) {
		return &nas.Device{InterimSeconds: k.asked}, !k.retired
	}) {
		k.closed = append(k.closed, s)
		k.table.Apply(&Record{Kind: KindClosed, Key: s.Key, Received: k.now, Event: s.LastSeen, Closing: Closing{s.StartedAt, ClosedByStale}})
	}
}

func (k *staleKit) expect(id string, open, stale bool) {
	k.t.Helper()
	s, ok := k.table.Get(nas.SessionKey{Device: 7, ID: id})
	if ok != open || s.Stale() != stale {
		k.t.Errorf("%s after %v: open %v, stale %v; want %v, %v", id, k.now.Sub(t0), ok, s.Stale(), open, stale)
	}
}

func TestASessionThatIsNoLongerReported(t *testing.T) {
	k := newStaleKit(t, "live", "ghost")
	k.pass(30*time.Minute, 5*time.Minute, "live", "ghost")
	k.pass(15*time.Minute, 5*time.Minute, "live")
	k.expect("ghost", true, false) // three intervals, not more
	k.pass(5*time.Minute, 5*time.Minute, "live")
	k.expect("ghost", true, true)
	k.expect("live", true, false)
	if k.table.StaleCount() != 1 || k.table.Count() != 2 {
		t.Errorf("%d stale of %d", k.table.StaleCount(), k.table.Count())
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(k.table.Collector(func(nas.DeviceID) string { return "bras" }))
	if n, err := testutil.GatherAndCount(registry, "enlace_sessions_stale"); err != nil || n != 1 {
		t.Errorf("%d series, %v", n, err)
	}
	k.report("ghost") // it lives after all
	k.expect("ghost", true, false)
	if k.table.StaleCount() != 0 {
		t.Errorf("%d stale", k.table.StaleCount())
	}
	last := k.now
	k.pass(24*time.Hour, 5*time.Minute, "live")
	k.expect("ghost", true, true)
	k.pass(30*time.Minute, 5*time.Minute, "live")
	k.expect("ghost", false, false)
	if len(k.closed) != 1 || !k.closed[0].LastSeen.Equal(last) || k.table.StaleCount() != 0 || k.table.Count() != 1 {
		t.Fatalf("closed %+v, %d stale of %d", k.closed, k.table.StaleCount(), k.table.Count())
	}
	k.report("ghost") // even now
	k.expect("ghost", true, false)
}

// TestTheIntervalThatIsSeen: the device reports hourly whatever it is asked for, or every minute.
func TestTheIntervalThatIsSeen(t *testing.T) {
	k := newStaleKit(t, "a", "b", "c", "ghost")
	k.asked = 300
	k.pass(6*time.Hour, time.Hour, "a", "b", "c", "ghost")
	k.expect("a", true, false)
	k.pass(3*time.Hour, time.Hour, "a", "b", "c")
	k.expect("ghost", true, false)
	k.pass(time.Hour, time.Hour, "a", "b", "c")
	k.expect("ghost", true, true)

	k = newStaleKit(t, "a", "b", "c", "ghost")
	k.asked = 3600
	k.pass(time.Hour, time.Minute, "a", "b", "c", "ghost")
	k.pass(5*time.Minute, time.Minute, "a", "b", "c")
	k.expect("ghost", true, true)
	k.start("new") // of which nothing is known but what others do
	k.pass(5*time.Minute, time.Minute, "a", "b", "c")
	k.expect("new", true, true)
	k.expect("a", true, false)
}

// TestOneLostInterim: a gap twice as long and a burst of records make nobody stale.
func TestOneLostInterim(t *testing.T) {
	k := newStaleKit(t, "a", "b")
	k.pass(time.Hour, 5*time.Minute, "a", "b")
	for range 3 { // an address came, a prefix came
		k.now = k.now.Add(2 * time.Second)
		k.report("b")
	}
	k.now = k.now.Add(4 * time.Second)
	k.pass(9*time.Minute, 0)
	k.report("a")
	k.sweep()
	k.expect("b", true, false)
}

// TestSilenceOfADevice is no evidence against one session: neither while the path is out, nor when it is back.
func TestSilenceOfADevice(t *testing.T) {
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprint(i))
	}
	k := newStaleKit(t, ids...)
	k.pass(time.Hour, 5*time.Minute, ids...)
	k.pass(40*time.Minute, 0)
	if k.table.StaleCount() != 0 {
		t.Fatalf("%d stale while the path is out", k.table.StaleCount())
	}
	k.report("0")
	k.sweep()
	k.pass(10*time.Minute, 5*time.Minute, ids[:40]...)
	if k.table.StaleCount() != 0 {
		t.Fatalf("%d stale as soon as the path is back", k.table.StaleCount())
	}
	k.pass(10*time.Minute, 5*time.Minute, ids[:40]...)
	k.expect("45", true, true) // the path is back, and it is not
	k.expect("5", true, false)
}

func TestADeviceThatIsAwayForGood(t *testing.T) {
	k := newStaleKit(t, "a", "b")
	k.pass(time.Hour, 5*time.Minute, "a", "b")
	k.retired = true
	k.pass(55*time.Minute, 0)
	k.expect("a", true, false)
	k.pass(10*time.Minute, 0)
	k.expect("a", true, true)
	k.pass(25*time.Hour, 0)
	k.expect("a", false, false)
	k.expect("b", false, false)
	if len(k.closed) != 2 {
		t.Errorf("closed %+v", k.closed)
	}
}

// TestWeWereAway: after a pause of ours, however long, every session has its three intervals.
func TestWeWereAway(t *testing.T) {
	k := newStaleKit(t, "a", "b")
	k.pass(time.Hour, 5*time.Minute, "a", "b")
	k.now = k.now.Add(48 * time.Hour)
	k.sweep()
	k.report("a")
	k.pass(10*time.Minute, 5*time.Minute, "a")
	k.expect("b", true, false)
	k.pass(10*time.Minute, 5*time.Minute, "a")
	k.expect("b", true, true)
	k.now = k.now.Add(-24 * time.Hour) // the clock was set back
	k.table.Resume(k.now)
	k.sweep()
	k.expect("a", true, false)

	restored := NewSessions() // a restart
	for _, id := range []string{"a", "b"} {
		restored.Restore(Session{Session: nas.Session{Key: nas.SessionKey{Device: 7, ID: id}, StartedAt: t0}, LastSeen: t0})
	}
	k = &staleKit{t: t, table: restored, now: t0.Add(30 * 24 * time.Hour), started: map[string]time.Time{"a": t0, "b": t0}, asked: 300}
	k.table.Resume(k.now)
	k.sweep()
	k.report("a")
	k.pass(10*time.Minute, 5*time.Minute, "a")
	k.expect("b", true, false)
	k.pass(10*time.Minute, 5*time.Minute, "a")
	k.expect("b", true, true)
}
