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

// A letter that the system refuses, wherever it stands in a batch and whatever it would go together with, is counted; all
// others are sent, once, those of a size in order.
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
		bySize := func(a, b string) int { return len(a) - len(b) }
		slices.SortStableFunc(got, bySize)
		slices.SortStableFunc(want, bySize)
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if !s.cuts.Load() {
			t.Fatal("what the system refused was taken for a system that does not cut")
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

// Letters of one size to one address go as one message, of any size and to any address they arrive, each a datagram.
func TestSendCutsMessages(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(address, func(t *testing.T) {
			s, _ := testSocket(t, address)
			loopback := netip.MustParseAddr("127.0.0.1")
			if !localAddr(s.conn).Addr().Is4() {
				loopback = netip.IPv6Loopback()
			}
			to := netip.AddrPortFrom(loopback, localAddr(s.conn).Port())
			peers := []*net.UDPConn{udp(t, to), udp(t, to), udp(t, to)}
			for _, peer := range peers {
				widen(peer, 1<<20)
			}
			var oob []byte
			if s.info { // as a request from each of them had it
				in := newInbox(true)
				if _, err := peers[0].Write([]byte("?")); err != nil {
					t.Fatal(err)
				}
				if err := in.fill(s.raw); err != nil {
					t.Fatal(err)
				}
				oob = in.replyInfo(0)
			}
			rapid.Check(t, func(r *rapid.T) {
				sizes := rapid.SliceOfN(rapid.SampledFrom([]int{20, 20, 20, 21, cutMost, cutMost + 1, maxPacket}), 0, 2*batchSize).Draw(r, "sizes")
				var letters []letter
				want := map[*net.UDPConn]map[int][]string{}
				for i, size := range sizes {
					peer := rapid.SampledFrom(peers).Draw(r, "peer")
					b := bytes.Repeat([]byte{byte(i)}, size)
					letters = append(letters, letter{bytes: b, to: localAddr(peer), oob: oob})
					if want[peer] == nil {
						want[peer] = map[int][]string{}
					}
					want[peer][size] = append(want[peer][size], string(b))
				}
				s.send(letters)
				for peer, bySize := range want {
					got := map[int][]string{}
					for _, all := range bySize {
						for range all {
							b := hear(t, peer, 5*time.Second)
							got[len(b)] = append(got[len(b)], string(b))
						}
					}
					for size := range bySize {
						if !slices.Equal(got[size], bySize[size]) {
							t.Fatalf("of %d octets came %x, want %x", size, got[size], bySize[size])
						}
					}
				}
			})
			// A hearer who asks for messages as they are on the way sees what was sent together.
			raw, err := peers[0].SyscallConn()
			if err == nil {
				err = setOption(raw, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
			}
			if err != nil {
				t.Fatal(err)
			}
			var letters []letter
			for i := range batchSize {
				letters = append(letters, letter{bytes: bytes.Repeat([]byte{byte(i)}, 100+i%2), to: localAddr(peers[0]), oob: oob})
			}
			s.send(letters)
			large := letter{bytes: make([]byte, cutMost+1), to: localAddr(peers[0]), oob: oob}
			s.send([]letter{large, large})
			for _, size := range []int{100 * batchSize / 2, 101 * batchSize / 2, cutMost + 1, cutMost + 1} {
				if b := hear(t, peers[0], 5*time.Second); len(b) != size {
					t.Errorf("a message has %d octets, want %d", len(b), size)
				}
			}
		})
	}
}

// Where the system cannot cut, all letters arrive nevertheless, and it is not asked again.
func TestSendWhereNothingIsCut(t *testing.T) {
	s, raw := testSocket(t, "127.0.0.1:0")
	if err := setOption(raw, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil { // EINVAL for a message that is to be cut
		t.Fatal(err)
	}
	peer := udp(t, localAddr(s.conn))
	for range 2 {
		var letters []letter
		for i := range batchSize + 3 {
			letters = append(letters, letter{bytes: []byte{byte(i)}, to: localAddr(peer)})
		}
		s.send(letters)
		for i := range letters {
			if b := hear(t, peer, 5*time.Second); len(b) != 1 || int(b[0]) != i {
				t.Fatalf("letter %d: %x", i, b)
			}
		}
		if s.cuts.Load() {
			t.Error("a system that does not cut is asked again")
		}
	}
	if n := testutil.ToFloat64(s.worker.door.metrics.unsent); n != 0 {
		t.Errorf("%v letters counted as unsent", n)
	}
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
