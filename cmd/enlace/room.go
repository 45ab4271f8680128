package main

import (
	"context"
	"hash/maphash"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

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
// collected as ever.
func roomToLoad(empty bool) (end func()) {
	loads.Lock()
	if !ownCollector() {
		return loads.Unlock
	}
	debug.SetGCPercent(100)
	if empty {
		debug.SetGCPercent(loadingPercent)
	}
	return func() {
		debug.SetGCPercent(100)
		loads.Unlock()
		go debug.FreeOSMemory() // a whole collection: nobody need wait for it
	}
}

var loads sync.Mutex // one at a time

// ownCollector reports whether how often garbage is collected is ours to say: where the operator has set limits of his
// own (GOMEMLIMIT, GOGC) they hold.
var ownCollector = sync.OnceValue(func() bool {
	percent := debug.SetGCPercent(100)
	if percent != 100 {
		debug.SetGCPercent(percent)
	}
	return percent == 100 && debug.SetMemoryLimit(-1) == math.MaxInt64
})

const (
	spareMost  = 256 << 20 // bytes of garbage that a heap may have where the machine has memory enough
	spareShare = 16        // and of the machine's memory one part in so many
)

// keepSpare lets a small heap have more garbage than its own size before it is collected, until ctx ends: what a
// collection costs goes by what lives, which accounting of open sessions makes garbage beside very fast.
func keepSpare(ctx context.Context) {
	if !ownCollector() {
		return
	}
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return
	}
	spare := min(spareMost, machine.Totalram*uint64(machine.Unit)/spareShare)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		loads.Lock()
		metrics.Read(live)
		debug.SetGCPercent(percentFor(live[0].Value.Uint64(), spare))
		loads.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// percentFor is how much a heap may grow, in percent of what lives in it, so that it has the spare bytes at least.
func percentFor(live, spare uint64) int {
	return int(min(max(100, spare*100/max(live, 1)), 1000))
}
