package radius

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// pieces gives a stream in pieces of the lengths asked for.
type pieces struct {
	stream []byte
	next   func(left int) int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.stream) == 0 {
		return 0, io.EOF
	}
	n := min(len(b), len(p.stream), max(1, p.next(len(p.stream))))
	copy(b, p.stream[:n])
	p.stream = p.stream[n:]
	return n, nil
}

func framed(r *rapid.T) (packets [][]byte, stream []byte) {
	for range rapid.IntRange(0, 12).Draw(r, "packets") {
		n := rapid.OneOf(rapid.IntRange(headerLen, 60), rapid.IntRange(headerLen, maxPacket), rapid.Just(maxPacket)).Draw(r, "length")
		b := bytes.Repeat([]byte{byte(len(packets))}, n)
		b[2], b[3] = byte(n>>8), byte(n)
		packets, stream = append(packets, b), append(stream, b...)
	}
	return packets, stream
}

// TestFramesHoweverTheStreamIsCut: the same packets come out, whatever the reads were.
func TestFramesHoweverTheStreamIsCut(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		packets, stream := framed(r)
		most := rapid.SampledFrom([]int{1, 2, 5, 100, 5000, 1 << 20}).Draw(r, "piece")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		cut := rapid.IntRange(0, len(stream)).Draw(r, "cut")
		f := newFrames(&pieces{stream[:cut], func(int) int { return 1 + random.IntN(most) }})
		given := 0
		for i := 0; ; i++ {
			b, err := f.next()
			if err != nil {
				whole := given == cut
				if whole && err != io.EOF || !whole && err != io.ErrUnexpectedEOF {
					r.Fatalf("after %d of %d bytes: %v", given, cut, err)
				}
				break
			}
			if i >= len(packets) || !bytes.Equal(b, packets[i]) {
				r.Fatalf("packet %d is not the one that was sent", i)
			}
			given += len(b)
		}
		if given < cut-maxPacket {
			r.Fatalf("only %d of %d bytes came out", given, cut)
		}
	})
}

func TestFramesEndAtNonsense(t *testing.T) {
	for _, length := range []int{0, 1, 19, 4097, 65535} {
		f := newFrames(bytes.NewReader([]byte{1, 1, byte(length >> 8), byte(length), 0, 0}))
		if _, err := f.next(); err != ErrLength {
			t.Errorf("length %d: %v", length, err)
		}
	}
	failure := errors.New("failure")
	f := newFrames(io.MultiReader(bytes.NewReader([]byte{1, 1, 0, 20}), iotest.ErrReader(failure)))
	if _, err := f.next(); err != failure {
		t.Errorf("a failed read: %v", err)
	}
	f = newFrames(&pieces{make([]byte, 8), func(int) int { return 0 }})
	f.stream = nothing{}
	if _, err := f.next(); err != io.ErrNoProgress {
		t.Errorf("a stream that gives nothing: %v", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// FuzzFrames: whatever the bytes and however they come, the packets are the stream's own bytes in order, each as long as
// it says, and ParseView can be asked about them.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{1, 1, 0, 20}, uint8(1))
	f.Add(append([]byte{1, 1, 0, 20}, make([]byte, 40)...), uint8(3))
	f.Add(append([]byte{4, 1, 0x10, 0}, make([]byte, 5000)...), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		fr := newFrames(&pieces{stream, func(int) int { return int(piece) }})
		rest := stream
		for {
			b, err := fr.next()
			if err != nil {
				if len(rest) >= 4 && err == io.EOF {
					t.Fatalf("%d bytes are left and the end is called clean", len(rest))
				}
				return
			}
			if len(b) < headerLen || len(b) > maxPacket || int(b[2])<<8|int(b[3]) != len(b) || !bytes.HasPrefix(rest, b) {
				t.Fatalf("a packet of %d bytes that is not the stream's", len(b))
			}
			rest = rest[len(b):]
			ParseView(b)
		}
	})
}
