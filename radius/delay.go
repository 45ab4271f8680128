package radius

import (
	"context"
	"sync"
	"time"
)

// maxDelayed bounds the refusals that wait.
const maxDelayed = 65536

// delayer sends replies after a fixed time. Because the time is the same for all, the queue is in order of due times.
type delayer struct {
	after time.Duration
	clock func() time.Duration // monotonic

	mu    sync.Mutex
	queue []delayed // queue[head:] wait
	head  int
	wake  chan struct{}
}

type delayed struct {
	due   time.Duration
	reply *reply
}

func newDelayer(after time.Duration, clock func() time.Duration) *delayer {
	return &delayer{after: after, clock: clock, wake: make(chan struct{}, 1)}
}

// push queues a pending reply; false when too many wait.
func (d *delayer) push(r *reply) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue)-d.head >= maxDelayed {
		return false
	}
	if d.head == len(d.queue) {
		d.queue, d.head = d.queue[:0], 0
		select {
		case d.wake <- struct{}{}:
		default:
		}
	} else if d.head >= maxDelayed {
		d.queue = append(d.queue[:0], d.queue[d.head:]...)
		d.head = 0
	}
	d.queue = append(d.queue, delayed{d.clock() + d.after, r})
	return true
}

// pop is the next reply that is due, or how long until there is one; wait is negative when none waits.
func (d *delayer) pop() (r *reply, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.head == len(d.queue) {
		return nil, -1
	}
	next := &d.queue[d.head]
	if wait = next.due - d.clock(); wait > 0 {
		return nil, wait
	}
	r, next.reply = next.reply, nil
	d.head++
	return r, 0
}

func (d *delayer) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue) - d.head
}

// run sends what falls due until ctx ends; what waits then is not sent.
func (d *delayer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r, wait := d.pop()
		if r != nil {
			r.Answer()
			continue
		}
		var due <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-due:
		case <-d.wake:
		}
	}
}
