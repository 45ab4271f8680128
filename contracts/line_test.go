package contracts

import (
	"errors"
	"net/netip"
	"testing"
)

func TestLinesThatAreRefused(t *testing.T) {
	mac := MAC{2, 0, 0, 0, 0, 1}
	for field, l := range map[string]Line{
		"mac":            {MAC: Binding[MAC]{Mode: BindFixed}},
		"mac ":           {MAC: Fixed(MAC{1, 0, 0x5e, 0, 0, 1})},
		"mac  ":          {MAC: Binding[MAC]{Mode: 9}},
		"device":         {Device: Binding[int64]{Mode: BindFixed}},
		"port":           {Port: Binding[Octets]{Mode: BindFixed}},
		"no_password":    {NoPassword: true},
		"no_password ":   {NoPassword: true, MAC: Binding[MAC]{BindLearn, mac}},
		"device ":        {NoPassword: true, VLAN: VLAN{100, 200}},
		"device  ":       {NoPassword: true, Port: Fixed(Octets("eth1"))},
		"vlan":           {VLAN: VLAN{100, 0}},
		"circuit_id":     {CircuitID: Octets(make([]byte, 248))},
		"ipv4":           {Addresses: Addresses{IPv4: netip.MustParseAddr("255.255.255.254")}},
		"ipv4 ":          {Addresses: Addresses{IPv4: netip.MustParseAddr("127.0.0.2")}},
		"ipv4  ":         {Addresses: Addresses{IPv4: netip.MustParseAddr("2001:db8::1")}},
		"netmask_bits":   {Addresses: Addresses{NetmaskBits: 24}},
		"framed_ipv6":    {Addresses: Addresses{FramedIPv6: netip.MustParsePrefix("2001:db8::/40")}},
		"framed_ipv6 ":   {Addresses: Addresses{FramedIPv6: netip.MustParsePrefix("2001:db8::1/64")}},
		"framed_ipv6  ":  {Addresses: Addresses{FramedIPv6: netip.MustParsePrefix("10.0.0.0/8")}},
		"delegated_ipv6": {Addresses: Addresses{DelegatedIPv6: netip.MustParsePrefix("2001:db8::/65")}},
		"delegated_ipv6 ": {Addresses: Addresses{DelegatedIPv6: netip.MustParsePrefix("2001:db8::/56"),
			FramedIPv6: netip.MustParsePrefix("2001:db8:0:1::/64")}},
		"routes":  {Addresses: Addresses{Routes: []Route{{To: netip.MustParsePrefix("0.0.0.0/0")}}}},
		"routes ": {Addresses: Addresses{Routes: []Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Gateway: netip.MustParseAddr("::1")}}}},
	} {
		var e *Error
		if err := l.Validate(); !errors.As(err, &e) || e.Field != trimmed(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	good := Line{NoPassword: true, MAC: Fixed(mac), Port: Binding[Octets]{Mode: BindLearn}, Device: Binding[int64]{Mode: BindOff, To: 9}}
	if err := good.Validate(); err != nil || good.Device.To != 0 {
		t.Errorf("%v, %v", err, good)
	}
}

func trimmed(s string) string {
	for s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return s
}

func TestMarksInTheirOrder(t *testing.T) {
	l := Line{NoPassword: true, CircuitID: "c 1", RemoteID: "r", MAC: Fixed(MAC{2, 0, 0, 0, 0, 1}), Port: Fixed(Octets("eth1")), VLAN: VLAN{100, 200}}
	steps := []struct {
		want string
		drop func()
	}{
		{`circuit "c 1" "r"`, func() { l.CircuitID = "" }},
		{`circuit "" "r"`, func() { l.RemoteID = "" }},
		{"mac 02:00:00:00:00:01", func() { l.MAC.Mode = BindLearn }}, // what is learned identifies nobody
		{"port eth1", func() { l.Port = Binding[Octets]{} }},
		{"vlan 100:200", func() { l.VLAN = VLAN{} }},
		{"", func() {}},
	}
	for _, s := range steps {
		if got := l.MarkText(); got != s.want {
			t.Errorf("%q, want %q", got, s.want)
		}
		s.drop()
	}
	withPassword := Line{MAC: Fixed(MAC{2, 0, 0, 0, 0, 1})}
	if withPassword.MarkText() != "" {
		t.Error("an access with a password is found by its login only")
	}
}

func TestLearning(t *testing.T) {
	l := Line{MAC: Binding[MAC]{Mode: BindLearn}, Device: Binding[int64]{Mode: BindLearn}, Port: Fixed(Octets("eth1"))}
	if !l.Learns() || l.Learned() {
		t.Fatal("nothing is learned yet")
	}
	first := &Learned{MAC: MAC{2, 0, 0, 0, 0, 1}, Port: "eth9"}
	if !l.Learn(first) || l.MAC.To != first.MAC || l.Port.To != "eth1" || !l.Learns() || !l.Learned() {
		t.Fatalf("%+v", l)
	}
	if l.Learn(&Learned{MAC: MAC{2, 0, 0, 0, 0, 2}}) || l.MAC.To != first.MAC {
		t.Fatal("what is learned stays")
	}
	if !l.Learn(&Learned{Device: 7}) || l.Learns() {
		t.Fatalf("%+v", l)
	}
	l.Forget()
	if l.Learned() || l.Port.To != "eth1" {
		t.Fatalf("%+v", l)
	}
}

func TestRoutesAsTheWireHasThem(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.0/29":                "203.0.113.0/29 0.0.0.0 1",
		" 203.0.113.0/29  192.0.2.9 ":   "203.0.113.0/29 192.0.2.9 1",
		"203.0.113.0/29 0.0.0.0 5":      "203.0.113.0/29 0.0.0.0 5",
		"2001:db8:7::/48":               "2001:db8:7::/48 :: 1",
		"2001:db8:7::/48 2001:db8::1 2": "2001:db8:7::/48 2001:db8::1 2",
	} {
		r, err := ParseRoute(text)
		if err != nil || r.String() != want {
			t.Errorf("%q is written %q: %v", text, r, err)
		}
		if again, err := ParseRoute(r.String()); err != nil || again.String() != want {
			t.Errorf("%q reads back as %q: %v", want, again, err)
		}
	}
	for _, text := range []string{"", "x", "203.0.113.1/29", "203.0.113.0/29 x", "203.0.113.0/29 192.0.2.1 x", "0.0.0.0/0", "224.0.0.0/8",
		"203.0.113.0/29 0.0.0.0 256", "203.0.113.0/29 :: 1 1", "203.0.113.0/29 2001:db8::1"} {
		if r, err := ParseRoute(text); err == nil {
			t.Errorf("%q reads as %q", text, r)
		}
	}
}

func TestAddressesWithoutIPv6(t *testing.T) {
	v4, _ := ParseRoute("203.0.113.0/29")
	v6, _ := ParseRoute("2001:db8:7::/48")
	a := Addresses{IPv4: netip.MustParseAddr("203.0.113.9"), DelegatedIPv6: netip.MustParsePrefix("2001:db8:1::/56"), Routes: []Route{v6, v4}}
	b := a.WithoutIPv6()
	if b.DelegatedIPv6.IsValid() || len(b.Routes) != 1 || b.Routes[0] != v4 || b.IPv4 != a.IPv4 || len(a.Routes) != 2 || a.Routes[0] != v6 {
		t.Errorf("%+v of %+v", b, a)
	}
}
