package main

import (
	"sync"
	"time"
)

// seldom keeps the answer to a question about all subscribers, which everybody who looks at a page asks every few
// seconds: it is worked out anew when it has become older than a hundred times what that took. With few subscribers that
// is at every question.
type seldom[Q comparable, A any] struct {
	mu       sync.Mutex // held while an answer is worked out: whoever asks meanwhile waits for it
	answered bool
	question Q
	answer   A
	at       time.Time
	took     time.Duration
}

func (s *seldom[Q, A]) ask(question Q, work func() A) A {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered && s.question == question && time.Since(s.at) < 100*s.took {
		return s.answer
	}
	began := time.Now()
	s.answer = work()
	s.at = time.Now()
	s.answered, s.question, s.took = true, question, s.at.Sub(began)
	return s.answer
}
