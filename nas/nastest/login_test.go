package nastest

import (
	"crypto/md5"
	"strings"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc3079"
	"layeh.com/radius/vendors/microsoft"
)

func TestCHAP(t *testing.T) {
	p := radius.New(radius.CodeAccessRequest, []byte("secret"))
	if _, err := prove(p, "ana", "pässword", CHAP); err != nil {
		t.Fatal(err)
	}
	value, challenge := rfc2865.CHAPPassword_Get(p), rfc2865.CHAPChallenge_Get(p)
	if len(value) != 17 || len(challenge) != 16 {
		t.Fatalf("CHAP-Password of %d bytes, challenge of %d", len(value), len(challenge))
	}
	if want := md5.Sum([]byte(string(value[:1]) + "pässword" + string(challenge))); string(value[1:]) != string(want[:]) {
		t.Error("the response does not follow from the password")
	}
}

func TestMSCHAPv2DemandsTheServersProof(t *testing.T) {
	secret := []byte("secret")
	request := radius.New(radius.CodeAccessRequest, secret)
	check, err := prove(request, "ana", "pw", MSCHAPv2)
	if err != nil {
		t.Fatal(err)
	}
	challenge, sent := microsoft.MSCHAPChallenge_Get(request), microsoft.MSCHAP2Response_Get(request)
	if len(sent) != 50 {
		t.Fatalf("MS-CHAP2-Response of %d bytes", len(sent))
	}
	accept := func(password string, keys bool, flip bool) *radius.Packet {
		p := request.Response(radius.CodeAccessAccept)
		proof, err := rfc2759.GenerateAuthenticatorResponse(challenge, sent[2:18], sent[26:50], []byte("ana"), []byte(password))
		if err != nil {
			t.Fatal(err)
		}
		_ = microsoft.MSCHAP2Success_Add(p, append([]byte{sent[0]}, proof...))
		if keys {
			send, _ := rfc3079.MakeKey(sent[26:50], []byte(password), !flip)
			recv, _ := rfc3079.MakeKey(sent[26:50], []byte(password), flip)
			_ = microsoft.MSMPPESendKey_Add(p, send)
			_ = microsoft.MSMPPERecvKey_Add(p, recv)
		}
		return p
	}
	for name, c := range map[string]struct {
		accept *radius.Packet
		ok     bool
	}{
		"right":            {accept("pw", false, false), true},
		"right with keys":  {accept("pw", true, false), true},
		"keys exchanged":   {accept("pw", true, true), false},
		"another password": {accept("wrong", false, false), false},
		"no proof":         {request.Response(radius.CodeAccessAccept), false},
	} {
		if err := check(c.accept, request); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := prove(request, "ana", "pw", 9); err == nil || !strings.Contains(err.Error(), "method 9") {
		t.Errorf("an unknown method: %v", err)
	}
}
