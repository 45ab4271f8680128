package nas_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"enlace/contracts"
	"enlace/nas"
)

func TestSiteAndAPIOfADevice(t *testing.T) {
	good := nas.Device{Name: "bras", Source: netip.MustParsePrefix("10.0.0.1/32"), Secret: []byte("testing123"), Dialect: "mikrotik",
		MessageAuthenticator: nas.LearnMA, LimitProxyState: nas.LearnProxyState, InterimSeconds: 300, CommandsPerSecond: 50,
		Site: nas.Site{ShortName: "b1", Model: "CCR2216", POP: "Centro", Zone: "America/Manaus", Place: &nas.Coordinates{Latitude: -3.1, Longitude: -60}},
		API: nas.API{Addr: netip.MustParseAddrPort("10.0.0.1:8729"), User: "enlace", Password: []byte("secret"),
			Certificate: "sha256:" + strings.Repeat("ab", 32)}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	if good.Label() != "b1" {
		t.Errorf("labelled %s", good.Label())
	}
	for field, spoil := range map[string]func(*nas.Device){
		"zone":            func(d *nas.Device) { d.Site.Zone = "America/Atlantis" },
		"place":           func(d *nas.Device) { d.Site.Place = &nas.Coordinates{Latitude: 91} },
		"short_name":      func(d *nas.Device) { d.Site.ShortName = "b\x00" },
		"pop":             func(d *nas.Device) { d.Site.POP = strings.Repeat("x", 101) },
		"api":             func(d *nas.Device) { d.API.Addr = netip.AddrPort{} },
		"api_user":        func(d *nas.Device) { d.API.User = "" },
		"api_certificate": func(d *nas.Device) { d.API.Certificate = "bras.example" },
	} {
		d := good
		spoil(&d)
		var e *contracts.Error
		if err := d.Validate(); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	plain, bare := good, good
	plain.API.Certificate = nas.PlainAPI
	bare.API, bare.Site = nas.API{}, nas.Site{}
	for _, d := range []nas.Device{plain, bare} {
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	}
	if bare.Label() != "bras" {
		t.Errorf("labelled %s", bare.Label())
	}
}
