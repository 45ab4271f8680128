package radius

import (
	"fmt"
	"testing"
	"time"

	"enlace/nas"
)

// reached is an Observer that stops the first one who tells it of an end until it is let go.
type reached struct {
	heard
	first chan struct{}
	let   chan struct{}
}

func (o *reached) SessionGone(key nas.SessionKey, cause int) {
	select {
	case o.first <- struct{}{}:
		<-o.let
	default:
	}
	o.heard.SessionGone(key, cause)
}

// TestABigBootHoldsNobodyUp ends a device's many sessions, and while that goes on has others begin, some of them under
// the ids of those that are to end.
func TestABigBootHoldsNobodyUp(t *testing.T) {
	const n = 3 * bootAtOnce
	table := NewSessions()
	for i := range n {
		table.Apply(of(rec(KindStart, 0, 0, 0, 0), 7, fmt.Sprint(i), "ana"))
	}
	o := &reached{first: make(chan struct{}), let: make(chan struct{})}
	table.Observe(o)
	o.lines = nil
	event := t0.Add(time.Minute)
	table.Apply(&Record{Kind: KindOn, Key: nas.SessionKey{Device: 7}, Event: event, Received: event})
	<-o.first // it has ended one session, and waits with nearly all of them open
	apart := table.shard(nas.SessionKey{Device: 7, ID: o.busy(table)})
	var again []string
	for i := 0; len(again) < 50; i++ {
		if id := fmt.Sprint(i); table.shard(nas.SessionKey{Device: 7, ID: id}) != apart {
			again = append(again, id)
			table.Apply(of(rec(KindStart, 61, 0, 0, 0), 7, id, "rui"))
		}
	}
	other := "a" // of another device, and not where the boot is at
	for table.shard(nas.SessionKey{Device: 8, ID: other}) == apart {
		other += "a"
	}
	table.Apply(of(rec(KindStart, 61, 0, 0, 0), 8, other, "eva"))
	for _, id := range again {
		if s, ok := table.Get(nas.SessionKey{Device: 7, ID: id}); !ok || s.Login != "rui" {
			t.Fatalf("session %s after the boot: %v %+v", id, ok, s)
		}
	}
	close(o.let)
	for deadline := time.Now().Add(time.Minute); table.booting.busy.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the boot does not come to its end")
		}
	}
	if table.CountOf(7) != len(again) || table.CountOf(8) != 1 || len(table.AppendOf(nil, 0, "ana")) != 0 || len(table.AppendOf(nil, 0, "rui")) != len(again) {
		t.Errorf("%d open on the device, %d of them new", table.CountOf(7), len(table.AppendOf(nil, 0, "rui")))
	}
	gone := map[string]int{}
	for _, line := range o.lines {
		gone[line]++
	}
	for i := range n {
		if gone[fmt.Sprintf("gone %d 11", i)] != 1 {
			t.Fatalf("of the end of session %d the observer was told %d times", i, gone[fmt.Sprintf("gone %d 11", i)])
		}
	}
}

// busy is an id in the shard that the boot is at.
func (o *reached) busy(table *Sessions) string {
	for i := 0; ; i++ {
		id := fmt.Sprint(i)
		if sh := table.shard(nas.SessionKey{Device: 7, ID: id}); !sh.telling.TryLock() {
			return id
		} else {
			sh.telling.Unlock()
		}
	}
}

// BenchmarkBoot ends 100,000 sessions by an Accounting-On.
func BenchmarkBoot(b *testing.B) {
	for range b.N {
		b.StopTimer()
		table := NewSessions()
		for i := range 100_000 {
			table.Apply(of(rec(KindStart, 0, 0, 0, 0), 7, fmt.Sprint(i), fmt.Sprint(i)))
		}
		b.StartTimer()
		table.endOf(map[bootKey]lateBoot{{7, ""}: {Boot{t0.Add(time.Minute), ClosedByOn}, t0.Add(time.Minute)}})
		if table.Count() != 0 {
			b.Fatal(table.Count())
		}
	}
}
