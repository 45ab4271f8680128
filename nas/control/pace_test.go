package control

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However late or early it is asked, in no second there is leave for more than the rate.
func TestNoSecondHasMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 2000).Draw(t, "rate")
		p := &pace{}
		p.set(float64(rate))
		now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
		p.next = now
		var given []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			now = now.Add(time.Duration(rapid.IntRange(0, int(2*time.Second)).Draw(t, "pause")))
			for range rapid.IntRange(1, 3000).Draw(t, "asked") {
				now = now.Add(time.Duration(rapid.IntRange(0, int(3*p.every)/2).Draw(t, "step")))
				if p.take(now) {
					given = append(given, now)
				}
				if len(given) > 4*rate {
					break
				}
			}
		}
		from := 0
		for i, at := range given {
			for at.Sub(given[from]) >= time.Second {
				from++
			}
			if n := i - from + 1; n > rate {
				t.Fatalf("%d within a second at a rate of %d", n, rate)
			}
		}
	})
}

// What has begun goes before a new command, unless that restores service; who no longer waits is passed over.
func TestWhoGoesFirst(t *testing.T) {
	for _, restores := range []bool{false, true} {
		p := &pace{restores: func() bool { return restores }}
		p.set(20)
		if err := p.wait(context.Background(), true); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var running sync.WaitGroup
		queued := 0
		ask := func(ctx context.Context, name string, fresh bool) {
			running.Go(func() {
				if p.wait(ctx, fresh) == nil {
					mu.Lock()
					order = append(order, name)
					mu.Unlock()
				}
			})
			queued++
			for waits := 0; waits < queued; time.Sleep(time.Millisecond) { // in this order
				p.mu.Lock()
				if waits = len(p.begun); p.fresh != nil {
					waits++
				}
				p.mu.Unlock()
			}
		}
		left, leave := context.WithCancel(context.Background())
		ask(left, "gone", false)
		ask(context.Background(), "again 1", false)
		ask(context.Background(), "new", true)
		ask(context.Background(), "again 2", false)
		leave()
		running.Wait()
		want := []string{"again 1", "again 2", "new"}
		if restores {
			want = []string{"new", "again 1", "again 2"}
		}
		if !slices.Equal(order, want) {
			t.Errorf("restoring %v: %q, want %q", restores, order, want)
		}
	}
}

// A queue keeps its order whoever leaves it, and every session knows its place.
func TestAQueueKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ordered := rapid.Bool().Draw(t, "ordered")
		q, model := &queue{}, []*session{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(model) == 0 || rapid.IntRange(0, 2).Draw(t, "step") > 0 {
				s := &session{}
				q.put(s)
				model = append(model, s)
			} else {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "who")
				q.drop(model[i], ordered)
				if model[i].line != nil || model[i].place != -1 {
					t.Fatal("who left still has a place")
				}
				model = slices.Delete(model, i, i+1)
			}
			if q.len() != len(model) {
				t.Fatalf("%d wait, want %d", q.len(), len(model))
			}
			got := slices.Collect(q.all())
			if ordered && !slices.Equal(got, model) || len(got) != len(model) {
				t.Fatalf("%d in another order", len(got))
			}
			for _, s := range got {
				if s.line != q || q.waiting[s.place] != s {
					t.Fatal("a session does not know its place")
				}
			}
			if ordered && len(q.waiting) > 2*len(model)+2 {
				t.Fatalf("%d places for %d", len(q.waiting), len(model))
			}
		}
	})
}
