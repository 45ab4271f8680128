package admin_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"enlace/admin"
	"enlace/nas"
	"enlace/radius"
)

// words are what a reader sees of a page's main part: a line for each piece of text.
func words(body string) string {
	_, body, _ = strings.Cut(body, `<main id="main">`)
	body, _, _ = strings.Cut(body, "</main>")
	var out strings.Builder
	for _, line := range regexp.MustCompile(`(?:<[^>]*>|\s*\n\s*)+`).Split(body, -1) {
		if line = strings.TrimSpace(html.UnescapeString(line)); line != "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

func (h *house) site(id nas.DeviceID) {
	h.Helper()
	d, err := h.devices.Device(h.ctx, id)
	h.must(err)
	d.Site = nas.Site{ShortName: "CEN", Model: "CCR2216", POP: "Centro", Zone: "America/Manaus", Place: &nas.Coordinates{Latitude: -27.0965, Longitude: -52.618}}
	h.must(h.devices.UpdateDevice(h.ctx, "staff:ana", h.clock(), &d))
}

// TestDevicePage reads the page of an access server as it is read in both languages.
func TestDevicePage(t *testing.T) {
	h := open(t, func(c *admin.Config) { c.SetClock = nil })
	h.furnish()
	h.signIn()
	h.site(h.bras)
	now := h.clock()
	h.must(h.devices.SaveCommands(h.ctx, []nas.CommandRecord{
		{ID: 11, Session: nas.SessionKey{Device: h.bras, ID: "81000002"}, Login: "cliente03@isp", Method: nas.CoA, Want: "REDUCED 50M/25M", Reason: "restricted from FULL to REDUCED", Actor: "system",
			RequestedAt: now.Add(-9 * time.Minute), SentAt: now.Add(-9 * time.Minute), Attempts: 1, AnsweredAt: now.Add(-9*time.Minute + 12*time.Millisecond), Answer: nas.Naked, ErrorCause: 503},
		{ID: 12, Session: nas.SessionKey{Device: h.bras, ID: "81000004"}, Login: "cliente05@isp", Method: nas.CoA, Want: "FULL 500M/250M", Reason: "restored from REDUCED to FULL", Actor: "system",
			RequestedAt: now.Add(-5 * time.Minute), SentAt: now.Add(-5 * time.Minute), Attempts: 1, AnsweredAt: now.Add(-5*time.Minute + 31*time.Millisecond), Answer: nas.Acked},
		{ID: 13, Session: nas.SessionKey{Device: h.bras, ID: "81000000"}, Login: "cliente01@isp", Method: nas.Disconnect, Want: "no session", Reason: "troca de CPE", Actor: "staff:ana",
			RequestedAt: now.Add(-2 * time.Minute), SentAt: now.Add(-2 * time.Minute), Attempts: 1},
	}))
	clock := regexp.MustCompile(`\d\d:\d\d(:\d\d)?`)
	for language, file := range map[string]string{"en": "device.en.txt", "pt-BR": "device.pt.txt"} {
		status, body, _ := h.get("/devices/1", "Accept-Language", language)
		if status != 200 {
			t.Fatalf("the page answers %d", status)
		}
		golden(t, file, clock.ReplaceAllString(words(body), "hh:mm"))
		if !strings.Contains(body, `href="geo:-27.0965,-52.618"`) {
			t.Error("there is no link to a map")
		}
	}
	if _, body, _ := h.get("/sessions"); !strings.Contains(words(body), "\nCEN\n") {
		t.Error("the list of sessions has not the short name")
	}
	// 10:20 in São Paulo is 09:20 in Manaus, where it stands.
	if _, body, _ := h.get("/devices/1"); !strings.Contains(body, "2026-03-18 09:20 · America/Manaus") || !strings.Contains(body, "2026-03-18 09:18:00") {
		t.Error("the times are not those of the place where it stands")
	}
}

// TestSecretsOfADevice: while two are accepted the page says which one the device uses, and drops the older one.
func TestSecretsOfADevice(t *testing.T) {
	h := open(t)
	h.equip(h.clock())
	h.signIn()
	c := h.caller()
	expect := func(proof radius.SecretProof, text, word string) {
		t.Helper()
		h.secrets = map[nas.DeviceID]radius.SecretProof{2: proof}
		if _, body, _ := h.get("/devices/2"); !strings.Contains(words(body), text) {
			t.Errorf("the page does not say %q", text)
		}
		if got := c.want(200, "GET", "/api/v1/devices/2", "")["secret_in_use"]; got != word {
			t.Errorf("the API says that %v is in use", got)
		}
	}
	expect(radius.NoProof, "Nothing received since the start shows which one", "unknown")
	expect(radius.OlderProof, "still uses the older one, and commands are signed with that", "older")
	expect(radius.NewerProof, "the older one can be dropped", "present")
	if status, _, to := h.post("/devices/2/drop-older-secret", nil); status != 303 || to != "/devices/2" {
		t.Errorf("dropping the older secret answers %d to %q", status, to)
	}
	if d, err := h.devices.Device(h.ctx, 2); err != nil || d.OlderSecret != nil || string(d.Secret) != "nas-secret-never-shown" {
		t.Errorf("the device is left with %q, %q, %v", d.Secret, d.OlderSecret, err)
	}
	if _, body, _ := h.get("/devices/2"); strings.Contains(body, "drop-older-secret") {
		t.Error("what was dropped can be dropped again")
	}
	if _, has := c.want(200, "GET", "/api/v1/devices/2", "")["secret_in_use"]; has {
		t.Error("the API tells two secrets apart where there is one")
	}
}

// TestSiteAndAPIThroughForms: what a device is and where, and how its API is reached, through the form and in JSON.
func TestSiteAndAPIThroughForms(t *testing.T) {
	h := open(t)
	h.equip(h.clock())
	h.signIn()
	fields := url.Values{"name": {"bras-centro"}, "dialect": {"mikrotik"}, "source": {"10.20.0.1"}, "message_authenticator": {"auto"}, "limit_proxy_state": {"auto"},
		"short_name": {"CEN"}, "model": {"CCR2216"}, "pop": {"Centro"}, "zone": {"America/Manaus"}, "place": {"−27.0965, -52.618"},
		"api": {"10.20.0.1"}, "api_user": {"enlace"}, "api_password": {" p4ss of api "}, "api_certificate": {"plain"}}
	post := func(want int) string {
		t.Helper()
		status, body, _ := h.post("/devices/1", fields)
		if status != want || strings.Contains(body, "p4ss") {
			t.Errorf("the form answers %d, want %d, or gives the password back", status, want)
		}
		return body
	}
	device := func() nas.Device {
		t.Helper()
		d, err := h.devices.Device(h.ctx, 1)
		h.must(err)
		return d
	}
	post(303)
	if d := device(); d.Site.ShortName != "CEN" || d.Site.Model != "CCR2216" || d.Site.POP != "Centro" || d.Site.Zone != "America/Manaus" || *d.Site.Place != (nas.Coordinates{Latitude: -27.0965, Longitude: -52.618}) ||
		d.API.Addr.String() != "10.20.0.1:8728" || string(d.API.Password) != " p4ss of api " || d.API.Certificate != nas.PlainAPI {
		t.Errorf("the device is %+v %+v", d.Site, d.API)
	}
	if _, body, _ := h.get("/devices/1/edit"); !strings.Contains(body, `value="-27.0965, -52.618"`) || !strings.Contains(body, `value="10.20.0.1:8728"`) || strings.Contains(body, "p4ss") {
		t.Error("the form does not have what was saved, or tells the password")
	}
	fields.Set("api_password", "")
	fields.Set("api_certificate", strings.Repeat("AB:", 31)+"AB")
	post(303)
	if d := device(); string(d.API.Password) != " p4ss of api " || d.API.Certificate != "sha256:"+strings.Repeat("ab", 32) {
		t.Errorf("saved without a password it is %+v", d.API)
	}
	for field, wrong := range map[string]string{"zone": "Mars/Olympus", "place": "here", "api": "nowhere", "api_user": "", "api_certificate": "bras.example.net", "short_name": strings.Repeat("x", 33)} {
		right := fields.Get(field)
		fields.Set(field, wrong)
		if body := post(422); !strings.Contains(body, "field-error") {
			t.Errorf("what is wrong with %s=%s is not said at the field", field, wrong)
		}
		fields.Set(field, right)
	}
	fields.Set("place", "-91, 0")
	if body := post(422); !strings.Contains(body, "A latitude is -90 to 90 degrees") {
		t.Error("a place that is nowhere is not explained")
	}
	fields.Set("place", "")
	fields.Set("api", "")
	post(303)
	if d := device(); d.API.Known() || d.API.Password != nil || d.Site.Place != nil {
		t.Errorf("taken away, they are %+v %+v", d.API, d.Site.Place)
	}

	c := h.caller()
	made := c.want(201, "POST", "/api/v1/devices", `{"name":"bras-sul","source":"10.20.0.9","secret":"testing123","dialect":"mikrotik","short_name":"SUL","pop":"Sul","model":"CCR1036","zone":"America/Sao_Paulo",
		"place":{"latitude":-27.5,"longitude":-48.25},"api":{"address":"10.20.0.9","user":"enlace","password":"p4ss-of-api","certificate":"sha256:`+strings.Repeat("0a", 32)+`"}}`)
	if at2[string](made, "api", "address") != "10.20.0.9:8729" || at2[float64](made, "place", "longitude") != -48.25 || at2[string](made, "short_name") != "SUL" {
		t.Errorf("the API answers %v", made)
	}
	if _, shown := at2[map[string]any](made, "api")["password"]; shown {
		t.Error("the API shows the password")
	}
	c.want(422, "PUT", "/api/v1/devices/3", `{"name":"bras-sul","source":"10.20.0.9","dialect":"mikrotik","zone":"Mars"}`)
	c.want(200, "PUT", "/api/v1/devices/3", `{"name":"bras-sul","source":"10.20.0.9","dialect":"mikrotik","pop":"Sul","api":{"address":"10.20.0.9:8729","user":"enlace","certificate":"plain"}}`)
	if d, err := h.devices.Device(h.ctx, 3); err != nil || string(d.API.Password) != "p4ss-of-api" || d.Site.ShortName != "" {
		t.Errorf("after the update it is %+v %+v, %v", d.Site, d.API, err)
	}
	for query, want := range map[string]int{"": 3, "?pop=Sul": 1, "?dialect=accel-ppp": 1, "?query=NORTE": 1, "?query=10.20.0.2": 1, "?pop=Sul&dialect=accel-ppp": 0, "?query=ccr1036": 0} {
		if n := len(at2[[]any](c.want(200, "GET", "/api/v1/devices"+query, ""), "items")); n != want {
			t.Errorf("%q finds %d access servers, want %d", query, n, want)
		}
	}
	for query, want := range map[string]string{"?pop=Sul": "bras-sul", "?dialect=accel-ppp": "bras-norte", "?q=10.20.0.2": "bras-norte"} {
		_, body, _ := h.get("/devices" + query)
		for _, name := range []string{"bras-sul", "bras-norte", "bras-centro"} {
			if strings.Contains(words(body), "\n"+name+"\n") != (name == want) {
				t.Errorf("%s lists %s: %v", query, name, name != want)
			}
		}
	}
	h.site(h.bras)
	if _, body, _ := h.get("/network"); !strings.Contains(words(body), "\nCEN\n") {
		t.Error("the network has not the short name")
	}
}
