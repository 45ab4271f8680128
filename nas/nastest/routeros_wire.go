package nastest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// readSentence reads words up to an empty one. The first byte of a word's length says how many more it has.
func readSentence(r *bufio.Reader) ([]string, error) {
	var words []string
	for {
		size, err := readLength(r)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return words, nil
		}
		if size > 1<<20 || len(words) > 1000 {
			return nil, fmt.Errorf("a sentence of %d words with one of %d bytes", len(words), size)
		}
		word := make([]byte, size)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		words = append(words, string(word))
	}
}

func readLength(r *bufio.Reader) (uint32, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	more, value := 0, uint32(first)
	for bit := byte(0x80); first&bit != 0; bit >>= 1 {
		more++
		value &^= uint32(bit)
	}
	if more > 4 {
		return 0, fmt.Errorf("a length that begins with %#x", first)
	}
	if more == 4 {
		value = 0
	}
	for range more {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		value = value<<8 | uint32(b)
	}
	return value, nil
}

// sentence writes words and the empty one that ends them.
func sentence(words ...string) []byte {
	var out []byte
	for _, w := range words {
		out = append(appendLength(out, uint32(len(w))), w...)
	}
	return append(out, 0)
}

func appendLength(out []byte, n uint32) []byte {
	switch {
	case n < 1<<7:
		return append(out, byte(n))
	case n < 1<<14:
		return binary.BigEndian.AppendUint16(out, uint16(n)|0x8000)
	case n < 1<<21:
		return append(out, byte(n>>16)|0xc0, byte(n>>8), byte(n))
	case n < 1<<28:
		return binary.BigEndian.AppendUint32(out, n|0xe0000000)
	}
	return binary.BigEndian.AppendUint32(append(out, 0xf0), n)
}
