package admin_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"enlace/admin"
	"enlace/nas"
)

// routers answers as a device's API would.
type routers struct {
	err    error
	server netip.Addr
	hosts  []string
}

func (r *routers) Facts(context.Context, *nas.Device) (nas.DeviceFacts, error) {
	return nas.DeviceFacts{Identity: "bras-centro", Version: "7.16.2 (stable)", Board: "CCR2216", Serial: "HEX0", Uptime: 50 * time.Hour, Sessions: 1234}, r.err
}

func (r *routers) Check(_ context.Context, _ *nas.Device, server netip.Addr, hosts []string) ([]nas.Remark, error) {
	r.server, r.hosts = server, hosts
	return []nas.Remark{{Topic: "/ppp aaa", Level: nas.LevelOK, Text: "sessions are asked for and accounted for by RADIUS"},
		{Topic: "/radius", Level: nas.LevelWrong, Text: "timeout is %s: what takes longer counts as silence", Args: []any{"300ms"}, Commands: []string{"/radius set *1 timeout=3s"}}}, nil
}

func TestRouterPage(t *testing.T) {
	asked := &routers{}
	h := open(t, func(c *admin.Config) { c.Routers = asked })
	h.furnish()
	h.signIn()
	if status, body, _ := h.get("/devices/1/router"); status != 200 || !strings.Contains(body, "has no API of its own") {
		t.Errorf("a device without an API: status %d\n%s", status, words(body))
	}
	d, err := h.devices.Device(h.ctx, 1)
	h.must(err)
	d.API = nas.API{Addr: netip.MustParseAddrPort("10.0.0.1:8729"), User: "enlace", Password: []byte("api-password"), Certificate: "sha256:" + strings.Repeat("ab", 32)}
	h.must(h.devices.UpdateDevice(h.ctx, "staff:ana", h.clock(), &d))
	if _, body, _ := h.get("/devices/1"); !strings.Contains(body, `href="/devices/1/router"`) {
		t.Error("the device's page does not lead there")
	}
	for language, want := range map[string][]string{
		"en":    {"7.16.2 (stable)", "1,234", "timeout is 300ms: what takes longer counts as silence", "/radius set *1 timeout=3s", "Wrong", "PASTE-THE-SECRET"},
		"pt-BR": {"7.16.2 (stable)", "1.234", "o timeout é 300ms: o que demora mais conta como silêncio", "Errado", "Para colar no console dele"},
	} {
		status, body, _ := h.get("/devices/1/router?server=192.0.2.10&hosts=pix.example.net,+198.51.100.7", "Accept-Language", language)
		text := words(body)
		for _, w := range want {
			if status != 200 || !strings.Contains(text, w) {
				t.Errorf("%s: status %d, no %q in\n%s", language, status, w, text)
			}
		}
		if strings.Contains(body, "api-password") {
			t.Error("the password is on the page")
		}
	}
	if asked.server != netip.MustParseAddr("192.0.2.10") || !slices.Equal(asked.hosts, []string{"pix.example.net", "198.51.100.7"}) {
		t.Errorf("the router was asked with %s %q", asked.server, asked.hosts)
	}
	for _, q := range []string{"server=x", "hosts=a%3Breboot", "hosts=a%22b"} {
		if status, body, _ := h.get("/devices/1/router?" + q); status != 422 || strings.Contains(body, "7.16.2") {
			t.Errorf("%s: status %d", q, status)
		}
	}

	c := h.caller()
	out := c.want(200, "GET", "/api/v1/devices/1/router?server=192.0.2.10&hosts=pix.example.net", "")
	if out["version"] != "7.16.2 (stable)" || out["uptime_seconds"] != float64(180000) || len(out["remarks"].([]any)) != 2 {
		t.Errorf("%+v", out)
	}
	c.want(404, "GET", "/api/v1/devices/2/router", "")
	c.want(422, "GET", "/api/v1/devices/1/router?server=x", "")
	asked.err = errors.New("TLS with the router's API: i/o timeout")
	c.want(409, "GET", "/api/v1/devices/1/router", "")
	if status, body, _ := h.get("/devices/1/router"); status != 200 || !strings.Contains(words(body), "It could not be asked: TLS with the router's API: i/o timeout") {
		t.Errorf("a router that is away: status %d\n%s", status, words(body))
	}
}
