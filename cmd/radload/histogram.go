package main

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is at most 1/128 of what they hold: a quantile read from it is at
// most that much above the true one. The zero value is empty and ready.
type histogram struct {
	counts [histogramBuckets]uint64
	n      uint64
	max    time.Duration
}

const (
	subBits          = 7
	histogramBits    = 37 // up to 137 s; what is longer counts as that
	histogramBuckets = (histogramBits - subBits + 1) << subBits
)

// bucketOf finds the bucket: the first 256 hold one nanosecond each, then 128 for each doubling.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v >= 1<<histogramBits {
		v = 1<<histogramBits - 1
	}
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift)
}

// upperEnd is the longest duration of a bucket.
func upperEnd(bucket int) time.Duration {
	shift := max(0, bucket>>subBits-1)
	return time.Duration((uint64(bucket-shift<<subBits)+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.n++
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile is the duration that a share q of all stay at or below: that of rank ceil(q*n) in order. Zero when empty.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.n)))
	rank = min(max(rank, 1), h.n)
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(upperEnd(i), h.max)
		}
	}
	return 0
}
