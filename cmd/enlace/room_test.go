package main

import "testing"

func TestSpareOfTheHeap(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, spare uint64
		want        int
	}{
		{600 * mb, 512 * mb, 100}, // a large heap doubles, as ever
		{256 * mb, 512 * mb, 200},
		{64 * mb, 512 * mb, 800},
		{1 * mb, 512 * mb, 1000},
		{0, 512 * mb, 1000},
		{64 * mb, 16 * mb, 100}, // a small machine
	} {
		if got := percentFor(c.live, c.spare); got != c.want {
			t.Errorf("%d MB live, %d MB to spare: %d %%, want %d", c.live/mb, c.spare/mb, got, c.want)
		}
	}
}
