package radius

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func testSocket(t testing.TB, address string) (*socket, syscall.RawConn) {
	t.Helper()
	c := doorConfig()
	c.AuthAddrs, c.Workers = []string{address}, 1
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d.sockets[0], d.sockets[0].raw
}

// A letter that the system refuses, wherever it stands in a batch, is counted; all others are sent, once, in order.
func TestSendPassesOverWhatTheSystemRefuses(t *testing.T) {
	s, _ := testSocket(t, "127.0.0.1:0")
	hearer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer hearer.Close()
	if err := hearer.SetReadBuffer(1 << 20); err != nil {
		t.Fatal(err)
	}
	good := localAddr(hearer)
	nowhere := netip.AddrPortFrom(good.Addr(), 0)                          // EINVAL
	otherFamily := netip.MustParseAddrPort("[2001:db8::1]:9")              // EAFNOSUPPORT
	huge := letter{bytes: make([]byte, 70000), to: good}                   // EMSGSIZE
	badInfo := letter{bytes: []byte("x"), to: good, oob: make([]byte, 16)} // EINVAL: the length says 0
	rapid.Check(t, func(t *rapid.T) {
		before := testutil.ToFloat64(s.worker.door.metrics.unsent)
		kinds := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, 3, 4}), 0, 3*batchSize).Draw(t, "kinds")
		var letters []letter
		var want []string
		for i, kind := range kinds {
			l := letter{bytes: fmt.Appendf(nil, "%d", i), to: good}
			switch kind {
			case 0:
				want = append(want, string(l.bytes))
			case 1:
				l.to = nowhere
			case 2:
				l.to = otherFamily
			case 3:
				l = huge
			case 4:
				l = badInfo
			}
			letters = append(letters, l)
		}
		s.send(letters)
		var got []string
		b := make([]byte, 100)
		for range want {
			_ = hearer.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, from, err := hearer.ReadFromUDPAddrPort(b)
			if err != nil {
				t.Fatalf("after %d of %d letters: %v", len(got), len(want), err)
			}
			if from != localAddr(s.conn) {
				t.Fatalf("a letter came from %s", from)
			}
			got = append(got, string(b[:n]))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if refused := testutil.ToFloat64(s.worker.door.metrics.unsent) - before; int(refused) != len(kinds)-len(want) {
			t.Fatalf("%v letters counted as unsent, want %d", refused, len(kinds)-len(want))
		}
		_ = hearer.SetReadDeadline(time.Now().Add(-time.Second))
		if n, err := hearer.Read(b); err == nil {
			t.Fatalf("one too many: %q", b[:n])
		}
	})
}

func TestSendingAfterTheEndIsCounted(t *testing.T) {
	s, _ := testSocket(t, "127.0.0.1:0")
	s.conn.Close()
	s.send(make([]letter, batchSize+1))
	if n := testutil.ToFloat64(s.worker.door.metrics.unsent); n != batchSize+1 {
		t.Errorf("%v letters counted as unsent", n)
	}
}

// What waits is taken in as few calls as it can be, in order, each with where it came from and where it went to.
func TestFillTakesWhatWaits(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(address, func(t *testing.T) {
			s, raw := testSocket(t, address)
			in := newInbox(s.info)
			to := localAddr(s.conn)
			if s.info {
				to = netip.AddrPortFrom(map[bool]netip.Addr{true: netip.MustParseAddr("127.0.0.9"), false: netip.IPv6Loopback()}[to.Addr().Is4()], to.Port())
			}
			a, b := udp(t, to), udp(t, to)
			for round := range 3 {
				var sent [][]byte
				for i := range batchSize + 5 {
					d := bytes.Repeat([]byte{byte(i), byte(round)}, 1+i*70) // some longer than a packet can be
					sent = append(sent, d)
					if _, err := []*net.UDPConn{a, b}[i%2].Write(d); err != nil {
						t.Fatal(err)
					}
				}
				for at := 0; at < len(sent); at += in.n {
					if err := in.fill(raw); err != nil || in.errno != 0 {
						t.Fatal(err, in.errno)
					}
					if want := min(batchSize, len(sent)-at); in.n != want {
						t.Fatalf("took %d, want %d", in.n, want)
					}
					for i := range in.n {
						want := sent[at+i]
						if got := in.datagram(i); !bytes.Equal(got, want[:min(len(want), maxPacket)]) {
							t.Fatalf("datagram %d: %x", at+i, got)
						}
						client := []*net.UDPConn{a, b}[(at+i)%2]
						if from := in.from(i); from != localAddr(client) {
							t.Fatalf("datagram %d from %s, want %s", at+i, from, localAddr(client))
						}
						oob := in.replyInfo(i)
						if (oob != nil) != s.info {
							t.Fatalf("control message %x", oob)
						}
						// The clients are connected, so they hear a reply only when it leaves from the address asked.
						s.send([]letter{{bytes: []byte{byte(at + i)}, to: in.from(i), oob: oob}})
						if got := hear(t, client, 5*time.Second); len(got) != 1 || int(got[0]) != at+i {
							t.Fatalf("reply %d: %x", at+i, got)
						}
					}
				}
			}
		})
	}
}

func TestSocketAddresses(t *testing.T) {
	for _, text := range []string{"192.0.2.7:1812", "[2001:db8::7]:65535", "[fe80::1%7]:1", "[::ffff:192.0.2.7]:2"} {
		var name unix.RawSockaddrInet6
		want := netip.MustParseAddrPort(text)
		putAddrPort(&name, want)
		if got := addrPort(&name); got != want {
			t.Errorf("%s became %s", want, got)
		}
	}
	var name unix.RawSockaddrInet6
	if n := putAddrPort(&name, netip.MustParseAddrPort("192.0.2.7:1812")); n != unix.SizeofSockaddrInet4 {
		t.Errorf("the length of an IPv4 address is %d", n)
	}
}
