package control

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// pace keeps a device's rate: every datagram has its leave, new commands, their further steps and retransmissions alike, so
// that in no second more than the rate's are sent. What restores service goes first, then what has begun, then the rest.
type pace struct {
	restores func() bool // whether the next new command restores service; called without a lock of the caller's

	mu    sync.Mutex
	rate  float64       // a second
	every time.Duration // between two datagrams, on average
	slack time.Duration // how much earlier than that one may go, to catch up with what came late
	next  time.Time     // when the next is due, not before now
	begun []chan struct{}
	fresh chan struct{} // nil: no new command waits
	timer *time.Timer   // nil: nobody waits
}

// burst is which part of a second's datagrams may go closer together than the rate has them: timers come late, and what is
// not made up for would be lost.
const burst = 0.01

func (p *pace) set(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rate == p.rate {
		return
	}
	early := float64(int(rate * burst))
	p.rate, p.every = rate, time.Duration(math.Ceil(float64(time.Second)/(rate-early))) // rounded down it would be one more a second
	p.slack = time.Duration(early) * p.every
	if p.next.After(time.Now().Add(p.every)) {
		p.next = time.Now().Add(p.every)
	}
	p.arm()
}

// wait returns when a datagram may be sent; fresh is of a new command, of which one at a time waits.
func (p *pace) wait(ctx context.Context, fresh bool) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	leave := make(chan struct{})
	p.mu.Lock()
	if p.idle() && p.take(time.Now()) {
		p.mu.Unlock()
		return nil
	}
	if fresh {
		p.fresh = leave
	} else {
		p.begun = append(p.begun, leave)
	}
	p.arm()
	p.mu.Unlock()
	select {
	case <-leave:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if fresh && p.fresh == leave {
		p.fresh = nil
	}
	p.begun = slices.DeleteFunc(p.begun, func(c chan struct{}) bool { return c == leave })
	return ctx.Err()
}

func (p *pace) idle() bool { return p.fresh == nil && len(p.begun) == 0 }

// take uses the leave for one datagram, if there is one now.
func (p *pace) take(now time.Time) bool {
	if now.Before(p.next.Add(-p.slack)) {
		return false
	}
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(p.every)
	return true
}

// arm has grant called when the next leave is there.
func (p *pace) arm() {
	if p.idle() {
		return
	}
	in := max(0, time.Until(p.next.Add(-p.slack)))
	if p.timer == nil {
		p.timer = time.AfterFunc(in, p.grant)
		return
	}
	p.timer.Reset(in)
}

// grant gives leave to those who wait for as long as there is any.
func (p *pace) grant() {
	restores := p.restores()
	p.mu.Lock()
	defer p.mu.Unlock()
	for now := time.Now(); !p.idle() && p.take(now); {
		switch {
		case p.fresh != nil && (restores || len(p.begun) == 0):
			close(p.fresh)
			p.fresh = nil
		case len(p.begun) > 0:
			close(p.begun[0])
			p.begun[0] = nil
			p.begun = p.begun[1:]
		}
	}
	p.arm()
}
