package radius

import (
	"encoding/binary"
	"math/bits"
)

// DES for MS-CHAP (FIPS 46-3), one block under three new 56-bit keys each time. crypto/des spends most of its time on the
// key schedule, bit by bit, and allocates it; here every permutation is linear, so it is a sum of what each nibble
// contributes, worked out once. The three encryptions advance together: each step of one waits for the step before it, so
// that a processor that is given three does them in little more than the time of one.
//
// A round takes six bits around each nibble of the right half. Halves are kept turned by five bits, so that the six of the
// even S-boxes stand at the low end of a byte each; turned by twenty more, those of the odd ones. desPlaces says where, and
// the words of a round key have its bits in the same places: one those of S-boxes 1 to 4, another those of 5 to 8.

var (
	desIP = [64]byte{
		58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
		57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
	}
	desPC1 = [56]byte{
		57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
	}
	desPC2 = [48]byte{
		14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
	}
	desShifts = [16]int{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1}
	desP      = [32]byte{
		16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
	}
	desS = [8][64]byte{
		{
			14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
			4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
		},
		{
			15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
			0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
		},
		{
			10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
			13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
		},
		{
			7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
			10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
		},
		{
			2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
			4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
		},
		{
			12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
			9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
		},
		{
			4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
			1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
		},
		{
			13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
			7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
		},
	}
)

const desTurn = 5

var desPlaces = [8]int{0, 16, 24, 8, 16, 0, 8, 24}

// desTables are the sums' terms: of each nibble of a key to what PC-1 makes of it, of each nibble of that to the words of
// the round keys (two rounds together, the first in the low half), of each nibble of a block to its initial and final
// permutation, and of each S-box, permuted by P and turned.
var desTables = func() (t struct {
	pc1    [14][16]uint64
	keys   [14][16][8]uint64 // nibbles from the high end: seven of C, seven of D
	ip, fp [16][16]uint64
	sp     [8][64]uint32
},
) {
	var fp [64]byte
	for i, from := range desIP {
		fp[from-1] = byte(i + 1)
	}
	for n := range 16 {
		for v := range uint64(16) {
			t.ip[n][v] = permute(v<<(60-4*n), 64, desIP[:])
			t.fp[n][v] = permute(v<<(60-4*n), 64, fp[:])
		}
	}
	for n := range 14 {
		for v := range uint64(16) {
			t.pc1[n][v] = permutedChoice1(v << (52 - 4*n))
			t.keys[n][v] = roundKeys(v << (52 - 4*n))
		}
	}
	for box := range 8 {
		for v := range 64 {
			row, column := v>>4&2|v&1, v>>1&15
			t.sp[box][v] = bits.RotateLeft32(uint32(permute(uint64(desS[box][16*row+column])<<(28-4*box), 32, desP[:])), desTurn)
		}
	}
	return t
}()

// permute takes bit from[i] of v, counted from 1 at the high end of its width, as bit i of the result.
func permute(v uint64, width int, from []byte) (out uint64) {
	for _, f := range from {
		out = out<<1 | v>>(width-int(f))&1
	}
	return out
}

// permutedChoice1 is C and D, 28 bits each, of a 56-bit key.
func permutedChoice1(key uint64) uint64 {
	var wide uint64
	for i := range 8 {
		wide = wide<<8 | key>>(49-7*i)&0x7f<<1 // the lowest bit of each byte is parity, which PC-1 leaves out
	}
	return permute(wide, 64, desPC1[:])
}

// roundKeys are the words of the sixteen round keys, by the letter of the standard, of C and D of which one is zero.
func roundKeys(cd uint64) (out [8]uint64) {
	c, d := uint32(cd>>28), uint32(cd)&(1<<28-1)
	for i, n := range desShifts {
		c, d = (c<<n|c>>(28-n))&(1<<28-1), (d<<n|d>>(28-n))&(1<<28-1)
		key := permute(uint64(c)<<28|uint64(d), 56, desPC2[:])
		for box, place := range desPlaces {
			out[i/2] |= key >> (42 - 6*box) & 63 << (place + 32*(i%2))
		}
	}
	return out
}

// desThree is a block under three keys of 56 bits, without parity bits.
func desThree(dst *[24]byte, keys *[21]byte, block *[8]byte) {
	var cs, ds [3][8]uint64
	for k := range 3 {
		cd := uint64(0)
		for i, b := range keys[7*k : 7*k+7] {
			cd ^= desTables.pc1[2*i][b>>4] ^ desTables.pc1[2*i+1][b&15]
		}
		c, d := &cs[k], &ds[k]
		for n := range 7 {
			ct, dt := &desTables.keys[n][cd>>(52-4*n)&15], &desTables.keys[n+7][cd>>(24-4*n)&15]
			for i := range c {
				c[i] ^= ct[i]
				d[i] ^= dt[i]
			}
		}
	}
	v := nibbles(&desTables.ip, binary.BigEndian.Uint64(block[:]))
	l, r := bits.RotateLeft32(uint32(v>>32), desTurn), bits.RotateLeft32(uint32(v), desTurn)
	l0, r0, l1, r1, l2, r2 := l, r, l, r, l, r
	for i := range 8 {
		l0 ^= desRound(r0, uint32(cs[0][i]), uint32(ds[0][i]))
		l1 ^= desRound(r1, uint32(cs[1][i]), uint32(ds[1][i]))
		l2 ^= desRound(r2, uint32(cs[2][i]), uint32(ds[2][i]))
		r0 ^= desRound(l0, uint32(cs[0][i]>>32), uint32(ds[0][i]>>32))
		r1 ^= desRound(l1, uint32(cs[1][i]>>32), uint32(ds[1][i]>>32))
		r2 ^= desRound(l2, uint32(cs[2][i]>>32), uint32(ds[2][i]>>32))
	}
	for k, h := range [3][2]uint32{{r0, l0}, {r1, l1}, {r2, l2}} {
		v := uint64(bits.RotateLeft32(h[0], -desTurn))<<32 | uint64(bits.RotateLeft32(h[1], -desTurn))
		binary.BigEndian.PutUint64(dst[8*k:], nibbles(&desTables.fp, v))
	}
}

// desRound is the cipher function of a right half under the two words of a round key.
func desRound(r, c, d uint32) uint32 {
	t, s := bits.RotateLeft32(r, 20), &desTables.sp
	uc, ud, tc, td := r^c, r^d, t^c, t^d
	return s[0][uc&63] ^ s[1][tc>>16&63] ^ s[2][uc>>24&63] ^ s[3][tc>>8&63] ^
		s[4][ud>>16&63] ^ s[5][td&63] ^ s[6][ud>>8&63] ^ s[7][td>>24&63]
}

func nibbles(t *[16][16]uint64, v uint64) (out uint64) {
	for n := range 16 {
		out ^= t[n][v>>(60-4*n)&15]
	}
	return out
}
