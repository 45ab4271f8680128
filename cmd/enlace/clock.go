package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// clock is the program's clock. It is the machine's, unless it was made settable: then it runs from the instant it was
// set to. Everything that decides takes its time from here.
type clock struct {
	settable bool
	offset   atomic.Int64 // nanoseconds ahead of the machine's clock

	mu    sync.Mutex
	moved []func()
}

// newClock starts at the instant given, or is the machine's for "".
func newClock(start string) (*clock, error) {
	c := &clock{}
	if start == "" {
		return c, nil
	}
	t, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return nil, fmt.Errorf("clock %q is not an instant: write it as 2026-03-01T09:00:00-03:00", start)
	}
	c.settable = true
	c.offset.Store(int64(time.Until(t)))
	return c, nil
}

// Now is the program's time, in UTC.
func (c *clock) Now() time.Time {
	return time.Now().Add(time.Duration(c.offset.Load())).UTC()
}

// Set moves a settable clock to t, forwards or backwards, and tells whoever waits for instants.
func (c *clock) Set(t time.Time) error {
	if !c.settable {
		return fmt.Errorf("the clock is the machine's and cannot be set")
	}
	c.offset.Store(int64(time.Until(t)))
	c.mu.Lock()
	moved := c.moved
	c.mu.Unlock()
	for _, f := range moved {
		f()
	}
	return nil
}

// OnMove calls f after each Set.
func (c *clock) OnMove(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = append(c.moved, f)
}
