package control

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// device listens for commands as an access server does, and answers as it is told: nil is silence.
type device struct {
	conn *net.UDPConn
	mu   sync.Mutex
	seen [][]byte
}

func listen(t *testing.T, answer func(n int, wire []byte) []byte) *device {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	d := &device{conn: conn}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			d.mu.Lock()
			d.seen = append(d.seen, bytes.Clone(buf[:n]))
			count := len(d.seen)
			d.mu.Unlock()
			if b := answer(count, bytes.Clone(buf[:n])); b != nil {
				_, _ = conn.WriteToUDPAddrPort(b, from)
			}
		}
	}()
	return d
}

func (d *device) datagrams() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

func (d *device) dial(t *testing.T, perSecond float64) *peer {
	t.Helper()
	pace := &pace{restores: func() bool { return false }}
	pace.set(perSecond)
	p, err := dial(d.conn.LocalAddr().(*net.UDPAddr).AddrPort(), pace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func coa(packets int, retry ...time.Duration) *sending {
	s := &sending{code: radius.CodeCoARequest, retry: retry}
	for range packets {
		p := &radius.Packet{}
		_ = rfc2865.UserName_AddString(p, "ana")
		s.packets = append(s.packets, p.Attributes)
	}
	return s
}

// Retransmissions count as well: a device that does not answer sees no more than its rate.
func TestRetransmissionsKeepTheRate(t *testing.T) {
	const perSecond, commands, each = 50, 12, 3
	d := listen(t, func(int, []byte) []byte { return nil })
	p := d.dial(t, perSecond)
	began := time.Now()
	var running sync.WaitGroup
	for range commands {
		running.Go(func() {
			_, sent, err := p.exchangeAll(context.Background(), coa(1, time.Millisecond, time.Millisecond, time.Millisecond), secret)
			if sent != each || !errors.Is(err, errTimeout) {
				t.Errorf("%d datagrams, %v", sent, err)
			}
		})
	}
	running.Wait()
	if took, least := time.Since(began), (commands*each-1)*time.Second/perSecond; took < least {
		t.Errorf("%d datagrams within %s", commands*each, took)
	}
}

// An old Event-Timestamp is not sent again: the packet that carries a new one has an identifier and a Request Authenticator
// of its own, and what was sent before is the same bytes.
func TestAnOldEventTimestampIsReplaced(t *testing.T) {
	d := listen(t, func(int, []byte) []byte { return nil })
	p := d.dial(t, 10000)
	p.stamp = 1500 * time.Millisecond
	_, _, _ = p.exchangeAll(context.Background(), coa(1, 10*time.Millisecond, 2*time.Second, 10*time.Millisecond, 10*time.Millisecond), secret)
	var seen [][]byte
	for deadline := time.Now().Add(5 * time.Second); len(seen) < 4 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		seen = d.datagrams()
	}
	if len(seen) != 4 || !bytes.Equal(seen[0], seen[1]) || !bytes.Equal(seen[2], seen[3]) || bytes.Equal(seen[1], seen[2]) || seen[1][1] == seen[2][1] {
		t.Fatalf("%x", seen)
	}
	stamp := func(b []byte) time.Time {
		q, err := radius.Parse(b, secret)
		if err != nil {
			t.Fatal(err)
		}
		return rfc2869.EventTimestamp_Get(q)
	}
	if before, after := stamp(seen[0]), stamp(seen[2]); after.Sub(before) < time.Second || time.Since(after) > 5*time.Second {
		t.Errorf("%s became %s", before, after)
	}
}

// An answer that comes after all attempts is told once, whatever else comes under its identifier; one that was waited for is
// not told again.
func TestALateAnswer(t *testing.T) {
	var mu sync.Mutex
	var told []answer
	released := make(chan struct{})
	d := listen(t, func(n int, wire []byte) []byte {
		if n == 1 {
			return nil
		}
		return respond(t, wire, radius.CodeCoAACK, 0, true)
	})
	p := d.dial(t, 10000)
	s := coa(1, 10*time.Millisecond)
	s.late = func(a answer, last bool) {
		mu.Lock()
		defer mu.Unlock()
		if told = append(told, a); !last || len(told) == 1 {
			close(released)
		}
	}
	if _, sent, err := p.exchangeAll(context.Background(), s, secret); sent != 1 || !errors.Is(err, errTimeout) {
		t.Fatalf("%d datagrams, %v", sent, err)
	}
	next := coa(1, 5*time.Second)
	next.late = s.late
	if a, _, err := p.exchangeAll(context.Background(), next, secret); err != nil || !a.ack {
		t.Fatalf("%+v, %v", a, err)
	}
	for range 3 { // from the device's own address
		_, _ = d.conn.WriteToUDPAddrPort(respond(t, d.datagrams()[0], radius.CodeCoANAK, 506, true), p.conn.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	select {
	case <-released:
	case <-time.After(10 * time.Second):
		t.Fatal("the late answer is not told")
	}
	if a, _, err := p.exchangeAll(context.Background(), coa(1, 5*time.Second), secret); err != nil || !a.ack { // by now all before it was read
		t.Fatalf("%+v, %v", a, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 || told[0].ack || told[0].cause != 506 {
		t.Errorf("told %+v", told)
	}
}

// Attempts are waited for about as long as the setting has it.
func TestJitter(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 2000 {
		d := jittered(10 * time.Second)
		least, most = min(least, d), max(most, d)
	}
	if least < 9*time.Second || most > 11*time.Second || most-least < time.Second {
		t.Errorf("between %s and %s", least, most)
	}
}
