package radius

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/vendors/mikrotik"

	"enlace/contracts"
	"enlace/nas"
)

func TestDecisions(t *testing.T) {
	cases := []struct {
		name      string
		ask       []func(*layeh.Packet) error
		code      layeh.Code
		rate      string // Mikrotik-Rate-Limit of an accept
		reason    Reason // of a reject
		detailHas string
	}{
		{"PAP full", with(user("ana@isp"), pap("secret-ana@isp")), layeh.CodeAccessAccept, "250M/500M", 0, ""},
		{"CHAP full", with(user("ana@isp"), chap(9, "secret-ana@isp")), layeh.CodeAccessAccept, "250M/500M", 0, ""},
		{"spaces around the login", with(user("  ana@isp "), pap("secret-ana@isp")), layeh.CodeAccessAccept, "250M/500M", 0, ""},
		{"reduced", with(user("rui"), pap("secret-rui")), layeh.CodeAccessAccept, "25M/50M", 0, ""},
		{"walled", with(user("eva"), pap("secret-eva")), layeh.CodeAccessAccept, "1M/1M", 0, ""},
		{"ten gigabit", with(user("zoe"), pap("secret-zoe")), layeh.CodeAccessAccept, "10000M/10000M", 0, ""},
		{"blocked by refusal", with(user("max"), pap("secret-max")), layeh.CodeAccessReject, "", Blocked, "BLOCKED_MANUAL"},
		{"pending", with(user("pia"), pap("secret-pia")), layeh.CodeAccessReject, "", ContractState, "PENDING"},
		{"terminated", with(user("ted"), pap("secret-ted")), layeh.CodeAccessReject, "", ContractState, "TERMINATED"},
		{"login disabled", with(user("lia"), pap("secret-lia")), layeh.CodeAccessReject, "", LoginDisabled, "switched off"},
		{"wrong password before the contract's state", with(user("ted"), pap("guess")), layeh.CodeAccessReject, "", BadPassword, "PAP"},
		{"wrong CHAP", with(user("ana@isp"), chap(9, "guess")), layeh.CodeAccessReject, "", BadPassword, "CHAP"},
		{"short CHAP", with(user("ana@isp"), func(p *layeh.Packet) error { return rfc2865.CHAPPassword_Add(p, []byte{1}) }), layeh.CodeAccessReject, "", BadPassword, "CHAP"},
		{"no password stored", with(user("nil"), pap("")), layeh.CodeAccessReject, "", BadPassword, "no password"},
		{"login in another case", with(user("ANA@isp"), pap("secret-ana@isp")), layeh.CodeAccessReject, "", UserUnknown, "no access"},
		{"no login", with(pap("x")), layeh.CodeAccessReject, "", NoCredentials, "User-Name"},
		{"blank login", with(user("   "), pap("x")), layeh.CodeAccessReject, "", NoCredentials, "User-Name"},
		{"no password", with(user("ana@isp")), layeh.CodeAccessReject, "", NoCredentials, "neither"},
		{"plan not in memory", with(user("noa"), pap("secret-noa")), layeh.CodeAccessReject, "", ServiceUnencodable, "plan 99"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newHandler(t, doorConfig())
			q := request(t, c.ask...)
			p := checkedReply(t, q, w.give(q))
			if p.Code != c.code {
				t.Fatalf("got %s, want %s; refusals: %+v", p.Code, c.code, w.door.Refusals().Recent("", 5))
			}
			if got := mikrotik.MikrotikRateLimit_GetString(p); got != c.rate {
				t.Errorf("rate %q, want %q", got, c.rate)
			}
			refused := w.door.Refusals().Recent("", 5)
			if c.code == layeh.CodeAccessAccept {
				if len(refused) != 0 {
					t.Errorf("an accept is remembered as refused: %+v", refused)
				}
				return
			}
			if len(refused) != 1 || refused[0].Reason != c.reason || !strings.Contains(refused[0].Detail, c.detailHas) {
				t.Errorf("refusals %+v, want one %s with %q", refused, c.reason, c.detailHas)
			}
			if len(p.Attributes) != 1 {
				t.Errorf("the reject says more than its authenticator: %v", p.Attributes)
			}
		})
	}
}

func with(add ...func(*layeh.Packet) error) []func(*layeh.Packet) error { return add }

func TestAcceptAttributes(t *testing.T) {
	w := newHandler(t, doorConfig())
	q := request(t, user("ana@isp"), proxyState("one"), pap("secret-ana@isp"), proxyState("two"))
	p := checkedReply(t, q, w.give(q))
	cookie, ok := nas.ParseCookie(rfc2865.Class_Get(p))
	full := nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 500e6, UpBps: 250e6}}
	if !ok || cookie.Access != 101 || cookie.Granted != full.Digest() {
		t.Errorf("Class gives %+v, want access 101 and digest %x", cookie, full.Digest())
	}
	if i := uint32(rfc2869.AcctInterimInterval_Get(p)); i < 600 || i > 660 {
		t.Errorf("interim interval %d is not 600 plus up to a tenth", i)
	}
	if _, err := rfc2865.SessionTimeout_Lookup(p); err == nil {
		t.Error("a session without a foreseen end has a timeout")
	}
	states, err := rfc2865.ProxyState_GetStrings(p)
	if err != nil || !slices.Equal(states, []string{"one", "two"}) {
		t.Errorf("Proxy-State %q, want one, two", states)
	}
	if _, err := mikrotik.MikrotikAddressList_Lookup(p); err == nil {
		t.Error("a full service is in an address list")
	}

	q = request(t, user("eva"), pap("secret-eva"))
	p = checkedReply(t, q, w.give(q))
	if got := mikrotik.MikrotikAddressList_GetString(p); got != "enlace-walled" {
		t.Errorf("address list %q", got)
	}
	if got := rfc2865.SessionTimeout_Get(p); got != 3600 {
		t.Errorf("the garden's timeout is %d", got)
	}
}

func TestInterimSpreadsByLogin(t *testing.T) {
	seen := map[uint32]bool{}
	for i := range 1000 {
		got := interim(600, strings.Repeat("x", i%7)+string(rune('a'+i%26))+string(rune('0'+i/26)))
		if got < 600 || got > 660 {
			t.Fatalf("interval %d", got)
		}
		seen[got] = true
	}
	if len(seen) < 40 {
		t.Errorf("a thousand logins share %d intervals", len(seen))
	}
	if again := interim(600, "ana"); again != interim(600, "ana") {
		t.Error("a login's interval changes")
	}
}

func TestSessionTimeoutWhereNoCommandReaches(t *testing.T) {
	for _, c := range []struct {
		login string
		coa   bool
		want  uint32 // 0 = none
	}{{"ivo", true, 0}, {"ivo", false, 3600}, {"ana@isp", false, 0}, {"eva", false, 3600}} {
		dev := doorDevice()
		if !c.coa {
			dev.CoA = netip.AddrPort{}
		}
		cfg := doorConfig()
		cfg.Devices.Set([]nas.Device{dev})
		w := newHandler(t, cfg)
		q := request(t, user(c.login), pap("secret-"+c.login))
		p := checkedReply(t, q, w.give(q))
		if got := uint32(rfc2865.SessionTimeout_Get(p)); got != c.want {
			t.Errorf("%s, commands %v: Session-Timeout %d, want %d", c.login, c.coa, got, c.want)
		}
	}
}

func TestOutcomeFollowsTheClock(t *testing.T) {
	cfg := doorConfig()
	now := doorNow
	cfg.Now = func() time.Time { return now }
	w := newHandler(t, cfg)
	for _, c := range []struct {
		at   time.Duration
		rate string
	}{{0, "250M/500M"}, {time.Hour - time.Second, "250M/500M"}, {time.Hour, "1M/1M"}, {1e6 * time.Hour, "1M/1M"}} {
		now = doorNow.Add(c.at)
		q := request(t, user("ivo"), pap("secret-ivo"))
		if got := mikrotik.MikrotikRateLimit_GetString(checkedReply(t, q, w.give(q))); got != c.rate {
			t.Errorf("after %s: rate %q, want %q", c.at, got, c.rate)
		}
	}
}

func TestServiceThatTheDialectCannotSay(t *testing.T) {
	dev := doorDevice()
	dev.Dialect = "standard"
	cfg := doorConfig()
	cfg.Devices.Set([]nas.Device{dev})
	w := newHandler(t, cfg)
	q := request(t, user("zoe"), pap("secret-zoe"))
	if p := checkedReply(t, q, w.give(q)); p.Code != layeh.CodeAccessReject {
		t.Fatalf("got %s", p.Code)
	}
	r := w.door.Refusals().Recent("zoe", 1)
	if len(r) != 1 || r[0].Reason != ServiceUnencodable || !strings.Contains(r[0].Detail, "standard") {
		t.Errorf("refusals %+v", r)
	}
}

func TestMessageAuthenticatorPolicy(t *testing.T) {
	plain := func() []byte { return request(t, user("ana@isp"), pap("secret-ana@isp")) }
	signed := func() []byte {
		return sign(request(t, user("ana@isp"), pap("secret-ana@isp"), unsigned), doorSecret)
	}
	forged := func() []byte {
		return sign(request(t, user("ana@isp"), pap("secret-ana@isp"), unsigned), "another secret")
	}
	twice := func() []byte {
		return sign(request(t, user("ana@isp"), pap("secret-ana@isp"), unsigned, unsigned), doorSecret)
	}
	short := func() []byte {
		return request(t, user("ana@isp"), pap("secret-ana@isp"), func(p *layeh.Packet) error {
			p.Add(attrMessageAuthenticator, make([]byte, 15))
			return nil
		})
	}
	for _, c := range []struct {
		name   string
		policy nas.MessageAuthenticator
		gives  []func() []byte
		reply  []bool
	}{
		{"no", nas.OptionalMA, []func() []byte{plain, signed, plain, forged, twice, short}, []bool{true, true, true, false, false, false}},
		{"yes", nas.RequireMA, []func() []byte{plain, signed, plain, forged}, []bool{false, true, false, false}},
		{"auto", nas.LearnMA, []func() []byte{plain, forged, plain, signed, plain, signed}, []bool{true, false, true, true, false, true}},
	} {
		dev := doorDevice()
		dev.MessageAuthenticator = c.policy
		cfg := doorConfig()
		cfg.Devices.Set([]nas.Device{dev})
		w := newHandler(t, cfg)
		for i, give := range c.gives {
			q := give()
			b := w.give(q)
			if (b != nil) != c.reply[i] {
				t.Errorf("policy %s, packet %d: reply %v, want %v", c.name, i, b != nil, c.reply[i])
			}
			if b != nil {
				checkedReply(t, q, b)
			}
		}
	}
}

func TestLearnedMessageAuthenticatorOutlivesReload(t *testing.T) {
	dev := doorDevice()
	dev.MessageAuthenticator = nas.LearnMA
	cfg := doorConfig()
	cfg.Devices.Set([]nas.Device{dev})
	w := newHandler(t, cfg)
	w.give(sign(request(t, user("ana@isp"), pap("secret-ana@isp"), unsigned), doorSecret))
	dev.Name = "renamed"
	cfg.Devices.Set([]nas.Device{dev})
	if w.give(request(t, user("ana@isp"), pap("secret-ana@isp"))) != nil {
		t.Error("a reload made the device trusted without Message-Authenticator again")
	}
}

func TestEAPIsRefusedClearly(t *testing.T) {
	w := newHandler(t, doorConfig())
	eap := func(p *layeh.Packet) error { return rfc2869.EAPMessage_Set(p, []byte{2, 77, 0, 8, 1, 'a', 'n', 'a'}) }
	if w.give(request(t, user("ana@isp"), eap)) != nil {
		t.Error("EAP without a Message-Authenticator was answered")
	}
	q := sign(request(t, user("ana@isp"), eap, unsigned), doorSecret)
	p := checkedReply(t, q, w.give(q))
	if p.Code != layeh.CodeAccessReject || !bytes.Equal(rfc2869.EAPMessage_Get(p), []byte{4, 77, 0, 4}) {
		t.Errorf("got %s with EAP %x, want a reject with EAP-Failure of the same identifier", p.Code, rfc2869.EAPMessage_Get(p))
	}
	if r := w.door.Refusals().Recent("ana@isp", 1); len(r) != 1 || r[0].Reason != EAPUnsupported {
		t.Errorf("refusals %+v", r)
	}
}

func TestStaleDirectoryIsSilent(t *testing.T) {
	cfg := doorConfig()
	cfg.MaxStaleness = time.Minute
	now := doorNow
	cfg.Now = func() time.Time { return now }
	w := newHandler(t, cfg)
	for _, c := range []struct {
		age   time.Duration
		reply bool
	}{{0, true}, {time.Minute, true}, {time.Minute + 1, false}} {
		now = doorNow.Add(c.age)
		if got := w.give(request(t, user("ana@isp"), pap("secret-ana@isp"))) != nil; got != c.reply {
			t.Errorf("at age %s: reply %v, want %v", c.age, got, c.reply)
		}
	}
	if (NewDirectory()).Age(doorNow) != math.MaxInt64 {
		t.Error("a directory that never was fresh has an age")
	}
	if got := testutil.ToFloat64(w.door.metrics.dropped.WithLabelValues("bras1", "backend")); got != 1 {
		t.Errorf("%v drops are counted as backend, want 1", got)
	}
}

func TestRetransmissionGetsTheSameBytes(t *testing.T) {
	w := newHandler(t, doorConfig())
	q := request(t, user("ana@isp"), pap("secret-ana@isp"))
	first := bytes.Clone(w.give(q))
	w.door.directory.Remove("ana@isp")
	if again := w.give(q); !bytes.Equal(first, again) {
		t.Errorf("the retransmission was evaluated again: %x then %x", first, again)
	}
	if p := checkedReply(t, q, w.give(append(bytes.Clone(q), 0, 0, 0))); p.Code != layeh.CodeAccessAccept {
		t.Errorf("padding made the retransmission a new request: %s", p.Code)
	}
	fresh := request(t, user("ana@isp"), pap("secret-ana@isp"))
	fresh[1] = q[1] // the same Identifier, another authenticator: pap is hidden anew, so build the whole packet
	if p := checkedReply(t, fresh, w.give(fresh)); p.Code != layeh.CodeAccessReject {
		t.Errorf("a new request with a used Identifier got the old reply: %s", p.Code)
	}
	if got := testutil.ToFloat64(w.door.metrics.resent.WithLabelValues("bras1")); got != 2 {
		t.Errorf("%v retransmissions counted, want 2", got)
	}
}

func TestWrongSecretHint(t *testing.T) {
	w := newHandler(t, doorConfig())
	p := layeh.New(layeh.CodeAccessRequest, []byte("another secret"))
	p.Authenticator = [16]byte{4} // the password is hidden under it: with another one it might decode to print
	if err := rfc2865.UserName_AddString(p, "ana@isp"); err != nil {
		t.Fatal(err)
	}
	if err := rfc2865.UserPassword_AddString(p, "secret-ana@isp"); err != nil {
		t.Fatal(err)
	}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.give(b)
	if r := w.door.Refusals().Recent("ana@isp", 1); len(r) != 1 || !strings.Contains(r[0].Detail, "shared secret") {
		t.Errorf("refusals %+v do not point at the shared secret", r)
	}
}

func TestUnknownDeviceIsSilent(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := doorConfig()
	cfg.Metrics = reg
	w := newHandler(t, cfg)
	q := request(t, user("ana@isp"), pap("secret-ana@isp"))
	if w.giveFrom(netip.MustParseAddrPort("192.0.2.9:1000"), q) != nil {
		t.Error("an unknown device got a reply")
	}
	want := `
# HELP enlace_radius_dropped_total Datagrams met with silence. No device where none is known.
# TYPE enlace_radius_dropped_total counter
enlace_radius_dropped_total{device="",reason="unknown_device"} 1
enlace_radius_dropped_total{device="",reason="unsent"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "enlace_radius_dropped_total"); err != nil {
		t.Error(err)
	}
}

func TestReplyThatWouldNotFit(t *testing.T) {
	w := newHandler(t, doorConfig())
	add := with(user("ana@isp"), pap("secret-ana@isp"))
	for range 15 {
		add = append(add, proxyState(strings.Repeat("p", 253)))
	}
	add = append(add, proxyState(strings.Repeat("p", 215)))
	if b := w.give(request(t, add...)); b != nil {
		t.Errorf("a reply of %d bytes", len(b))
	}
	if got := testutil.ToFloat64(w.door.metrics.dropped.WithLabelValues("bras1", "reply_too_long")); got != 1 {
		t.Errorf("%v drops counted, want 1", got)
	}
}

func TestPanicDropsOnePacket(t *testing.T) {
	w := newHandler(t, doorConfig())
	w.ms.version = 0
	hash := w.hash
	w.hash = nil
	if w.give(request(t, user("ana@isp"), pap("secret-ana@isp"))) != nil {
		t.Error("a failed packet was answered")
	}
	w.hash = hash
	if w.give(request(t, user("ana@isp"), pap("secret-ana@isp"))) == nil {
		t.Error("the worker did not survive")
	}
}
