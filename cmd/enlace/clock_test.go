package main

import (
	"testing"
	"time"
)

// near reports whether two instants are as close as two looks at a running clock on a slow machine.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < 30*time.Second }

func TestClockOfTheMachine(t *testing.T) {
	c, err := newClock("")
	if err != nil {
		t.Fatal(err)
	}
	if now := c.Now(); !near(now, time.Now()) || now.Location() != time.UTC {
		t.Fatalf("it is %s", now)
	}
	called := false
	c.OnMove(func() { called = true })
	if err := c.Set(time.Now().Add(time.Hour)); err == nil || called || !near(c.Now(), time.Now()) {
		t.Fatalf("the machine's clock was set (%v)", err)
	}
}

func TestClockThatIsSet(t *testing.T) {
	c, err := newClock("2026-03-01T09:00:00-03:00")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first := c.Now()
	if !near(first, start) || first.Before(start) || first.Location() != time.UTC {
		t.Fatalf("it is %s", first)
	}
	for deadline := time.Now().Add(10 * time.Second); !c.Now().After(first); {
		if time.Now().After(deadline) {
			t.Fatal("the clock stands still")
		}
	}
	var seen []time.Time
	c.OnMove(func() { seen = append(seen, c.Now()) })
	c.OnMove(func() { seen = append(seen, c.Now()) })
	for i, to := range []time.Time{start.AddDate(0, 2, 0), start.AddDate(-1, 0, 0), start.AddDate(60, 0, 0)} {
		if err := c.Set(to.In(time.FixedZone("", 3600))); err != nil {
			t.Fatal(err)
		}
		if !near(c.Now(), to) || len(seen) != 2*(i+1) || !near(seen[2*i], to) || !near(seen[2*i+1], to) {
			t.Fatalf("set to %s, it is %s; told %v", to, c.Now(), seen)
		}
	}
}

func TestClocksThatCannotBe(t *testing.T) {
	for _, text := range []string{"now", "2026-03-01", "2026-03-01T09:00", "2026-03-01 09:00:00-03:00", "2026-02-30T09:00:00Z"} {
		if _, err := newClock(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
