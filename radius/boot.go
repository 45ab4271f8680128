package radius

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"enlace/nas"
)

// End closes a session that a boot which named itself with identifier (empty: the whole device) ended, and tells whether
// it did.
func (b Boot) End(identifier string, s *Session) bool {
	if !b.ends(identifier, s) {
		return false
	}
	s.infer(b.By, b.At, CauseNASReboot)
	return !s.Open()
}

const (
	// bootAtOnce is how many sessions a table has at most whose boots end sessions before anything else happens. In a
	// larger one they are ended while other records are folded.
	bootAtOnce = 2000
	// bootsWaiting is how many access servers may have begun anew while the table is gone through: those beyond it are
	// waited for.
	bootsWaiting = 1024
)

// booting is the boots whose sessions are still to be ended. One goroutine goes through the table for all of them at
// once, however many there are.
type booting struct {
	busy atomic.Bool // there are some, or they are being worked on

	mu      sync.Mutex
	room    *sync.Cond // the goroutine has taken what waited; nil until there was need
	waiting map[bootKey]lateBoot
}

type bootKey struct {
	device     nas.DeviceID
	identifier string
}

type lateBoot struct {
	Boot
	received time.Time
}

// boot ends the sessions that an Accounting-On or -Off ends.
func (t *Sessions) boot(r *Record) Change {
	t.boots.Note(r)
	switch {
	case t.CountOf(r.Key.Device) == 0:
		return Unchanged
	case t.Count() <= bootAtOnce:
		return t.endOf(map[bootKey]lateBoot{{r.Key.Device, r.NASIdentifier}: {BootOf(r), r.Received}})
	}
	t.bootLater(bootKey{r.Key.Device, r.NASIdentifier}, lateBoot{BootOf(r), r.Received})
	return Closed
}

func (t *Sessions) bootLater(k bootKey, b lateBoot) {
	q := &t.booting
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.room == nil {
		q.room = sync.NewCond(&q.mu)
	}
	for len(q.waiting) >= bootsWaiting {
		q.room.Wait()
	}
	if q.waiting == nil {
		q.waiting = map[bootKey]lateBoot{}
	}
	if known, ok := q.waiting[k]; !ok || b.At.After(known.At) {
		q.waiting[k] = b
	}
	if q.busy.CompareAndSwap(false, true) {
		go t.bootAll()
	}
}

// bootAll ends what waiting boots end until there are none.
func (t *Sessions) bootAll() {
	q := &t.booting
	for {
		q.mu.Lock()
		boots := q.waiting
		q.waiting = nil
		q.room.Broadcast()
		if len(boots) == 0 {
			q.busy.Store(false)
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		t.endOf(boots)
	}
}

// bootFirst ends the session of a record before the record is folded, when an earlier boot should have and has not come
// to it yet: what a session has been through must not depend on who was quicker.
func (t *Sessions) bootFirst(r *Record) {
	if r.Kind == KindApplied || r.Kind == KindClosed {
		return
	}
	if b := t.boots.Of(r); !b.At.IsZero() {
		t.end(r.Key, r.Received, func(s *Session) bool { return b.End(r.NASIdentifier, s) })
	}
}

// doomed reports whether a boot has ended an open session that it has not been come to yet.
func (t *Sessions) doomed(s *Session) bool {
	return t.booting.busy.Load() && t.boots.newest(s.Key.Device, s.NASIdentifier).ends(s.NASIdentifier, s)
}

// Boots are the boots that the table knows of.
func (t *Sessions) Boots() *Boots { return &t.boots }

// endOf goes through the table and ends what boots ended.
func (t *Sessions) endOf(boots map[bootKey]lateBoot) Change {
	on := map[nas.DeviceID]*deviceBoots{}
	for k, b := range boots {
		d := on[k.device]
		if d == nil {
			d = &deviceBoots{named: map[string]lateBoot{}}
			on[k.device] = d
		}
		d.named[k.identifier] = b
		d.all = append(d.all, b)
	}
	for _, d := range on {
		slices.SortFunc(d.all, func(x, y lateBoot) int { return x.At.Compare(y.At) })
	}
	change := Unchanged
	for i := range t.shards {
		doomed := t.shards[i].openOnes(func(s *Session) bool { _, ok := on[s.Key.Device].ending(s); return ok })
		for j := range doomed {
			d := on[doomed[j].Key.Device]
			b, _ := d.ending(&doomed[j])
			if t.end(doomed[j].Key, b.received, func(s *Session) bool {
				b, ok := d.ending(s)
				return ok && b.End("", s)
			}) {
				change = Closed
			}
		}
	}
	return change
}

// deviceBoots is the boots of a device's access servers.
type deviceBoots struct {
	named map[string]lateBoot
	all   []lateBoot // oldest first
}

// ending is the boot that ends a session, the first of several; false when none does.
func (d *deviceBoots) ending(s *Session) (first lateBoot, ok bool) {
	if d == nil {
		return first, false
	}
	if s.NASIdentifier == "" { // any
		i, _ := slices.BinarySearchFunc(d.all, s.LastSeen, func(b lateBoot, seen time.Time) int { return b.At.Compare(seen) })
		if i < len(d.all) && d.all[i].ends("", s) {
			return d.all[i], true
		}
		return first, false
	}
	for _, identifier := range [...]string{s.NASIdentifier, ""} {
		if b, known := d.named[identifier]; known && b.ends(identifier, s) && (!ok || b.At.Before(first.At)) {
			first, ok = b, true
		}
	}
	return first, ok
}
