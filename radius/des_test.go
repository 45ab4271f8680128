package radius

import (
	"crypto/des"
	"testing"

	"pgregory.net/rapid"
)

// spread is the eight-byte form of a key, with parity bits of zero, which DES ignores.
func spread(k [7]byte) (out [8]byte) {
	var bits uint64
	for _, b := range k {
		bits = bits<<8 | uint64(b)
	}
	for i := range out {
		out[i] = byte(bits>>(49-7*i)) << 1
	}
	return out
}

func TestDESAgainstStandardLibrary(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := [21]byte(rapid.SliceOfN(rapid.Byte(), 21, 21).Draw(rt, "keys"))
		block := [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(rt, "block"))
		var got, want [24]byte
		desThree(&got, &keys, &block)
		for i := range 3 {
			wide := spread([7]byte(keys[7*i:]))
			c, err := des.NewCipher(wide[:])
			if err != nil {
				rt.Fatal(err)
			}
			c.Encrypt(want[8*i:], block[:])
		}
		if got != want {
			rt.Fatalf("%x, want %x", got, want)
		}
	})
}

func BenchmarkDES(b *testing.B) {
	var dst [24]byte
	var block [8]byte
	b.ReportAllocs()
	for b.Loop() {
		desThree(&dst, &[21]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, &block)
	}
}

func BenchmarkDESStandardLibrary(b *testing.B) {
	var dst, block [8]byte
	key := spread([7]byte{1, 2, 3, 4, 5, 6, 7})
	b.ReportAllocs()
	for b.Loop() {
		c, err := des.NewCipher(key[:])
		if err != nil {
			b.Fatal(err)
		}
		c.Encrypt(dst[:], block[:])
	}
}
