package radius

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"enlace/nas"
)

// realistic are the attributes that an access server sends beside the credentials.
func realistic(p *layeh.Packet) error {
	for kind, value := range map[layeh.Type]string{4: "\x0a\x00\x00\x01", 5: "\x00\x00\x00\x07", 6: "\x00\x00\x00\x02", 7: "\x00\x00\x00\x01",
		31: "AA:BB:CC:DD:EE:FF", 30: "service1", 32: "bras-1.pop", 61: "\x00\x00\x00\x0f", 87: "ether1-vlan100"} {
		p.Add(kind, layeh.Attribute(value))
	}
	return nil
}

// crowd is a request of each of 256 Identifiers, twice over with other authenticators, so that none is a retransmission
// of the one before it under the same Identifier.
func crowd(t testing.TB, credential func(login, password string) func(*layeh.Packet) error) [][]byte {
	var all [][]byte
	for i := range 512 {
		login, password := fmt.Sprintf("user%07d@isp", i), fmt.Sprintf("pw%07d", i)
		q := request(t, realistic, user(login), credential(login, password), unsigned)
		q[1] = byte(i)
		all = append(all, sign(q, doorSecret))
	}
	return all
}

func papOf(_, password string) func(*layeh.Packet) error  { return pap(password) }
func chapOf(_, password string) func(*layeh.Packet) error { return chap(1, password) }

func crowdConfig(subscribers int) Config {
	c := doorConfig()
	c.Directory = filled(subscribers)
	return c
}

// The path of PAP, CHAP and MS-CHAPv2, from the datagram to the sealed reply, allocates nothing.
func TestPathAllocatesNothing(t *testing.T) {
	for name, credential := range map[string]func(string, string) func(*layeh.Packet) error{"PAP": papOf, "CHAP": chapOf, "MSCHAPv2": msCHAPv2Of(t)} {
		w := newHandler(t, crowdConfig(1000))
		all := crowd(t, credential)
		p := &packet{from: doorFrom, now: doorNow, device: w.door.devices.lookup(doorFrom.Addr())}
		i := 0
		one := func() {
			p.datagram = all[i%len(all)]
			p.tick = w.tick()
			if b := w.handleSafely(p); len(b) < 20 || b[0] != CodeAccessAccept {
				t.Fatalf("%s: no accept: %x", name, b)
			}
			i++
		}
		for range len(all) {
			one() // the first of each Identifier makes its place in the cache
		}
		if n := testing.AllocsPerRun(2000, one); n != 0 {
			t.Errorf("%s: %v allocations a request", name, n)
		}
	}
}

func msCHAPv2Of(t testing.TB) func(login, password string) func(*layeh.Packet) error {
	return func(login, password string) func(*layeh.Packet) error { return msCHAPv2(t, login, password) }
}

func benchmarkHandler(b *testing.B, credential func(string, string) func(*layeh.Packet) error) {
	w := newHandler(b, crowdConfig(100_000))
	all := crowd(b, credential)
	p := &packet{from: doorFrom, now: doorNow, device: w.door.devices.lookup(doorFrom.Addr())}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.datagram = all[i%len(all)]
		p.now, p.tick = doorNow, w.tick()
		if out := w.handleSafely(p); out == nil || out[0] != CodeAccessAccept {
			b.Fatal("no accept")
		}
		i++
	}
}

func BenchmarkPAP(b *testing.B)  { benchmarkHandler(b, papOf) }
func BenchmarkCHAP(b *testing.B) { benchmarkHandler(b, chapOf) }
func BenchmarkMSCHAPv2(b *testing.B) {
	benchmarkHandler(b, msCHAPv2Of(b))
}

// BenchmarkReject is a wrong password, again and again by the same logins.
func BenchmarkReject(b *testing.B) {
	w := newHandler(b, crowdConfig(1000))
	all := crowd(b, func(string, string) func(*layeh.Packet) error { return pap("wrong") })
	p := &packet{from: doorFrom, now: doorNow, device: w.door.devices.lookup(doorFrom.Addr())}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.datagram, p.tick = all[i%len(all)], w.tick()
		if out := w.handleSafely(p); out == nil || out[0] != CodeAccessReject {
			b.Fatal("no reject")
		}
		i++
	}
}

func BenchmarkRetransmission(b *testing.B) {
	w := newHandler(b, crowdConfig(1000))
	p := &packet{datagram: crowd(b, papOf)[0], from: doorFrom, now: doorNow, device: w.door.devices.lookup(doorFrom.Addr())}
	b.ReportAllocs()
	for b.Loop() {
		if w.handleSafely(p) == nil {
			b.Fatal("no reply")
		}
	}
}

// BenchmarkUDP asks over loopback from 16 ports with up to 32 requests under way on each; the generator shares the
// machine with the server.
func BenchmarkUDP(b *testing.B) {
	for name, credential := range map[string]func(string, string) func(*layeh.Packet) error{"PAP": papOf, "CHAP": chapOf,
		"MSCHAPv2": msCHAPv2Of(b)} {
		b.Run(name, func(b *testing.B) {
			d := run(b, crowdConfig(100_000))
			all := crowd(b, credential)
			b.ReportAllocs()
			b.ResetTimer()
			var lost atomic.Int64
			var clients sync.WaitGroup
			const ports, window = 16, 32
			for c := range ports {
				clients.Go(func() { lost.Add(ask32(b, d.AuthAddrs()[0], all, b.N/ports+min(1, max(0, b.N%ports-c)), window)) })
			}
			clients.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "replies/s")
			if lost.Load() > 0 {
				b.ReportMetric(float64(lost.Load()), "lost")
			}
		})
	}
}

// ask32 asks n times with a window of requests under way, and returns how many had no reply.
func ask32(b *testing.B, to netip.AddrPort, all [][]byte, n, window int) (lost int64) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	buf := make([]byte, maxPacket)
	for sent, heard := 0, 0; heard < n; {
		for ; sent < n && sent-heard < window; sent++ {
			if _, err := conn.Write(all[sent%len(all)]); err != nil {
				b.Error(err)
				return
			}
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			b.Error(err)
			return
		}
		if _, err := conn.Read(buf); err != nil {
			lost += int64(sent - heard)
			heard = sent
			continue
		}
		heard++
	}
	return lost
}

func BenchmarkDirectoryLookup(b *testing.B) {
	d := filled(100_000)
	login := []byte("user0054321@isp")
	b.ReportAllocs()
	for b.Loop() {
		if d.Lookup(login) == nil {
			b.Fatal("lost")
		}
	}
}

func BenchmarkDeviceLookup(b *testing.B) {
	t := NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), []nas.Device{doorDevice()})
	for b.Loop() {
		if t.lookup(doorFrom.Addr()) == nil {
			b.Fatal("lost")
		}
	}
}
