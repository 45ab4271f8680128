package control

import "iter"

// queue holds sessions, each knowing its place. Where the order counts, those that left it leave a gap, so that the others
// need not move; gaps are closed when they are more than what waits.
type queue struct {
	waiting []*session // nil where a gap is
	gaps    int
	head    int // what is before it are gaps
}

func (q *queue) len() int { return len(q.waiting) - q.gaps }

func (q *queue) put(s *session) {
	s.line, s.place = q, len(q.waiting)
	q.waiting = append(q.waiting, s)
}

// drop takes a session out; ordered keeps the others in their order.
func (q *queue) drop(s *session, ordered bool) {
	if !ordered {
		last := len(q.waiting) - 1
		q.waiting[s.place] = q.waiting[last]
		q.waiting[s.place].place = s.place
		q.waiting[last] = nil
		q.waiting = q.waiting[:last]
	} else {
		q.waiting[s.place] = nil
		q.gaps++
		if q.gaps > len(q.waiting)/2 {
			q.close()
		}
	}
	s.line, s.place = nil, -1
}

// close moves what waits together.
func (q *queue) close() {
	n := 0
	for _, s := range q.waiting {
		if s != nil {
			q.waiting[n], s.place = s, n
			n++
		}
	}
	clear(q.waiting[n:])
	q.waiting, q.gaps, q.head = q.waiting[:n], 0, 0
}

// front is the session that has waited longest; nil when none waits.
func (q *queue) front() *session {
	for s := range q.all() {
		return s
	}
	return nil
}

// all that waits, in its order.
func (q *queue) all() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		for q.head < len(q.waiting) && q.waiting[q.head] == nil {
			q.head++
		}
		for _, s := range q.waiting[min(q.head, len(q.waiting)):] {
			if s != nil && !yield(s) {
				return
			}
		}
	}
}
