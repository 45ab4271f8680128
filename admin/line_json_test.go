package admin

import (
	"net/netip"
	"reflect"
	"testing"

	"enlace/contracts"
)

func TestLinesAsJSON(t *testing.T) {
	route, _ := contracts.ParseRoute("198.51.100.8/29 203.0.113.9 7")
	for _, l := range []contracts.Line{
		{NoPassword: true, CircuitID: "\x00\x01", Port: contracts.Binding[contracts.Octets]{Mode: contracts.BindLearn, To: "eth1"}},
		{MAC: contracts.Fixed(contracts.MAC{2, 0, 0, 0, 0, 1}), Device: contracts.Fixed(int64(3)), VLAN: contracts.VLAN{Inner: 7}, RemoteID: "r"},
		{Addresses: contracts.Addresses{IPv4: netip.MustParseAddr("203.0.113.9"), NetmaskBits: 29, Routes: []contracts.Route{route},
			FramedIPv6: netip.MustParsePrefix("2001:db8:1:2::/64"), DelegatedIPv6: netip.MustParsePrefix("2001:db8:ab00::/56")}},
	} {
		if back, err := accessLineJSONOf(&l).line(); err != nil || !reflect.DeepEqual(back, l) {
			t.Errorf("%+v comes back as %+v: %v", l, back, err)
		}
	}
	if accessLineJSONOf(&contracts.Line{Version: 3}) != nil {
		t.Error("an access that has nothing shows a line")
	}
}
