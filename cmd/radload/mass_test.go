package main

import (
	"net"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// TestTaker has an access server of the mass change acknowledge commands, count each once, and tell of one that is awaited.
func TestTaker(t *testing.T) {
	d, err := newTaker("the secret")
	if err != nil {
		t.Fatal(err)
	}
	defer d.conn.Close()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(d.addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	arrived := make(chan time.Time, 1)
	d.await("maria@isp", arrived)
	for i, c := range []struct {
		asked, answer radius.Code
		login         string
	}{{radius.CodeCoARequest, radius.CodeCoAACK, "ana@isp"}, {radius.CodeDisconnectRequest, radius.CodeDisconnectACK, "maria@isp"}} {
		p := radius.New(c.asked, []byte("the secret"))
		if err := rfc2865.UserName_SetString(p, c.login); err != nil {
			t.Fatal(err)
		}
		wire, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is a retransmission
			if _, err := conn.Write(wire); err != nil {
				t.Fatal(err)
			}
			reply := make([]byte, maxPacket)
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, err := conn.Read(reply)
			if err != nil {
				t.Fatal(err)
			}
			if !radius.IsAuthenticResponse(reply[:n], wire, []byte("the secret")) || radius.Code(reply[0]) != c.answer {
				t.Errorf("%s is answered with %x", c.asked, reply[:n])
			}
		}
		if commands, datagrams := d.counts(); commands != i+1 || datagrams != 2*(i+1) {
			t.Errorf("%d commands in %d datagrams are counted", commands, datagrams)
		}
		if (len(arrived) == 1) != (c.login == "maria@isp") {
			t.Errorf("after %s: %d arrivals are told", c.login, len(arrived))
		}
	}
}
