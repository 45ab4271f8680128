package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesAreThoseOfTheSortedSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Int64Range(0, 1<<histogramBits-1), 1, 500).Draw(t, "samples")
		small := rapid.SliceOf(rapid.Int64Range(0, 1000)).Draw(t, "small")
		samples = append(samples, small...)
		var whole, first, second histogram
		for i, s := range samples {
			whole.add(time.Duration(s))
			if i%2 == 0 {
				first.add(time.Duration(s))
			} else {
				second.add(time.Duration(s))
			}
		}
		first.merge(&second)
		if first != whole {
			t.Fatal("two halves merged are not the whole")
		}
		slices.Sort(samples)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		rank := max(1, int(math.Ceil(q*float64(len(samples)))))
		want := samples[rank-1]
		got := int64(whole.quantile(q))
		if got < want || got > want+want/128 {
			t.Fatalf("quantile %v of %d samples is %d, sorted it is %d", q, len(samples), got, want)
		}
		if last := samples[len(samples)-1]; int64(whole.quantile(1)) != last || int64(whole.max) != last {
			t.Fatalf("the maximum is %v, not %d", whole.quantile(1), last)
		}
	})
}

func TestBucketsAreContiguous(t *testing.T) {
	for i := range histogramBuckets - 1 {
		if end := upperEnd(i); bucketOf(end) != i || bucketOf(end+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in %d; the next is in %d", i, end, bucketOf(end), bucketOf(end+1))
		}
	}
	if last := bucketOf(math.MaxInt64); last != histogramBuckets-1 {
		t.Fatalf("the longest is in bucket %d of %d", last, histogramBuckets)
	}
	var empty histogram
	if empty.quantile(0.5) != 0 {
		t.Fatal("an empty histogram has a quantile")
	}
}
