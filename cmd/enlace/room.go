package main

import (
	"hash/maphash"
	"math"
	"runtime/debug"
	"slices"
	"sync"

	"enlace/radius"
)

// windowTable gives equal futures the same memory: most subscribers' are those of many others.
type windowTable struct {
	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64][]radius.Window
}

const windowsKnown = 100_000 // futures; beyond them the table begins anew

// same is a slice equal to windows, which may be changed afterwards; what is given back must not.
func (t *windowTable) same(windows []radius.Window) []radius.Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) > windowsKnown {
		t.known, t.seed = map[uint64][]radius.Window{}, maphash.MakeSeed()
	}
	var h maphash.Hash
	h.SetSeed(t.seed)
	for i := range windows {
		maphash.WriteComparable(&h, windows[i])
	}
	key := h.Sum64()
	if old, ok := t.known[key]; ok && slices.Equal(old, windows) {
		return old
	}
	kept := slices.Clip(slices.Clone(windows))
	t.known[key] = kept
	return kept
}

// loadingPercent is how much the heap may grow between collections of garbage while everything is loaded into an empty
// directory: collecting would cost as much as loading does, and most of what is read stays.
const loadingPercent = 150

// roomToLoad lets the heap grow while an empty directory is filled; the function it gives back ends that, and hands back
// to the system what is free again. A directory that is there is twice in memory while it is replaced: then garbage is
// collected as ever. Where the operator has set limits of his own (GOMEMLIMIT, GOGC) they hold.
func roomToLoad(empty bool) (end func()) {
	loads.Lock()
	percent := debug.SetGCPercent(loadingPercent)
	if percent != 100 || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		debug.SetGCPercent(percent)
		return loads.Unlock
	}
	if !empty {
		debug.SetGCPercent(percent)
	}
	return func() {
		debug.SetGCPercent(percent)
		loads.Unlock()
		go debug.FreeOSMemory() // a whole collection: nobody need wait for it
	}
}

var loads sync.Mutex // one at a time
