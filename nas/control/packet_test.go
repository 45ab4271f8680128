package control

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
)

var secret = []byte("a shared secret")

func command(t testing.TB) []byte {
	t.Helper()
	p := &radius.Packet{}
	_ = rfc2865.UserName_AddString(p, "ana")
	wire, err := request(radius.CodeCoARequest, 42, p.Attributes, secret)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// respond makes an answer with the library alone.
func respond(t testing.TB, wire []byte, code radius.Code, cause rfc3576.ErrorCause, signed bool) []byte {
	t.Helper()
	asked, err := radius.Parse(wire, secret)
	if err != nil {
		t.Fatal(err)
	}
	p := asked.Response(code)
	if signed {
		p.Add(rfc2869.MessageAuthenticator_Type, make(radius.Attribute, 16))
	}
	if cause != 0 {
		_ = rfc3576.ErrorCause_Add(p, cause)
	}
	if signed {
		plain, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(md5.New, secret)
		mac.Write(plain)
		p.Attributes[0].Attribute = mac.Sum(nil)
	}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestARequestIsAuthentic(t *testing.T) {
	wire := command(t)
	if !radius.IsAuthenticRequest(wire, secret) || radius.IsAuthenticRequest(wire, []byte("another")) {
		t.Error("the Request Authenticator is not the secret's")
	}
	if wire[1] != 42 || wire[20] != 80 || wire[21] != 18 {
		t.Errorf("identifier %d, first attribute %d of length %d", wire[1], wire[20], wire[21])
	}
	plain := bytes.Clone(wire)
	clear(plain[4:20])
	clear(plain[22:38])
	mac := hmac.New(md5.New, secret)
	mac.Write(plain)
	if !bytes.Equal(mac.Sum(nil), wire[22:38]) {
		t.Error("the Message-Authenticator is wrong")
	}
}

func TestReplies(t *testing.T) {
	wire := command(t)
	for _, c := range []struct {
		name string
		b    []byte
		want answer
		ok   bool
	}{
		{"ACK", respond(t, wire, radius.CodeCoAACK, 0, true), answer{ack: true}, true},
		{"ACK without Message-Authenticator", respond(t, wire, radius.CodeCoAACK, 0, false), answer{ack: true}, true},
		{"NAK 503", respond(t, wire, radius.CodeCoANAK, 503, true), answer{cause: 503}, true},
		{"NAK without Error-Cause", respond(t, wire, radius.CodeCoANAK, 0, false), answer{}, true},
		{"padded", append(respond(t, wire, radius.CodeCoAACK, 0, true), 0, 0, 0), answer{ack: true}, true},
		{"the answer to a Disconnect", respond(t, wire, radius.CodeDisconnectACK, 0, true), answer{}, false},
		{"an Access-Accept", respond(t, wire, radius.CodeAccessAccept, 0, true), answer{}, false},
		{"short", []byte{44, 42, 0, 20}, answer{}, false},
		{"nothing", nil, answer{}, false},
	} {
		if got, ok := reply(wire, c.b, secret); got != c.want || ok != c.ok {
			t.Errorf("%s reads as %+v, %v", c.name, got, ok)
		}
	}
}

func TestNoBitOfAReplyCanBeChanged(t *testing.T) {
	wire := command(t)
	for _, signed := range []bool{false, true} {
		b := respond(t, wire, radius.CodeCoANAK, 503, signed)
		for i := range len(b) * 8 {
			forged := bytes.Clone(b)
			forged[i/8] ^= 1 << (i % 8)
			if _, ok := reply(wire, forged, secret); ok {
				t.Errorf("signed %v: bit %d may be changed", signed, i)
			}
		}
	}
	// A right Response Authenticator does not excuse a wrong Message-Authenticator.
	asked, _ := radius.Parse(wire, secret)
	p := asked.Response(radius.CodeCoAACK)
	p.Add(rfc2869.MessageAuthenticator_Type, make(radius.Attribute, 16))
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := reply(wire, b, secret); ok {
		t.Error("a wrong Message-Authenticator passes")
	}
}

func FuzzReply(f *testing.F) {
	wire := command(f)
	f.Add(respond(f, wire, radius.CodeCoAACK, 0, true))
	f.Add(respond(f, wire, radius.CodeCoANAK, 503, false))
	f.Add([]byte{44, 42, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := reply(wire, b, secret); ok && !radius.IsAuthenticResponse(b[:int(b[2])<<8|int(b[3])], wire, secret) {
			t.Errorf("%x passes", b)
		}
		// The walk over attributes comes after the authenticator in reply; here it meets bytes nobody signed.
		if _, err := radius.Parse(b, secret); err == nil {
			signedRight(b[:int(b[2])<<8|int(b[3])], wire, secret)
		}
	})
}

func TestErrorCauseName(t *testing.T) {
	for cause, want := range map[int]string{503: "Session-Context-Not-Found", 0: "no Error-Cause", 999: "Error-Cause 999"} {
		if got := ErrorCauseName(cause); got != want {
			t.Errorf("%d is %q", cause, got)
		}
	}
}
