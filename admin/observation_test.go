package admin_test

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"enlace/nas"
)

// TestDevicePageSaysWhatIsSafe: the page and the API tell from what was seen whether the strict settings would do harm.
func TestDevicePageSaysWhatIsSafe(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	d, err := h.devices.Device(h.ctx, h.bras)
	h.must(err)
	begun := d.Observed.Since
	expect := func(english, portuguese string) {
		t.Helper()
		for language, want := range map[string]string{"en": english, "pt-BR": portuguese} {
			if _, body, _ := h.get("/devices/1", "Accept-Language", language); !strings.Contains(html.UnescapeString(body), want) {
				t.Errorf("in %s the page does not say %q", language, want)
			}
		}
	}
	expect("No Access-Request over UDP has been seen since", "Nenhum Access-Request em UDP foi visto desde")
	seen := func(o nas.Observation) {
		t.Helper()
		o.Since = begun
		_, err := h.devices.AddObservations(h.ctx, map[nas.DeviceID]nas.Observation{h.bras: o})
		h.must(err)
	}
	seen(nas.Observation{Signed: 12345, Signs: true})
	expect("Every one of 12,345 Access-Requests since", "Todos os 12.345 Access-Requests desde")
	expect("“Required” is safe.", "“Exigido” é seguro.")
	seen(nas.Observation{Unsigned: 3, LastUnsigned: begun.Add(time.Hour), UnsignedProxied: 1, LastUnsignedProxied: begun.Add(time.Minute)})
	expect("Not yet: 3 of 12,348 Access-Requests since", "Ainda não: 3 de 12.348 Access-Requests desde")
	expect("carried Proxy-State without Message-Authenticator, the last on", "trouxeram Proxy-State sem Message-Authenticator, o último em")
	expect("Learned: it sends Message-Authenticator", "Aprendido: ele envia Message-Authenticator")
	if status, _, _ := h.post("/devices/1/observe", nil); status != 303 {
		t.Errorf("observing anew answers %d", status)
	}
	expect("No Access-Request over UDP has been seen since", "Nenhum Access-Request em UDP foi visto desde")
}

// TestDeviceFormKeepsAndDropsSecrets walks a rotation through the form, and gives the device a certificate.
func TestDeviceFormKeepsAndDropsSecrets(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	fields := url.Values{"name": {"bras-centro"}, "dialect": {"mikrotik"}, "message_authenticator": {"auto"}, "limit_proxy_state": {"yes"}, "source": {"10.20.0.1"},
		"secret": {"the-new-secret"}, "keep_older_secret": {"yes"}, "certificate": {"BRAS1.example.net"}}
	post := func(want int) string {
		t.Helper()
		status, body, _ := h.post("/devices/1", fields)
		if status != want {
			t.Errorf("the form answers %d, want %d", status, want)
		}
		return body
	}
	device := func() string {
		d, err := h.devices.Device(h.ctx, h.bras)
		h.must(err)
		return fmt.Sprintf("%s %s %s %s %v", d.Secret, d.OlderSecret, d.Certificate, d.LimitProxyState, d.Source)
	}
	post(303)
	if got := device(); got != "the-new-secret nas-secret-never-shown bras1.example.net yes 10.20.0.1/32" {
		t.Errorf("after the rotation began: %s", got)
	}
	_, body, _ := h.get("/devices/1")
	if !strings.Contains(body, "An older secret is still accepted") || strings.Contains(body, "nas-secret") || strings.Contains(body, "the-new-secret") {
		t.Error("the page does not say that an older secret is accepted, or tells one")
	}
	fields.Del("secret")
	fields.Del("keep_older_secret")
	fields.Set("drop_older_secret", "yes")
	fields.Set("source", "") // it speaks RadSec only from now on
	post(303)
	if got := device(); got != "the-new-secret  bras1.example.net yes invalid Prefix" {
		t.Errorf("after the rotation: %s", got)
	}
	fields.Set("certificate", "not a name")
	if body := post(422); !strings.Contains(html.UnescapeString(body), `"not a name" is neither a DNS name`) {
		t.Error("a certificate that cannot be is not named")
	}
	fields.Set("certificate", "")
	if body := post(422); !strings.Contains(body, "has a source address or prefix, or a certificate") {
		t.Error("a device known by nothing is accepted")
	}
}
