package radius

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"
	"layeh.com/radius/vendors/microsoft"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of RFC 2759, section 9.2, and its keys in RFC 3079, section 3.5.3.
func TestMSCHAPv2Vector(t *testing.T) {
	challenge := unhex(t, "5B5D7C7D7B3F2F3E3C2C602132262628")
	response := append([]byte{1, 0}, unhex(t, "21402324255E262A28295F2B3A337C7E 0000000000000000 82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")...)
	var m mschap
	if !m.verifyV2(newHasher(), challenge, response, []byte("User"), []byte("clientPass")) {
		t.Fatal("the RFC's response does not verify")
	}
	for name, c := range map[string][2][]byte{
		"NT hash":       {m.hash[:16], unhex(t, "44EBBA8D5312B8D611474411F56989AE")},
		"hash of hash":  {m.hashHash[:], unhex(t, "41C00C584BD2D91C4017A2A12FA59F3F")},
		"master key":    {m.master[:], unhex(t, "FDECE3717A8C838CB388E527AE3CDD31")},
		"send key":      {m.send[:], unhex(t, "8B7CDC149B993A1BA118CB153F56DCCB")},
		"authenticator": {m.success[:], []byte("S=407A5589115FD0D6209F510FE9C04566932CDA56")},
	} {
		if !bytes.Equal(c[0], c[1]) {
			t.Errorf("%s is %X, want %X", name, c[0], c[1])
		}
	}
	if !m.verifyV2(newHasher(), challenge, response, []byte(`CORP\User`), []byte("clientPass")) {
		t.Error("a domain before the name breaks the response")
	}
	for _, password := range []string{"", "clientpass", "clientPass ", strings.Repeat("x", 300)} {
		if m.verifyV2(newHasher(), challenge, response, []byte("User"), []byte(password)) {
			t.Errorf("password %q verifies", password)
		}
	}
}

// One worker's scratch space, used again and again, agrees with an implementation of others.
func TestMSCHAPv2AgainstLayeh(t *testing.T) {
	h, m := newHasher(), &mschap{}
	rapid.Check(t, func(t *rapid.T) {
		password := []byte(rapid.StringN(1, 100, 200).Draw(t, "password"))
		name := rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(t, "user")
		challenge := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "challenge")
		peer := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "peer")
		nt, err := rfc2759.GenerateNTResponse(challenge, peer, name, password)
		if err != nil {
			t.Fatal(err)
		}
		response := append(append(append([]byte{3, 0}, peer...), make([]byte, 8)...), nt...)
		if !m.verifyV2(h, challenge, response, name, password) {
			t.Fatal("the response does not verify")
		}
		success, err := rfc2759.GenerateAuthenticatorResponse(challenge, peer, nt, name, password)
		if err != nil || success != string(m.success[:]) {
			t.Fatalf("success %s, want %s (%v)", m.success, success, err)
		}
		for send, key := range map[bool][]byte{true: m.send[:], false: m.recv[:]} {
			if want, err := rfc3079.MakeKey(nt, password, send); err != nil || !bytes.Equal(want, key) {
				t.Fatalf("key (send %v) %x, want %x (%v)", send, key, want, err)
			}
		}
		response[26+rapid.IntRange(0, 23).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if m.verifyV2(h, challenge, response, name, password) {
			t.Fatal("an altered response verifies")
		}
	})
}

func msCHAPv2(t testing.TB, login, password string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error {
		challenge, peer := bytes.Repeat([]byte{0xC1}, 16), bytes.Repeat([]byte{0x9E}, 16)
		copy(challenge, p.Authenticator[:])
		nt, err := rfc2759.GenerateNTResponse(challenge, peer, []byte(login), []byte(password))
		if err != nil {
			t.Fatal(err)
		}
		if err := microsoft.MSCHAPChallenge_Add(p, challenge); err != nil {
			return err
		}
		return microsoft.MSCHAP2Response_Add(p, append(append(append([]byte{0x2A, 0}, peer...), make([]byte, 8)...), nt...))
	}
}

func TestMSCHAPv2Accept(t *testing.T) {
	w := newHandler(t, doorConfig())
	q := request(t, user("ana@isp"), msCHAPv2(t, "ana@isp", "secret-ana@isp"))
	p := checkedReply(t, q, w.give(q))
	if p.Code != layeh.CodeAccessAccept {
		t.Fatalf("got %s: %+v", p.Code, w.door.Refusals().Recent("", 1))
	}
	challenge, _ := ParseView(q)
	c, _ := challenge.Vendor(vendorMicrosoft, msCHAPChallenge)
	r, _ := challenge.Vendor(vendorMicrosoft, msCHAP2Response)
	want, err := rfc2759.GenerateAuthenticatorResponse(c, r[2:18], r[26:], []byte("ana@isp"), []byte("secret-ana@isp"))
	if err != nil || string(microsoft.MSCHAP2Success_Get(p)) != "\x2a"+want {
		t.Errorf("MS-CHAP2-Success %q, want %q", microsoft.MSCHAP2Success_Get(p), want)
	}
	send, _ := rfc3079.MakeKey(r[26:], []byte("secret-ana@isp"), true)
	recv, _ := rfc3079.MakeKey(r[26:], []byte("secret-ana@isp"), false)
	sendKey, sendSalt := tunnelKey(t, p, msSendKey)
	recvKey, recvSalt := tunnelKey(t, p, msRecvKey)
	if !bytes.Equal(sendKey, send) || !bytes.Equal(recvKey, recv) {
		t.Errorf("keys %x and %x, want %x and %x", sendKey, recvKey, send, recv)
	}
	if bytes.Equal(sendSalt, recvSalt) || sendSalt[0]&recvSalt[0]&0x80 == 0 {
		t.Errorf("salts %x and %x", sendSalt, recvSalt)
	}
	if microsoft.MSMPPEEncryptionPolicy_Get(p) != 1 || microsoft.MSMPPEEncryptionTypes_Get(p) != 6 {
		t.Error("encryption policy and types are not 1 and 6")
	}
}

// tunnelKey uncovers a key, and shows its salt, with layeh's codec of salted attributes (RFC 2868, section 3.5, is the same hiding).
func tunnelKey(t testing.TB, p *layeh.Packet, kind byte) (key, salt []byte) {
	t.Helper()
	for _, a := range p.Attributes {
		if a.Type == attrVendorSpecific && a.Attribute[4] == kind && bytes.Equal(a.Attribute[:4], []byte{0, 0, 1, 55}) {
			key, salt, err := layeh.TunnelPassword(layeh.Attribute(a.Attribute[6:]), p.Secret, p.Authenticator[:])
			if err != nil {
				t.Fatal(err)
			}
			return key, salt
		}
	}
	t.Fatalf("no key of type %d", kind)
	return nil, nil
}

func TestMSCHAPReject(t *testing.T) {
	w := newHandler(t, doorConfig())
	for _, login := range []string{"ana@isp", "nobody", "ted"} {
		password := "wrong"
		if login == "ted" {
			password = "secret-ted"
		}
		q := request(t, user(login), msCHAPv2(t, login, password))
		p := checkedReply(t, q, w.give(q))
		text := string(microsoft.MSCHAPError_Get(p))
		if p.Code != layeh.CodeAccessReject || !regexp.MustCompile(`^\x2aE=691 R=0 C=[0-9A-F]{32} V=3 M=Authentication failed$`).MatchString(text) {
			t.Errorf("%s: %s with %q", login, p.Code, text)
		}
	}
}

// RFC 2548, sections 2.1.6, 2.1.7 and 2.3.4: a change of the password is told that it cannot be had.
func TestPasswordChangeIsRefused(t *testing.T) {
	w := newHandler(t, doorConfig())
	for name, c := range map[string]struct {
		kind  byte
		value []byte
		want  string
	}{
		"MS-CHAP-CPW-1": {3, append([]byte{5, 42}, make([]byte, 68)...), `^\x2aE=709 R=0 C=[0-9A-F]{16} V=2$`},
		"MS-CHAP-CPW-2": {4, append([]byte{6, 42}, make([]byte, 82)...), `^\x2aE=709 R=0 C=[0-9A-F]{16} V=2$`},
		"MS-CHAP2-CPW":  {27, append([]byte{7, 42}, make([]byte, 64)...), `^\x2aE=709 R=0 C=[0-9A-F]{32} V=3 M=The password cannot be changed here$`},
		"cut off":       {27, nil, `^\x00E=709 R=0 C=[0-9A-F]{32} V=3 M=The password cannot be changed here$`},
	} {
		q := request(t, user("ana@isp"), func(p *layeh.Packet) error {
			p.Add(26, append([]byte{0, 0, 1, 55, c.kind, byte(2 + len(c.value))}, c.value...))
			return nil
		})
		p := checkedReply(t, q, w.give(q))
		if text := string(microsoft.MSCHAPError_Get(p)); p.Code != layeh.CodeAccessReject || !regexp.MustCompile(c.want).MatchString(text) {
			t.Errorf("%s: %s with %q", name, p.Code, text)
		}
		if r := w.door.Refusals().Recent("ana@isp", 1); len(r) != 1 || r[0].Reason != PasswordChange {
			t.Errorf("%s: refusals %+v", name, r)
		}
	}
}

func TestMSCHAPv1(t *testing.T) {
	w := newHandler(t, doorConfig())
	ask := func(password string, flags byte) []byte {
		return request(t, user("ana@isp"), func(p *layeh.Packet) error {
			wide, _ := rfc2759.ToUTF16([]byte(password))
			challenge := p.Authenticator[:8]
			nt := rfc2759.ChallengeResponse(challenge, rfc2759.NTPasswordHash(wide))
			if err := microsoft.MSCHAPChallenge_Add(p, challenge); err != nil {
				return err
			}
			return microsoft.MSCHAPResponse_Add(p, append(append([]byte{5, flags}, make([]byte, 24)...), nt...))
		})
	}
	q := ask("secret-ana@isp", 1)
	p := checkedReply(t, q, w.give(q))
	if p.Code != layeh.CodeAccessAccept {
		t.Fatalf("got %s", p.Code)
	}
	reply := View{b: w.cache.byKey[keyOf(doorFrom, View{b: q})].letter.bytes}
	hidden, _ := reply.Vendor(vendorMicrosoft, msCHAPMPPEKeys)
	if len(hidden) != 32 {
		t.Fatalf("MS-CHAP-MPPE-Keys has %d bytes", len(hidden))
	}
	one := md5.Sum(append([]byte(doorSecret), q[4:20]...))
	two := md5.Sum(append([]byte(doorSecret), hidden[:16]...))
	xor(hidden, append(one[:], two[:]...))
	wide, _ := rfc2759.ToUTF16([]byte("secret-ana@isp"))
	want := append(append(make([]byte, 8), rfc2759.NTPasswordHash(rfc2759.NTPasswordHash(wide))...), make([]byte, 8)...)
	if !bytes.Equal(hidden, want) {
		t.Errorf("MS-CHAP-MPPE-Keys %x, want %x", hidden, want)
	}
	for _, q := range [][]byte{ask("wrong", 1), ask("secret-ana@isp", 0)} {
		p = checkedReply(t, q, w.give(q))
		if text := string(microsoft.MSCHAPError_Get(p)); p.Code != layeh.CodeAccessReject || !strings.HasPrefix(text, "\x05E=691 R=0 C=") {
			t.Errorf("got %s with %q", p.Code, text)
		}
	}
}
