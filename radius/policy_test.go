package radius

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"enlace/nas"
)

// logins are Access-Requests of one login: bare, with Proxy-State, and either with a Message-Authenticator. Each call
// makes another packet.
func bareLogin(t testing.TB) []byte { return request(t, user("ana@isp"), pap("secret-ana@isp")) }
func proxiedLogin(t testing.TB) []byte {
	return request(t, user("ana@isp"), pap("secret-ana@isp"), proxyState("hop"))
}
func signedLogin(t testing.TB) []byte {
	return sign(request(t, user("ana@isp"), pap("secret-ana@isp"), unsigned, proxyState("hop")), doorSecret)
}

func TestLimitProxyState(t *testing.T) {
	type step struct {
		give func(testing.TB) []byte
		n    int
		want bool // each is answered
	}
	for name, c := range map[string]struct {
		policy nas.LimitProxyState
		ma     nas.MessageAuthenticator
		steps  []step
	}{
		"yes":                         {nas.ForbidProxyState, nas.OptionalMA, []step{{bareLogin, 1, true}, {proxiedLogin, 1, false}, {signedLogin, 1, true}, {proxiedLogin, 1, false}}},
		"no":                          {nas.AllowProxyState, nas.OptionalMA, []step{{bareLogin, 200, true}, {proxiedLogin, 1, true}, {signedLogin, 1, true}, {proxiedLogin, 1, true}}},
		"auto, a proxy":               {nas.LearnProxyState, nas.OptionalMA, []step{{bareLogin, 50, true}, {proxiedLogin, 200, true}, {signedLogin, 1, true}, {proxiedLogin, 1, true}}},
		"auto, no proxy":              {nas.LearnProxyState, nas.OptionalMA, []step{{bareLogin, 100, true}, {proxiedLogin, 3, false}, {bareLogin, 1, true}, {proxiedLogin, 1, false}}},
		"auto, one that signs":        {nas.LearnProxyState, nas.OptionalMA, []step{{signedLogin, 1, true}, {proxiedLogin, 2, false}, {bareLogin, 1, true}}},
		"Message-Authenticator first": {nas.LearnProxyState, nas.RequireMA, []step{{proxiedLogin, 1, false}, {signedLogin, 1, true}}},
	} {
		dev := doorDevice()
		dev.LimitProxyState, dev.MessageAuthenticator = c.policy, c.ma
		cfg := doorConfig()
		cfg.Devices.Set([]nas.Device{dev})
		w := newHandler(t, cfg)
		for i, s := range c.steps {
			for range s.n {
				q := s.give(t)
				b := w.give(q)
				if (b != nil) != s.want {
					t.Fatalf("%s, step %d: reply %v, want %v", name, i, b != nil, s.want)
				}
				if b != nil {
					checkedReply(t, q, b)
				}
			}
		}
	}
}

// TestLearningOutlivesARestart: what was learned is stored, and what is stored makes another table as strict.
func TestLearningOutlivesARestart(t *testing.T) {
	dev := doorDevice()
	dev.MessageAuthenticator, dev.LimitProxyState = nas.LearnMA, nas.LearnProxyState
	dev.Observed.Since = doorNow.Add(-time.Hour)
	cfg := doorConfig()
	cfg.Devices.Set([]nas.Device{dev})
	w := newHandler(t, cfg)
	if w.give(bareLogin(t)) == nil || w.give(proxiedLogin(t)) == nil || w.give(signedLogin(t)) == nil || w.give(bareLogin(t)) != nil {
		t.Fatal("auto does not require Message-Authenticator from the first that came on")
	}
	seen := cfg.Devices.Observations()
	want := nas.Observation{Since: dev.Observed.Since, Signed: 1, Unsigned: 3, LastUnsigned: doorNow, UnsignedProxied: 1, LastUnsignedProxied: doorNow, Signs: true, ProxiesBare: true}
	if seen[dev.ID] != want {
		t.Fatalf("seen %+v, want %+v", seen[dev.ID], want)
	}
	w.give(signedLogin(t)) // while it is being stored
	sum := want
	sum.Signed += 1000 // of another node
	cfg.Devices.Stored(seen, map[nas.DeviceID]nas.Observation{dev.ID: sum})
	if o, _ := cfg.Devices.Observation(dev.ID); o.Signed != 1002 || o.Unsigned != 3 {
		t.Errorf("after storing it says %+v", o)
	}
	if news := cfg.Devices.Observations(); news[dev.ID].Signed != 1 || news[dev.ID].Unsigned != 0 {
		t.Errorf("news after storing: %+v", news)
	}

	again := dev
	again.Observed = sum
	restarted := doorConfig()
	restarted.Devices.Set([]nas.Device{again})
	w = newHandler(t, restarted)
	if len(restarted.Devices.Observations()) != 0 {
		t.Error("a device of which nothing was seen has news")
	}
	if w.give(bareLogin(t)) != nil {
		t.Error("a restart made the device trusted without Message-Authenticator again")
	}
	restarted.Devices.Stored(restarted.Devices.Observations(), map[nas.DeviceID]nas.Observation{dev.ID: sum})
	unstored := again // as when it came out of a snapshot, and the database is back
	unstored.Observed = nas.Observation{Since: again.Observed.Since}
	restarted.Devices.Set([]nas.Device{unstored})
	if news := restarted.Devices.Observations(); !news[dev.ID].Signs {
		t.Errorf("what was learned and is not stored is no news: %+v", news)
	}
	if w.give(bareLogin(t)) != nil {
		t.Error("settings read anew made the device trusted without Message-Authenticator again")
	}
	again.MessageAuthenticator = nas.OptionalMA
	restarted.Devices.Set([]nas.Device{again})
	if w.give(proxiedLogin(t)) == nil {
		t.Error("a restart forgot that the device is a proxy that does not sign")
	}
	again.MessageAuthenticator = nas.LearnMA
	again.Observed = nas.Observation{Since: doorNow}
	restarted.Devices.Set([]nas.Device{again})
	if w.give(bareLogin(t)) == nil {
		t.Error("a device that is observed anew is held to what was learned before")
	}
}

// TestObservationMetrics: an operator sees by metrics which devices could be held to the strict setting.
func TestObservationMetrics(t *testing.T) {
	cfg := doorConfig()
	w := newHandler(t, cfg)
	for range 99 {
		w.give(signedLogin(t))
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(cfg.Devices.Collector())
	expect := func(signed, absent, proxied, safe string) {
		t.Helper()
		if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP enlace_device_access_requests_observed_total Access-Requests over UDP since the device's observation began, by whether they carried Message-Authenticator.
# TYPE enlace_device_access_requests_observed_total counter
enlace_device_access_requests_observed_total{device="bras1",message_authenticator="absent"} `+absent+`
enlace_device_access_requests_observed_total{device="bras1",message_authenticator="present"} `+signed+`
# HELP enlace_device_policy_safe 1 when the strict setting of a policy would have dropped none of many Access-Requests.
# TYPE enlace_device_policy_safe gauge
enlace_device_policy_safe{device="bras1",policy="limit_proxy_state"} `+safe+`
enlace_device_policy_safe{device="bras1",policy="require_message_authenticator"} `+safe+`
# HELP enlace_device_unsigned_proxied_observed_total Access-Requests over UDP that carried Proxy-State and no Message-Authenticator.
# TYPE enlace_device_unsigned_proxied_observed_total counter
enlace_device_unsigned_proxied_observed_total{device="bras1"} `+proxied+"\n")); err != nil {
			t.Error(err)
		}
	}
	expect("99", "0", "0", "0")
	w.give(signedLogin(t))
	expect("100", "0", "0", "1")
	w.give(proxiedLogin(t))
	expect("100", "1", "1", "0")
}

// secretOf is which of the secrets a reply verifies with.
func secretOf(t *testing.T, q, b []byte, secrets ...string) string {
	t.Helper()
	if b == nil {
		return "silence"
	}
	for _, s := range secrets {
		if layeh.IsAuthenticResponse(b, q, []byte(s)) {
			return s
		}
	}
	return "noise"
}

func TestSecretRotation(t *testing.T) {
	const next, other = "the-new-secret", "a-third-secret"
	dev := doorDevice()
	cfg := doorConfig()
	cfg.Sink, cfg.AcctAddrs = &slowSink{answerAt: 1}, []string{"127.0.0.1:0"}
	cfg.Devices.Set([]nas.Device{dev})
	w := newHandler(t, cfg)
	with := func(secret string, code layeh.Code, add ...func(*layeh.Packet) error) []byte {
		p := layeh.New(code, []byte(secret))
		for _, f := range add {
			if err := f(p); err != nil {
				t.Fatal(err)
			}
		}
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if maOffset(b) > 0 {
			sign(b, secret)
		}
		return b
	}
	expect := func(what string, q []byte, want string) {
		t.Helper()
		if got := secretOf(t, q, w.give(q), doorSecret, next, other); got != want {
			t.Errorf("%s is answered with %s, want %s", what, got, want)
		}
	}
	login := []func(*layeh.Packet) error{user("ana@isp"), pap("secret-ana@isp")}
	signedToo := append(login, unsigned)
	byCHAP := []func(*layeh.Packet) error{user("ana@isp"), chap(1, "secret-ana@isp")}

	dev.ChangeSecret([]byte(next), true)
	cfg.Devices.Set([]nas.Device{dev})
	expect("CHAP, which shows no secret, of a device not yet given the new one", with(doorSecret, layeh.CodeAccessRequest, byCHAP...), doorSecret)
	expect("a Status-Server with the old", with(doorSecret, layeh.CodeStatusServer, unsigned), doorSecret)
	expect("PAP with the old", with(doorSecret, layeh.CodeAccessRequest, login...), doorSecret)
	expect("PAP with the new", with(next, layeh.CodeAccessRequest, login...), next)
	if cfg.Devices.SecretInUse(dev.ID) != NewerProof {
		t.Error("commands would be signed with the older secret")
	}
	expect("CHAP of a device that has the new", with(next, layeh.CodeAccessRequest, byCHAP...), next)
	expect("signed PAP with the old", with(doorSecret, layeh.CodeAccessRequest, signedToo...), doorSecret)
	if cfg.Devices.SecretInUse(dev.ID) != OlderProof {
		t.Error("commands would be signed with the newer secret, which the device does not use")
	}
	expect("signed PAP with the new", with(next, layeh.CodeAccessRequest, signedToo...), next)
	expect("signed PAP with another", with(other, layeh.CodeAccessRequest, signedToo...), "silence")
	q := with(next, layeh.CodeAccessRequest, user("ana@isp"), pap("a wrong one"), unsigned)
	expect("a wrong password with the new", q, next)
	if r := w.door.Refusals().Recent("ana@isp", 1); len(r) != 1 || strings.Contains(r[0].Detail, "secret") {
		t.Errorf("a wrong password is explained by %+v", r)
	}
	for secret, want := range map[string]bool{doorSecret: true, next: true, other: false} {
		q := with(secret, layeh.CodeAccountingRequest, user("ana@isp"), func(p *layeh.Packet) error { return rfc2865.NASIdentifier_AddString(p, secret) })
		v, _ := ParseView(q)
		w.secret = w.door.devices.lookup(netip.MustParseAddr("127.0.0.1")).inUse()
		if got := w.checkAccounting(w.door.devices.lookup(netip.MustParseAddr("127.0.0.1")), v); got != want {
			t.Errorf("accounting with %s verifies: %v", secret, got)
		}
	}

	dev.OlderSecret = nil
	cfg.Devices.Set([]nas.Device{dev})
	expect("signed PAP with the old, which was dropped", with(doorSecret, layeh.CodeAccessRequest, signedToo...), "silence")
	expect("signed PAP with the new", with(next, layeh.CodeAccessRequest, signedToo...), next)
}

// TestDevicesBehindOneAddress: NAS-Identifier tells them apart, each with its own secret and policy.
func TestDevicesBehindOneAddress(t *testing.T) {
	for _, source := range []string{"127.0.0.1/32", "127.0.0.0/8"} {
		a, b := doorDevice(), doorDevice()
		a.Source = netip.MustParsePrefix(source)
		b.Source = a.Source
		a.NASIdentifier, b.ID, b.Name, b.NASIdentifier, b.Secret = "north", 2, "bras2", "south", []byte("another-secret")
		cfg := doorConfig()
		cfg.Devices.Set([]nas.Device{a, b})
		w := newHandler(t, cfg)
		ask := func(id, secret string) string {
			p := layeh.New(layeh.CodeAccessRequest, []byte(secret))
			rfc2865.UserName_AddString(p, "ana@isp")
			rfc2865.UserPassword_AddString(p, "secret-ana@isp")
			if id != "" {
				rfc2865.NASIdentifier_AddString(p, id)
			}
			if err := unsigned(p); err != nil {
				t.Fatal(err)
			}
			q, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return secretOf(t, q, w.give(sign(q, secret)), doorSecret, "another-secret")
		}
		for _, c := range [][3]string{{"north", doorSecret, doorSecret}, {"south", "another-secret", "another-secret"}, {"south", doorSecret, "silence"},
			{"west", doorSecret, "silence"}, {"", doorSecret, "silence"}} {
			if got := ask(c[0], c[1]); got != c[2] {
				t.Errorf("%s: %q with %s is answered with %s, want %s", source, c[0], c[1], got, c[2])
			}
		}
		a.NASIdentifier = ""
		cfg.Devices.Set([]nas.Device{a, b})
		for _, c := range [][3]string{{"north", doorSecret, doorSecret}, {"", doorSecret, doorSecret}, {"south", "another-secret", "another-secret"}} {
			if got := ask(c[0], c[1]); got != c[2] {
				t.Errorf("%s, one without identifier: %q with %s is answered with %s, want %s", source, c[0], c[1], got, c[2])
			}
		}
	}
}

// TestPoliciesAllocateNothing: every setting at once, on the hot path.
func TestPoliciesAllocateNothing(t *testing.T) {
	a, b := doorDevice(), doorDevice()
	b.ID, b.Name, b.NASIdentifier = 2, "bras2", "south"
	b.LimitProxyState, b.OlderSecret, b.Secret = nas.LearnProxyState, b.Secret, []byte("not-yet-in-use")
	cfg := doorConfig()
	cfg.Devices.Set([]nas.Device{a, b})
	w := newHandler(t, cfg)
	var all [][]byte
	for i := range 512 {
		q := request(t, user("ana@isp"), pap("secret-ana@isp"), proxyState("hop"), func(p *layeh.Packet) error { return rfc2865.NASIdentifier_AddString(p, "south") })
		q[1] = byte(i)
		all = append(all, q)
	}
	i := 0
	p := &packet{from: doorFrom, now: doorNow}
	one := func() {
		p.datagram, p.tick = all[i%len(all)], w.tick()
		w.door.identify(p)
		if b := w.handleSafely(p); b == nil {
			t.Fatal("no reply")
		}
		i++
	}
	for range len(all) {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}
