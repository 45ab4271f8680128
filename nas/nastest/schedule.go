package nastest

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// schedule runs functions at their time, a bounded number of them at once.
type schedule struct {
	mu     sync.Mutex
	tasks  tasks
	closed bool
	wake   chan struct{}
}

type task struct {
	at time.Time
	do func(context.Context)
}

type tasks []task

func (t tasks) Len() int           { return len(t) }
func (t tasks) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t tasks) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *tasks) Push(x any)        { *t = append(*t, x.(task)) }
func (t *tasks) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = task{}
	*t = old[:len(old)-1]
	return last
}

func newSchedule() *schedule { return &schedule{wake: make(chan struct{}, 1)} }

// after runs do in a worker once d has passed. After close nothing runs any more.
func (s *schedule) after(d time.Duration, do func(context.Context)) {
	s.mu.Lock()
	if !s.closed {
		heap.Push(&s.tasks, task{time.Now().Add(d), do})
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *schedule) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.tasks = true, nil
}

func (s *schedule) run(ctx context.Context, workers int) {
	var wait sync.WaitGroup
	defer wait.Wait()
	room := make(chan struct{}, workers)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		do, sleep := s.next()
		if do == nil {
			timer.Reset(sleep)
			select {
			case <-timer.C:
			case <-s.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wait.Go(func() {
			defer func() { <-room }()
			do(ctx)
		})
	}
}

// next is the task that is due, or how long to wait for one.
func (s *schedule) next() (func(context.Context), time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tasks) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(s.tasks[0].at); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&s.tasks).(task).do, 0
}
