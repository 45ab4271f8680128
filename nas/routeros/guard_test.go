package routeros

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/iotest"
	"time"

	ros "github.com/go-routeros/routeros/v3"
	"github.com/go-routeros/routeros/v3/proto"

	"enlace/nas"
)

func nastestAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// stream is a connection of which only the reading is of interest.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func guarded(r io.Reader) *guard {
	g := &guard{Conn: stream{Reader: r}}
	g.begin()
	return g
}

func TestGuardStopsBeforeALength(t *testing.T) {
	for _, c := range []struct {
		in   []byte
		good int // bytes that may pass
	}{
		{[]byte{3, '!', 'r', 'e', 0xf0, 0x40, 0, 0, 0, 'x'}, 8},
		{[]byte{0xe0 | 0x0f, 0xff, 0xff, 0xff}, 3},
		{[]byte{0xc0 | 0x04, 0x00, 0x01}, 2},
		{[]byte{0xf8}, 0},
		{[]byte{0, 0xff, 0}, 1},
	} {
		for name, r := range map[string]io.Reader{"at once": bytes.NewReader(c.in), "byte by byte": iotest.OneByteReader(bytes.NewReader(c.in))} {
			got, err := io.ReadAll(guarded(r))
			if err == nil || len(got) != c.good {
				t.Errorf("%x %s: %d bytes passed, %v; want %d and an error", c.in, name, len(got), err, c.good)
			}
		}
	}
	long := append([]byte{0xc0 | 0x04, 0x00, 0x00}, make([]byte, maxWord)...) // as long as a word may be
	if got, err := io.ReadAll(guarded(bytes.NewReader(long))); err != nil || len(got) != len(long) {
		t.Errorf("a word of %d bytes: %d passed, %v", maxWord, len(got), err)
	}
}

func TestGuardBoundsAReply(t *testing.T) {
	endless := io.MultiReader(bytes.NewReader(nil), zeros{})
	n, err := io.Copy(io.Discard, guarded(endless))
	if !errors.Is(err, errReply) || n > maxReply {
		t.Fatalf("%d bytes passed, %v", n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzGuard: whatever a router sends, the library behind the guard never makes room for more than a word's bound, and
// what is well-formed passes as it came.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{3, '!', 'r', 'e', 5, '=', 'a', '=', 'b', 'c', 0, 5, '!', 'd', 'o', 'n', 'e', 0}, uint8(3))
	f.Add([]byte{0xf0, 0xff, 0xff, 0xff, 0xff, 1}, uint8(1))
	f.Add([]byte{0x80, 0x01, '!', 0xc0, 0, 0, 0xe0, 0, 0, 0, 0xf0, 0, 0, 0, 0}, uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		g := guarded(chunks{bytes.NewReader(in), int(chunk)%7 + 1})
		passed, err := io.ReadAll(g)
		if !bytes.HasPrefix(in, passed) || err == nil && len(passed) != len(in) {
			t.Fatalf("of %x passed %x, %v", in, passed, err)
		}
		r := proto.NewReader(bytes.NewReader(passed))
		for {
			sen, err := r.ReadSentence()
			if err != nil {
				return
			}
			for _, p := range sen.List {
				if len(p.Key)+len(p.Value) > maxWord {
					t.Fatalf("a word of %d bytes", len(p.Key)+len(p.Value))
				}
			}
		}
	})
}

type chunks struct {
	r io.Reader
	n int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func (stream) Write(p []byte) (int, error) { return len(p), nil }
func (stream) SetDeadline(time.Time) error { return nil }
func (stream) Close() error                { return nil }

// FuzzReply: whatever a router answers, to a login or to a command, there is a reply or an error.
func FuzzReply(f *testing.F) {
	f.Add([]byte("\x05!done\x00\x03!re\x0a=name=bras\x00\x05!done\x00"))
	f.Add([]byte("\x05!done\x0a=ret=00abc\x00\x05!trap\x0d=message=wrong\x00\x05!done\x00"))
	f.Add([]byte("\x05!done\x00\x06!fatal\x03bye\x00"))
	f.Add([]byte("\x05!done\x00\x06!empty\x00\x05!done\x08=ret=*1A\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &conn{guard: guarded(bytes.NewReader(in))}
		c.guard.Conn = stream{Reader: bytes.NewReader(in)}
		var err error
		if c.api, err = ros.NewClient(c.guard); err != nil {
			t.Fatal(err)
		}
		c.api.SetLogHandler(slog.DiscardHandler)
		err = c.during(context.Background(), time.Minute, func() error { return c.api.LoginContext(context.Background(), "user", "password") })
		for range 3 {
			if err != nil {
				break
			}
			var out reply
			out, err = c.run(context.Background(), time.Minute, "/ppp/secret/print")
			for _, r := range out.rows {
				_ = secretOf(r)
				_, _ = rates(r["rate-limit"])
				_, _ = span(r["uptime"])
				_ = same(r, nas.Session{Key: nas.SessionKey{ID: "81000000"}})
			}
		}
		c.close()
	})
}
