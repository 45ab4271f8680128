package radius

import (
	"encoding/binary"
	"math/bits"
)

// md4Padding is what a message grows by at most.
const md4Padding = 72

// md4Of is MD4 (RFC 1320), with which MS-CHAP hashes passwords (RFC 2759, section 8.3), of the first n bytes of b. The
// md4Padding bytes after those are written over.
func md4Of(b []byte, n int) (sum [16]byte) {
	end := (n+8)/64*64 + 64
	b = b[:end]
	clear(b[n:])
	b[n] = 0x80
	binary.LittleEndian.PutUint64(b[end-8:], uint64(n)*8)
	a0, b0, c0, d0 := uint32(0x67452301), uint32(0xefcdab89), uint32(0x98badcfe), uint32(0x10325476)
	for ; len(b) > 0; b = b[64:] {
		var x [16]uint32
		for i := range x {
			x[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		a, b, c, d := a0, b0, c0, d0
		for i := 0; i < 16; i += 4 {
			a = bits.RotateLeft32(a+(d^b&(c^d))+x[i], 3)
			d = bits.RotateLeft32(d+(c^a&(b^c))+x[i+1], 7)
			c = bits.RotateLeft32(c+(b^d&(a^b))+x[i+2], 11)
			b = bits.RotateLeft32(b+(a^c&(d^a))+x[i+3], 19)
		}
		for i := range 4 {
			a = bits.RotateLeft32(a+(b&c|b&d|c&d)+x[i]+0x5a827999, 3)
			d = bits.RotateLeft32(d+(a&b|a&c|b&c)+x[i+4]+0x5a827999, 5)
			c = bits.RotateLeft32(c+(d&a|d&b|a&b)+x[i+8]+0x5a827999, 9)
			b = bits.RotateLeft32(b+(c&d|c&a|d&a)+x[i+12]+0x5a827999, 13)
		}
		for _, i := range [4]int{0, 2, 1, 3} {
			a = bits.RotateLeft32(a+(b^c^d)+x[i]+0x6ed9eba1, 3)
			d = bits.RotateLeft32(d+(a^b^c)+x[i+8]+0x6ed9eba1, 9)
			c = bits.RotateLeft32(c+(d^a^b)+x[i+4]+0x6ed9eba1, 11)
			b = bits.RotateLeft32(b+(c^d^a)+x[i+12]+0x6ed9eba1, 15)
		}
		a0, b0, c0, d0 = a0+a, b0+b, c0+c, d0+d
	}
	for i, v := range [4]uint32{a0, b0, c0, d0} {
		binary.LittleEndian.PutUint32(sum[4*i:], v)
	}
	return sum
}
