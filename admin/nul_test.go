package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What a text column cannot hold is in every field that the panel and the API take: it is refused or left out, and is
// no error of ours.
func TestBytesThatNoTextHolds(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	for _, bytes := range []string{"%00", "a%00b%ff"} {
		for _, path := range []string{"/search?q=", "/customers?q=", "/sessions?q=", "/connections?login=", "/logins?login=", "/invoices?state=", "/invoices?after=",
			"/customers?after=", "/sessions?device=", "/upcoming?days=", "/network?login=", "/network?after=", "/network?method=", "/devices?pop=", "/devices?q=", "/contracts/1?months=", "/invoices/", "/contracts/", "/signin?next="} {
			if status, body, _ := h.get(path + bytes); status >= http.StatusInternalServerError {
				t.Errorf("%s%s answers %d: %s", path, bytes, status, body)
			}
		}
		text, err := url.QueryUnescape(bytes)
		h.must(err)
		for path, fields := range map[string]url.Values{
			"/customers":                 {"name": {"Maria " + text}, "document": {text}, "email": {text}, "phone": {text}},
			"/customers/1":               {"name": {"Maria " + text}, "document": {""}, "email": {text}, "phone": {text}},
			"/plans":                     {"name": {"Plan " + text}, "price": {"10.00"}, "down": {"100M"}, "up": {"100M"}},
			"/devices":                   {"name": {"bras " + text}, "source": {"10.99.0.1"}, "secret": {"secret" + text}, "dialect": {"mikrotik"}, "nas_identifier": {text}},
			"/pools":                     {"name": {"pool " + text}, "ranges": {"100.99.0.0/24"}},
			"/contracts/1/acts/note":     {"reason": {text}},
			"/contracts/1/accesses":      {"login": {"login" + text}, "password": {"password" + text}, "circuit_id": {text}},
			"/connections":               {"about": {"subscriber"}, "login": {text}, "from": {"2026-03-01 00:00"}, "until": {"2026-03-02 00:00"}, "why": {"reason " + text}},
			"/invoices/F00000010/cancel": {"reason": {text}},
			"/sessions/disconnect":       {"device": {"1"}, "session": {text}},
			"/signin":                    {"username": {text}, "password": {text}},
		} {
			if status, body, _ := h.post(path, fields); status >= http.StatusInternalServerError {
				t.Errorf("%s with %q answers %d: %s", path, text, status, body)
			}
		}
	}
}

// The same over the API, in JSON and in queries.
func TestBytesThatNoTextHoldsInTheAPI(t *testing.T) {
	h := open(t)
	h.furnish()
	c := h.caller()
	for _, q := range []string{"/customers?q=", "/sessions?login=", "/sessions?q=", "/sessions/history?login=", "/logins?login=", "/invoices?after="} {
		for _, bytes := range []string{"%00", "%ff", "a%00"} {
			if status, _ := c.call("GET", "/api/v1"+q+bytes, ""); status >= http.StatusInternalServerError {
				t.Errorf("%s%s answers %d", q, bytes, status)
			}
		}
	}
	for path, body := range map[string]string{
		"/customers":                        `{"name":"a\u0000b","document":"x\u0000","email":"a\u0000@b"}`,
		"/plans":                            `{"name":"p\u0000","price":"1.00","full":{"down_bps":1000000,"up_bps":1000000},"reduced_percent":10}`,
		"/devices":                          `{"name":"d\u0000","source":"10.98.0.1","secret":"s\u0000","dialect":"standard","nas_identifier":"\u0000"}`,
		"/pools":                            `{"name":"p\u0000","ranges":["100.98.0.0/24"]}`,
		"/contracts/1/accesses":             `{"login":"l\u0000","password":"p\u0000","line":{"circuit_id":"c\u0000"}}`,
		"/contracts/1/acts/manual-block":    `{"reason":"r\u0000"}`,
		"/sessions/disconnect":              `{"device_id":1,"session_id":"\u0000","reason":"r\u0000"}`,
		"/contracts/1/invoices":             `{"due":"2026-09-25","lines":[{"description":"d\u0000","amount":"80.00"}]}`,
		"/payments":                         `{"external_id":"e\u0000","invoice":"F00000010","amount":"1.00","method":"m\u0000"}`,
		"/invoices/F00000010%00/cancel":     `{"reason":"r\u0000"}`,
		"/contracts/1/acts/register-notice": `{"invoice":"\u0000"}`,
	} {
		if status, _ := c.call("POST", "/api/v1"+path, body); status >= http.StatusInternalServerError {
			t.Errorf("%s answers %d", path, status)
		}
	}
}

// A device that was just made has not been observed since the year 1.
func TestANewDeviceWasNotObservedYet(t *testing.T) {
	h := open(t)
	h.furnish()
	c := h.caller()
	status, body := c.call("POST", "/api/v1/devices", `{"name":"new","source":"10.97.0.1","secret":"a-secret-of-some-length","dialect":"standard"}`)
	if status != http.StatusCreated || strings.Contains(body, "0001") {
		t.Errorf("a new device is answered with %d: %s", status, body)
	}
	if status, body := c.call("GET", "/api/v1/devices/1", ""); status != http.StatusOK || !strings.Contains(body, `"since":"20`) {
		t.Errorf("a device that is observed is answered with %d: %s", status, body)
	}
}

// Staff are told that accounting is not answered, and no longer than that.
func TestTheOverviewTellsThatTheJournalFails(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	for _, failed := range []bool{false, true, false} {
		h.health.JournalFailed = failed
		for language, want := range map[string]string{"en": "The accounting journal cannot be written", "pt-BR": "O diário de accounting não pode ser gravado"} {
			if _, body, _ := h.get("/", "Accept-Language", language); strings.Contains(body, want) != failed {
				t.Errorf("with the journal failing: %v, in %s the overview says %q: %v", failed, language, want, !failed)
			}
		}
	}
}
