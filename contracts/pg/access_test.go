package pg

import (
	"net/netip"
	"reflect"
	"strconv"
	"testing"

	"enlace/contracts"
)

// bras records an access server by hand: devices are nas/pg's.
func (h *house) bras(name, source string) int64 {
	h.Helper()
	var id int64
	h.must(h.Pool.QueryRow(ctx, `insert into device (name, source, secret_sealed, dialect, created_at, observed_since) values ($1, $2, '', 'standard', now(), now()) returning id`,
		name, source).Scan(&id))
	return id
}

func (h *house) add(c *contracts.Contract, login string, l contracts.Line) (contracts.Access, error) {
	a := contracts.Access{Login: login, Line: l}
	password := "secret"
	if l.NoPassword {
		password = ""
	}
	return a, h.AddAccess(ctx, "test", at("2026-01-06 10:00"), c.ID, &a, password)
}

func (h *house) access(id contracts.ContractID, access contracts.AccessID) contracts.Access {
	h.Helper()
	loaded, err := h.Load(ctx, []int64{int64(id)})
	h.must(err)
	a := accessOf(&loaded[0].Contract, access)
	c, err := h.Contract(ctx, id)
	h.must(err)
	if b := accessOf(c, access); !reflect.DeepEqual(*a, *b) {
		h.Fatalf("loaded %+v, read %+v", *a, *b)
	}
	return *a
}

func mac(last byte) contracts.MAC { return contracts.MAC{2, 0, 0, 0, 0, last} }

func TestLinesAreKept(t *testing.T) {
	h := newHouse(t)
	c := h.sign("2026-01-05 10:00")
	device := h.bras("bras1", "192.0.2.1/32")
	route, err := contracts.ParseRoute("203.0.113.16/29 203.0.113.9 5")
	h.must(err)
	v6, err := contracts.ParseRoute("2001:db8:7::/48")
	h.must(err)
	want := contracts.Line{NoPassword: true, MAC: contracts.Binding[contracts.MAC]{Mode: contracts.BindLearn}, Device: contracts.Fixed(device),
		Port: contracts.Fixed(contracts.Octets("eth1.100.200")), CircuitID: "\x00\x04\x00\x6f", RemoteID: "olt 1", VLAN: contracts.VLAN{Outer: 100, Inner: 200},
		Addresses: contracts.Addresses{IPv4: netip.MustParseAddr("203.0.113.9"), NetmaskBits: 24, FramedIPv6: netip.MustParsePrefix("2001:db8:1:2::/64"),
			DelegatedIPv6: netip.MustParsePrefix("2001:db8:2::/56"), Routes: []contracts.Route{route, v6}}}
	a, err := h.add(c, "full@isp", want)
	h.must(err)
	want.Version = 1
	if got := h.access(c.ID, a.ID); !reflect.DeepEqual(got.Line, want) {
		t.Fatalf("%+v, want %+v", got.Line, want)
	}
	if n := h.count(`select count(*) from access_line`); n != 1 {
		t.Fatalf("%d rows: an access with a login and a password alone has none", n)
	}
	for _, text := range []string{"203.0.113.9", "203.0.113.17", "203.0.113.16/30", "2001:db8:2:0:1::5", "olt", "0x0004"} {
		hits, err := h.Search(ctx, text, 10)
		if err != nil || len(hits) != 1 || hits[0].Login != "full@isp" {
			t.Errorf("%q finds %v: %v", text, hits, err)
		}
	}
	// Everything is taken away again.
	h.must(h.UpdateAccess(ctx, "test", at("2026-01-06 11:00"), c.ID, &contracts.Access{ID: a.ID, SessionLimit: 3, Line: contracts.Line{NoPassword: true, MAC: contracts.Fixed(mac(7))}}))
	got := h.access(c.ID, a.ID)
	if got.SessionLimit != 3 || got.Login != "full@isp" || !reflect.DeepEqual(got.Line, contracts.Line{NoPassword: true, MAC: contracts.Fixed(mac(7)), Version: 2}) {
		t.Fatalf("%+v", got)
	}
	if hits, err := h.Search(ctx, "0200.0000.0007", 10); err != nil || len(hits) != 1 || hits[0].Login != "full@isp" {
		t.Errorf("the MAC address finds %v: %v", hits, err)
	}
	if n := h.count(`select count(*) from access_address`); n != 0 {
		t.Fatalf("%d addresses are left", n)
	}
	if n := h.count(`select count(*) from audit where subject = $1`, "access:"+fmtID(a.ID)); n != 2 {
		t.Fatalf("%d lines in the audit", n)
	}
	// Without ever having had a password it cannot do with one.
	refused(t, h.UpdateAccess(ctx, "test", at("2026-01-06 12:00"), c.ID, &contracts.Access{ID: a.ID}), contracts.Invalid, "no_password")
	h.must(h.SetPassword(ctx, "test", at("2026-01-06 12:00"), a.ID, "word"))
	h.must(h.UpdateAccess(ctx, "test", at("2026-01-06 12:00"), c.ID, &contracts.Access{ID: a.ID}))
	refused(t, h.UpdateAccess(ctx, "test", at("2026-01-06 12:00"), c.ID, &contracts.Access{ID: 4711}), contracts.NotFound, "")
}

func TestAddressesBelongToOneAccess(t *testing.T) {
	h := newHouse(t)
	c, other := h.sign("2026-01-05 10:00"), h.sign("2026-01-05 10:00")
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	own := contracts.Addresses{IPv4: addr("203.0.113.9"), FramedIPv6: prefix("2001:db8:1:2::/64"), DelegatedIPv6: prefix("2001:db8:2::/56"),
		Routes: []contracts.Route{{To: prefix("203.0.113.8/29")}}} // its own address lies in its own network
	_, err := h.add(c, "first@isp", contracts.Line{Addresses: own})
	h.must(err)
	for name, a := range map[string]contracts.Addresses{
		"the address":             {IPv4: addr("203.0.113.9")},
		"an address of a route":   {IPv4: addr("203.0.113.10")},
		"a network around":        {Routes: []contracts.Route{{To: prefix("203.0.113.0/24")}}},
		"a part of a prefix":      {FramedIPv6: prefix("2001:db8:2:7::/64")},
		"around a prefix":         {DelegatedIPv6: prefix("2001:db8:2::/48")},
		"the line's as delegated": {DelegatedIPv6: prefix("2001:db8:1::/56")},
	} {
		_, err := h.add(other, "second@isp", contracts.Line{Addresses: a})
		t.Run(name, func(t *testing.T) { refused(t, err, contracts.Conflict, "address_taken") })
	}
	if n := h.count(`select count(*) from access where login = 'second@isp'`); n != 0 {
		t.Fatal("what was refused left an access")
	}
	_, err = h.add(other, "second@isp", contracts.Line{Addresses: contracts.Addresses{IPv4: addr("203.0.113.7"), DelegatedIPv6: prefix("2001:db8:2:100::/56")}})
	h.must(err)
}

func TestMarksBelongToOneAccess(t *testing.T) {
	h := newHouse(t)
	c := h.sign("2026-01-05 10:00")
	one, two := h.bras("bras1", "192.0.2.1/32"), h.bras("bras2", "192.0.2.2/32")
	n := 0
	add := func(l contracts.Line) error {
		n++
		_, err := h.add(c, "line"+fmtID(contracts.AccessID(n)), l)
		return err
	}
	h.must(add(contracts.Line{NoPassword: true, MAC: contracts.Fixed(mac(1)), Device: contracts.Fixed(one)}))
	h.must(add(contracts.Line{NoPassword: true, MAC: contracts.Fixed(mac(1)), Device: contracts.Fixed(two)}))
	refused(t, add(contracts.Line{NoPassword: true, MAC: contracts.Fixed(mac(1)), Device: contracts.Fixed(one)}), contracts.Conflict, "mark_taken")
	refused(t, add(contracts.Line{NoPassword: true, MAC: contracts.Fixed(mac(1))}), contracts.Conflict, "mark_taken") // on every device is on these too
	h.must(add(contracts.Line{MAC: contracts.Fixed(mac(1))}))                                                         // with a password it is only required
	h.must(add(contracts.Line{NoPassword: true, CircuitID: "c1", RemoteID: "olt1"}))
	h.must(add(contracts.Line{NoPassword: true, CircuitID: "c1", RemoteID: "olt2"}))
	refused(t, add(contracts.Line{NoPassword: true, CircuitID: "c1", RemoteID: "olt2"}), contracts.Conflict, "mark_taken")
	h.must(add(contracts.Line{NoPassword: true, VLAN: contracts.VLAN{Outer: 1, Inner: 2}, Device: contracts.Fixed(one)}))
	refused(t, add(contracts.Line{NoPassword: true, VLAN: contracts.VLAN{Outer: 1, Inner: 2}, Device: contracts.Fixed(one)}), contracts.Conflict, "mark_taken")
	refused(t, add(contracts.Line{Device: contracts.Fixed(int64(4711))}), contracts.Invalid, "device")
}

func TestLearnedBindings(t *testing.T) {
	h := newHouse(t)
	c := h.sign("2026-01-05 10:00")
	device := h.bras("bras1", "192.0.2.1/32")
	learn := contracts.Line{MAC: contracts.Binding[contracts.MAC]{Mode: contracts.BindLearn}, Device: contracts.Binding[int64]{Mode: contracts.BindLearn}}
	a, err := h.add(c, "learns@isp", learn)
	h.must(err)
	seen := contracts.Learned{Access: a.ID, Version: 1, At: at("2026-01-07 10:00"), MAC: mac(1), Device: device, Port: "eth1"}
	h.must(h.SaveLearned(ctx, seen))
	got := h.access(c.ID, a.ID).Line
	if got.MAC.To != mac(1) || got.Device.To != device || got.Port.To != "" || got.Version != 1 {
		t.Fatalf("%+v", got)
	}
	second := seen
	second.MAC = mac(2)
	h.must(h.SaveLearned(ctx, second)) // another node was first
	if got := h.access(c.ID, a.ID).Line.MAC.To; got != mac(1) {
		t.Fatalf("%v was learned anew", got)
	}
	// An edit keeps what is learned, and a new version refuses what was seen for the old one.
	h.must(h.UpdateAccess(ctx, "test", at("2026-01-07 11:00"), c.ID, &contracts.Access{ID: a.ID, SessionLimit: 2, Line: learn}))
	if got := h.access(c.ID, a.ID); got.Line.MAC.To != mac(1) || got.Line.Version != 2 {
		t.Fatalf("%+v", got)
	}
	h.must(h.ClearBinding(ctx, "test", at("2026-01-07 12:00"), c.ID, a.ID))
	if got := h.access(c.ID, a.ID).Line; got.Learned() || got.Version != 3 {
		t.Fatalf("%+v", got)
	}
	h.must(h.SaveLearned(ctx, second))
	if got := h.access(c.ID, a.ID).Line; got.Learned() {
		t.Fatalf("a value seen before the binding was cleared came back: %+v", got)
	}
	second.Version = 3
	h.must(h.SaveLearned(ctx, second))
	if got := h.access(c.ID, a.ID).Line; got.MAC.To != mac(2) {
		t.Fatalf("%+v", got)
	}
	for act, want := range map[string]int{"access.learn": 2, "access.clear_binding": 1, "access.update": 1} {
		if n := h.count(`select count(*) from audit where act = $1`, act); n != want {
			t.Errorf("%d of %s in the audit, want %d", n, act, want)
		}
	}
	h.must(h.SaveLearned(ctx, contracts.Learned{Access: 4711}))
	refused(t, h.ClearBinding(ctx, "test", at("2026-01-07 12:00"), c.ID, 4711), contracts.NotFound, "")
}

func fmtID(id contracts.AccessID) string { return strconv.FormatInt(int64(id), 10) }
