package main

import (
	"sync"
	"testing"
	"time"
)

// An answer that was dear is given again; another question, or time, makes it anew.
func TestSeldom(t *testing.T) {
	var s seldom[int, int]
	worked := 0
	dear := func() int { worked++; time.Sleep(20 * time.Millisecond); return worked }
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := s.ask(1, dear); got != 1 {
				t.Errorf("the answer is %d", got)
			}
		})
	}
	all.Wait()
	if got := s.ask(2, dear); got != 2 {
		t.Errorf("to another question the answer is %d", got)
	}
	s.at = s.at.Add(-100 * s.took)
	if got := s.ask(2, dear); got != 3 {
		t.Errorf("after its time the answer is %d", got)
	}
}
