package radius

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/rs/zerolog"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
	"enlace/nas"
)

// lined puts one active access with a line into the directory.
func lined(d *Directory, id contracts.AccessID, login, password string, l contracts.Line) *Subscriber {
	s := &Subscriber{Access: id, Contract: contracts.ContractID(id) * 10, Login: login, Password: []byte(password), Line: &l,
		Windows: []Window{{Until: NoEnd, Plan: 7, Outcome: contracts.OutcomeFull, Status: statusIndex(contracts.Active)}}}
	d.Put(s)
	return s
}

func testMAC(last byte) contracts.MAC { return contracts.MAC{2, 0, 0, 0, 0, last} }

func station(s string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error { return rfc2865.CallingStationID_AddString(p, s) }
}

func portID(s string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error { return rfc2869.NASPortID_AddString(p, s) }
}

func vendor(vendor uint32, t byte, value string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error {
		p.Add(rfc2865.VendorSpecific_Type, append([]byte{byte(vendor >> 24), byte(vendor >> 16), byte(vendor >> 8), byte(vendor), t, byte(len(value) + 2)}, value...))
		return nil
	}
}

// everLater is a clock by which the latest refusal is known.
func everLater() func() time.Time {
	now := doorNow
	return func() time.Time { now = now.Add(time.Millisecond); return now }
}

// answer is the code of the reply, and why it was refused.
func answer(t *testing.T, w *worker, add ...func(*layeh.Packet) error) string {
	t.Helper()
	r := request(t, add...)
	p := checkedReply(t, r, w.give(r))
	if p.Code == layeh.CodeAccessAccept {
		return "accept " + string(p.Get(attrUserName)) + classOf(p)
	}
	e := w.door.Refusals().Recent("", 1)
	return e[0].Reason.String() + " " + e[0].Detail
}

func classOf(p *layeh.Packet) string {
	c, _ := nas.ParseCookie(p.Get(attrClass))
	return " #" + string(rune('0'+c.Access-300))
}

func TestAccessesWithoutAPassword(t *testing.T) {
	c := doorConfig()
	c.Now = everLater()
	c.SharedPassword = "well known"
	d := c.Directory
	fixed := contracts.Fixed(testMAC(1))
	lined(d, 301, "house-1", "", contracts.Line{NoPassword: true, MAC: fixed})
	lined(d, 302, "house-2", "own", contracts.Line{NoPassword: true, CircuitID: "olt1/1/2:7", RemoteID: "onu7"})
	lined(d, 303, "house-3", "", contracts.Line{NoPassword: true, CircuitID: "olt1/1/2:8", MAC: contracts.Fixed(testMAC(3))})
	lined(d, 304, "house-4", "", contracts.Line{NoPassword: true, Port: contracts.Fixed(contracts.Octets("eth9")), Device: contracts.Fixed(int64(1))})
	lined(d, 305, "house-5", "", contracts.Line{NoPassword: true, VLAN: contracts.VLAN{Outer: 100, Inner: 200}, Device: contracts.Fixed(int64(1))})
	lined(d, 306, "house-6", "", contracts.Line{NoPassword: true, MAC: contracts.Fixed(testMAC(6)), Device: contracts.Fixed(int64(2))})
	lined(d, 307, "secret-7", "pass-7", contracts.Line{MAC: contracts.Fixed(testMAC(7))})
	lined(d, 308, "02:00:00:00:00:08", "pass-8", contracts.Line{MAC: contracts.Fixed(testMAC(8))})
	w := newHandler(t, c)
	circuit := func(s string) func(*layeh.Packet) error { return vendor(vendorADSLForum, adslCircuitID, s) }
	remote := func(s string) func(*layeh.Packet) error { return vendor(vendorADSLForum, adslRemoteID, s) }
	all := func(f ...func(*layeh.Packet) error) []func(*layeh.Packet) error { return f }
	for name, test := range map[string]struct {
		ask  []func(*layeh.Packet) error
		want string // prefix
	}{
		"RouterOS DHCP: User-Name is the MAC address, no password":      {all(user("02:00:00:00:00:01"), station("1:2:0:0:0:0:1")), "accept house-1 #1"},
		"User-Name alone, another notation":                             {all(user("0200.0000.0001")), "accept house-1 #1"},
		"Calling-Station-Id alone":                                      {all(user("whatever"), station("02-00-00-00-00-01")), "accept house-1 #1"},
		"empty password":                                                {all(user("020000000001"), pap("")), "accept house-1 #1"},
		"the MAC address as password":                                   {all(user("020000000001"), pap("02:00:00:00:00:01")), "accept house-1 #1"},
		"User-Name as CHAP password":                                    {all(user("020000000001"), chap(3, "020000000001")), "accept house-1 #1"},
		"an empty CHAP password":                                        {all(user("020000000001"), chap(3, "")), "accept house-1 #1"},
		"the shared password":                                           {all(user("020000000001"), pap("well known")), "accept house-1 #1"},
		"the login itself":                                              {all(user("house-1"), station("02:00:00:00:00:01")), "accept  #1"},
		"another password":                                              {all(user("020000000001"), pap("guess")), "BAD_PASSWORD"},
		"another's password of its own":                                 {all(user("020000000001"), pap("own")), "BAD_PASSWORD"},
		"the login from elsewhere":                                      {all(user("house-1"), station("02:00:00:00:00:99")), "BINDING MAC address: seen 02:00:00:00:00:99, expected 02:00:00:00:00:01"},
		"the login without a mark":                                      {all(user("house-1")), "BINDING MAC address: seen none"},
		"a borrowed name":                                               {all(user("02:00:00:00:00:01"), station("02:00:00:00:00:99")), "NO_CREDENTIALS"},
		"a name that is not the device's":                               {all(user("02:00:00:00:00:98"), station("02:00:00:00:00:01")), "BINDING User-Name says"},
		"circuit and remote id":                                         {all(user("x"), circuit("olt1/1/2:7"), remote("onu7")), "accept house-2 #2"},
		"its own password":                                              {all(user("x"), circuit("olt1/1/2:7"), remote("onu7"), pap("own")), "accept house-2 #2"},
		"another remote id":                                             {all(user("x"), circuit("olt1/1/2:7"), remote("onu8")), "NO_CREDENTIALS"},
		"Cisco's words":                                                 {all(user("x"), vendor(9, 1, "circuit-id-tag=olt1/1/2:7"), vendor(9, 1, "remote-id-tag=onu7")), "accept house-2 #2"},
		"the circuit goes before the device that is plugged in":         {all(user("x"), circuit("olt1/1/2:7"), remote("onu7"), station("02:00:00:00:00:01")), "accept house-2 #2"},
		"a circuit with its device":                                     {all(user("x"), circuit("olt1/1/2:8"), remote("any"), station("02:00:00:00:00:03")), "accept house-3 #3"},
		"a circuit with Cisco's MAC address":                            {all(user("x"), circuit("olt1/1/2:8"), vendor(9, 1, "client-mac-address=0200.0000.0003")), "accept house-3 #3"},
		"a circuit with Juniper's MAC address":                          {all(user("x"), circuit("olt1/1/2:8"), vendor(4874, 56, "0200.0000.0003")), "accept house-3 #3"},
		"a circuit with Nokia's MAC address":                            {all(user("x"), circuit("olt1/1/2:8"), vendor(6527, 27, "02:00:00:00:00:03")), "accept house-3 #3"},
		"a circuit with another device":                                 {all(user("x"), circuit("olt1/1/2:8"), station("02:00:00:00:00:04")), "BINDING MAC address"},
		"a port":                                                        {all(user("eth9"), portID("eth9")), "accept house-4 #4"},
		"a VLAN":                                                        {all(user("x"), portID("1/1/4:100.200")), "accept house-5 #5"},
		"another VLAN":                                                  {all(user("x"), portID("1/1/4:100.201")), "NO_CREDENTIALS"},
		"another device's MAC address":                                  {all(user("02:00:00:00:00:06")), "NO_CREDENTIALS"},
		"an access with a password, by its MAC address":                 {all(user("02:00:00:00:00:07")), "NO_CREDENTIALS"},
		"an access with a password, without it":                         {all(user("secret-7"), station("02:00:00:00:00:07")), "NO_CREDENTIALS"},
		"an access with a password and its MAC address":                 {all(user("secret-7"), pap("pass-7"), station("02:00:00:00:00:07")), "accept  #7"},
		"an access with a password from elsewhere":                      {all(user("secret-7"), pap("pass-7"), station("02:00:00:00:00:08")), "BINDING"},
		"a MAC address that only the subscriber says":                   {all(user("secret-7"), pap("pass-7")), "BINDING MAC address: seen none"},
		"a MAC address as login, with a password, that no device shows": {all(user("02:00:00:00:00:08"), pap("pass-8")), "BINDING MAC address: seen none"},
		"nobody": {all(user("02:00:00:00:00:55"), pap("x")), "USER_UNKNOWN"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answer(t, w, test.ask...); !strings.HasPrefix(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestMarksFollowTheDirectory(t *testing.T) {
	d := NewDirectory()
	find := func(last byte) string {
		if s := d.recognise(&bearing{mac: testMAC(last)}, 1); s != nil {
			return s.Login
		}
		return ""
	}
	line := func(last byte) contracts.Line {
		return contracts.Line{NoPassword: true, MAC: contracts.Fixed(testMAC(last))}
	}
	lined(d, 1, "a", "", line(1))
	if find(1) != "a" || d.Of(1, "") == nil {
		t.Fatal("not found")
	}
	lined(d, 1, "a", "", line(2))
	if find(1) != "" || find(2) != "a" {
		t.Fatal("the mark did not move")
	}
	lined(d, 2, "b", "", line(2)) // b has it already, before a is read anew
	lined(d, 1, "a", "", line(3))
	if find(2) != "b" || find(3) != "a" {
		t.Fatal("a took b's mark along")
	}
	d.Put(&Subscriber{Access: 1, Login: "a"})
	if find(3) != "" || d.Of(1, "").Line != nil || d.marked.Load() != 1 {
		t.Fatalf("an access with a password is found by a mark; %d marks", d.marked.Load())
	}
	if s := d.Of(2, "a"); s == nil || s.Login != "b" {
		t.Fatal("a session is not its access's, but his whose login is its User-Name")
	}
	if s := d.Of(77, " a "); s == nil || s.Login != "a" {
		t.Fatal("a session of an access that is not known is not its login's")
	}
	d.Remove("b")
	if find(2) != "" || d.marked.Load() != 0 {
		t.Fatal("what was removed is found")
	}
	lined(d, 3, "c", "", line(4))
	d.Retain(func(*Subscriber) bool { return false })
	if find(4) != "" || d.marked.Load() != 0 || d.Of(3, "") != nil {
		t.Fatal("what was not retained is found")
	}
}

// shelf is a LearnedStore that can be away.
type shelf struct {
	mu   sync.Mutex
	away bool
	kept []contracts.Learned
}

func (s *shelf) SaveLearned(_ context.Context, l contracts.Learned) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("away")
	}
	s.kept = append(s.kept, l)
	return nil
}

func TestBindingsLearn(t *testing.T) {
	c := doorConfig()
	c.Now = everLater()
	learn := contracts.Line{Version: 4, MAC: contracts.Binding[contracts.MAC]{Mode: contracts.BindLearn},
		Port: contracts.Binding[contracts.Octets]{Mode: contracts.BindLearn}}
	lined(c.Directory, 301, "lea", "word", learn)
	w := newHandler(t, c)
	try := func(want string, ask ...func(*layeh.Packet) error) {
		t.Helper()
		if got := answer(t, w, append(ask, user("lea"))...); !strings.HasPrefix(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	first, second := station("02:00:00:00:00:01"), station("02:00:00:00:00:02")
	try("BAD_PASSWORD", pap("guess"), second) // what was refused taught nothing
	try("accept", pap("word"), first)
	try("BINDING MAC address: seen 02:00:00:00:00:02, expected 02:00:00:00:00:01", pap("word"), second)
	try("accept", pap("word"), first, portID("eth1")) // no port was shown before: this one is learned
	try("BINDING port: seen eth2, expected eth1", pap("word"), first, portID("eth2"))

	lessons, _, err := OpenLessons(filepath.Join(t.TempDir(), "learned"))
	if err != nil {
		t.Fatal(err)
	}
	store := &shelf{away: true}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Directory.KeepLearned(ctx, store, lessons, zerolog.Nop()) }()
	store.mu.Lock()
	store.away = false
	store.mu.Unlock()
	cancel() // the last write of an ending program
	<-done
	want := contracts.Learned{Access: 301, Version: 4, At: doorNow, MAC: testMAC(1), Port: "eth1"}
	if len(store.kept) > 0 {
		want.At = store.kept[len(store.kept)-1].At
	}
	if len(store.kept) == 0 || store.kept[len(store.kept)-1] != want || !want.At.After(doorNow) {
		t.Fatalf("kept %+v, want %+v", store.kept, want)
	}

	// The entry comes with the values: the lesson is needless. Cleared, it is another version: the next login is a first one.
	taught := learn
	taught.Learn(&want)
	lined(c.Directory, 301, "lea", "word", taught)
	if len(c.Directory.learning.by) != 0 {
		t.Fatal("the lesson stays although the entry holds it")
	}
	try("BINDING", pap("word"), second, portID("eth1"))
	cleared := learn
	cleared.Version = 5
	lined(c.Directory, 301, "lea", "word", cleared)
	try("accept", pap("word"), second, portID("eth7"))
	try("BINDING", pap("word"), first, portID("eth7"))

	// A binding cleared while its lesson is not written yet.
	cleared.Version = 6
	newest := &Subscriber{Access: 301, Line: &cleared}
	if line := c.Directory.learning.of(newest); line != &cleared {
		t.Fatalf("a lesson of an older version is in force: %+v", line)
	}
	lined(c.Directory, 301, "lea", "word", cleared)
	if len(c.Directory.learning.by) != 0 {
		t.Fatal("a lesson of an older version is kept")
	}
	try("accept", pap("word"), first, portID("eth7"))
}

// Many first logins at once: one is first, and all others are refused or from the same device.
func TestFirstLoginsAtOnce(t *testing.T) {
	d := NewDirectory()
	s := lined(d, 301, "lea", "word", contracts.Line{MAC: contracts.Binding[contracts.MAC]{Mode: contracts.BindLearn}})
	var mu sync.Mutex
	accepted := map[contracts.MAC]bool{}
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			b := bearing{mac: testMAC(byte(i % 8))}
			line := d.learning.learn(s, contracts.Learned{At: time.Unix(0, 0), MAC: b.mac})
			if b.mismatch(line, 1) == "" {
				mu.Lock()
				accepted[b.mac] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(accepted) != 1 {
		t.Fatalf("accepted from %v", accepted)
	}
}

// A login that another has overtaken between its check and its lesson is refused.
func TestALoginThatWasOvertaken(t *testing.T) {
	c := doorConfig()
	s := lined(c.Directory, 301, "lea", "word", contracts.Line{MAC: contracts.Binding[contracts.MAC]{Mode: contracts.BindLearn}})
	w := newHandler(t, c)
	c.Directory.learning.learn(s, contracts.Learned{At: doorNow, MAC: testMAC(1)})
	w.bearing = bearing{mac: testMAC(2)}
	if got := w.learn(w.door.devices.lookup(doorFrom.Addr()), s, &packet{now: doorNow}); !strings.HasPrefix(got, "MAC address: seen") {
		t.Errorf("%q", got)
	}
}

func TestAddressesOnTheWire(t *testing.T) {
	route := func(s string) contracts.Route {
		r, err := contracts.ParseRoute(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	own := contracts.Addresses{IPv4: netip.MustParseAddr("203.0.113.9"), NetmaskBits: 29, FramedIPv6: netip.MustParsePrefix("2001:db8:1:2::/64"),
		DelegatedIPv6: netip.MustParsePrefix("2001:db8:ab00::/52"), Routes: []contracts.Route{route("198.51.100.0/24"), route("2001:db8:7::/48")}}
	v4 := "\x08\x06\xcb\x00\x71\x09" + "\x09\x06\xff\xff\xff\xf8"
	route4 := "\x16\x1b198.51.100.0/24 0.0.0.0 1"
	v6 := "\x61\x0c\x00\x40\x20\x01\x0d\xb8\x00\x01\x00\x02" + "\x7b\x0b\x00\x34\x20\x01\x0d\xb8\xab\x00\x00"
	route6 := "\x63\x16" + "2001:db8:7::/48 :: 1"
	for name, test := range map[string]struct {
		dialect string
		outcome contracts.Outcome
		pool    string
		want    string
	}{
		"full":                         {"mikrotik", contracts.OutcomeFull, "", v4 + v6 + route4 + route6},
		"walled, IPv6 not covered":     {"mikrotik", contracts.OutcomeWalled, "", v4 + route4},
		"walled by rate":               {"accel-ppp", contracts.OutcomeWalled, "", v4 + v6 + route4 + route6},
		"walled by a pool of its own":  {"accel-ppp", contracts.OutcomeWalled, "walled", route4},
		"full, with such a pool":       {"accel-ppp", contracts.OutcomeFull, "walled", v4 + v6 + route4 + route6},
		"walled by filter, standard's": {"standard", contracts.OutcomeReduced, "", v4 + v6 + route4 + route6},
	} {
		t.Run(name, func(t *testing.T) {
			c := doorConfig()
			device := doorDevice()
			device.Dialect = test.dialect
			c.Garden.Pool = test.pool
			c.Devices = NewDeviceTable(nas.NewDialects(c.Garden), []nas.Device{device})
			s := lined(c.Directory, 301, "sol", "word", contracts.Line{Addresses: own})
			s.Windows[0].Outcome = test.outcome
			w := newHandler(t, c)
			r := request(t, user("sol"), pap("word"))
			b := w.give(r)
			if p := checkedReply(t, r, b); p.Code != layeh.CodeAccessAccept {
				t.Fatal(p.Code)
			}
			_, tail, ok := strings.Cut(string(b), test.want)
			if !ok || tail[0] != attrClass {
				t.Fatalf("%q is not before Class in %q", test.want, b)
			}
			for _, part := range []string{v4, v6, route4, route6} {
				if strings.Contains(string(b), part) != strings.Contains(test.want, part) {
					t.Errorf("%q in %q", part, b)
				}
			}
		})
	}
}

// Recognising an access by its line, checking its bindings and giving it addresses allocates nothing.
func TestLinesAllocateNothing(t *testing.T) {
	c := doorConfig()
	route, err := contracts.ParseRoute("198.51.100.0/24")
	if err != nil {
		t.Fatal(err)
	}
	own := contracts.Addresses{IPv4: netip.MustParseAddr("203.0.113.9"), DelegatedIPv6: netip.MustParsePrefix("2001:db8:ab00::/52"), Routes: []contracts.Route{route}}
	for i := range 256 {
		lined(c.Directory, contracts.AccessID(300+i), "house-"+strings.Repeat("x", i%8), "", contracts.Line{})
	}
	lined(c.Directory, 301, "house", "", contracts.Line{NoPassword: true, CircuitID: "olt1", MAC: contracts.Fixed(testMAC(1)),
		Port: contracts.Binding[contracts.Octets]{Mode: contracts.BindLearn}, VLAN: contracts.VLAN{Outer: 100, Inner: 200}, Addresses: own})
	w := newHandler(t, c)
	var all [][]byte
	for i := range 256 {
		b := request(t, user("02:00:00:00:00:01"), station("02-00-00-00-00-01"), vendor(vendorADSLForum, adslCircuitID, "olt1"), portID("eth1.100.200"))
		b[1] = byte(i)
		all = append(all, b)
	}
	p := &packet{from: doorFrom, now: doorNow, device: w.door.devices.lookup(doorFrom.Addr())}
	i := 0
	one := func() {
		p.datagram, p.tick = all[i%len(all)], time.Duration(i)*time.Minute // past the cache's memory
		if b := w.handleSafely(p); len(b) < 20 || b[0] != CodeAccessAccept {
			t.Fatalf("no accept: %x", b)
		}
		i++
	}
	for range 2 * len(all) {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What most accesses lack costs them one pointer.
func TestSubscriberStaysSmall(t *testing.T) {
	var s Subscriber
	plain := unsafe.Sizeof(s.Access) + unsafe.Sizeof(s.Contract) + unsafe.Sizeof(s.Login) + unsafe.Sizeof(s.Password) + unsafe.Sizeof(s.Windows)
	if grown := unsafe.Sizeof(s) - plain; grown > 24 {
		t.Errorf("a subscriber is %d bytes larger than login, password and future", grown)
	}
}

func FuzzBearing(f *testing.F) {
	f.Add(request(f, user("x"), station("02:00:00:00:00:01"), vendor(9, 1, "client-mac-address=0200.0000.0003"), portID("eth1.1.2")))
	f.Add(request(f, user("x"), vendor(3561, 1, "olt1"), vendor(4874, 56, ""), vendor(6527, 27, "1")))
	d := NewDirectory()
	lined(d, 1, "a", "", contracts.Line{NoPassword: true, MAC: contracts.Fixed(testMAC(1))})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseView(b)
		if err != nil {
			return
		}
		var got bearing
		got.read(v, readAsk(v).login)
		s := d.recognise(&got, 1)
		if s != nil && got.mismatch(s.Line, 1) == "" && got.device(true) != testMAC(1) {
			t.Fatalf("recognised by %+v", got)
		}
	})
}
