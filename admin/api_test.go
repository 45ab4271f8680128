package admin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	adminpg "enlace/admin/pg"
)

// caller is a program with a token.
type caller struct {
	*house
	token string
}

func (h *house) caller() *caller {
	h.Helper()
	token, err := (&adminpg.Store{Pool: h.pool}).CreateToken(h.ctx, "test", "erp", h.clock())
	h.must(err)
	return &caller{h, token}
}

// call answers with status and body.
func (c *caller) call(method, path, body string) (int, string) {
	c.Helper()
	req, err := http.NewRequest(method, c.server.URL+path, strings.NewReader(body))
	c.must(err)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	c.must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	c.must(err)
	if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
		c.Errorf("%s %s: an error of type %s", method, path, resp.Header.Get("Content-Type"))
	}
	return resp.StatusCode, string(b)
}

// want is call, and fails on another status.
func (c *caller) want(status int, method, path, body string) map[string]any {
	c.Helper()
	got, text := c.call(method, path, body)
	if got != status {
		c.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, got, status, text)
	}
	var v map[string]any
	if text != "" {
		c.must(json.Unmarshal([]byte(text), &v))
	}
	return v
}

func at2[T any](v map[string]any, path ...any) T {
	var x any = v
	for _, p := range path {
		switch p := p.(type) {
		case string:
			x = x.(map[string]any)[p]
		case int:
			x = x.([]any)[p]
		}
	}
	t, _ := x.(T)
	return t
}

// TestAPISubscriber lives a subscriber's life through the API alone.
func TestAPISubscriber(t *testing.T) {
	h := open(t)
	c := h.caller()
	plan := c.want(201, "POST", "/api/v1/plans", `{"name":"Fibra 500","price":"102.03","full":{"down_bps":500000000,"up_bps":250000000},"reduced_percent":10}`)
	if at2[string](plan, "price") != "102.03" {
		t.Errorf("the plan's price is %v", plan["price"])
	}
	c.want(201, "POST", "/api/v1/customers", `{"name":"Maria","document":"529.982.247-25"}`)
	contract := c.want(201, "POST", "/api/v1/contracts", `{"customer_id":1,"plan_id":1,"due_day":10,"starts_pending":true,"accesses":[{"login":"maria@isp","password":"secret-one"}]}`)
	if contract["status"] != "PENDING" || contract["outcome"] != "REJECT" {
		t.Errorf("a new contract is %v", contract)
	}
	active := c.want(200, "POST", "/api/v1/contracts/1/acts/activate", "")
	if active["status"] != "ACTIVE" || active["outcome"] != "FULL" {
		t.Errorf("an activated contract is %v", active)
	}
	pass := func() { h.setClock(h.clock().Add(time.Minute)) }
	pass()
	c.want(200, "POST", "/api/v1/contracts/1/acts/manual-block", `{"reason":"test"}`)
	pass()
	twice := c.want(409, "POST", "/api/v1/contracts/1/acts/manual-block", `{}`)
	if twice["code"] != "status_BLOCKED_MANUAL" {
		t.Errorf("a second block is refused with %v", twice)
	}
	c.want(200, "POST", "/api/v1/contracts/1/acts/manual-unblock", `{}`)
	if r := c.want(409, "POST", "/api/v1/contracts/1/acts/trust-unblock", `{}`); r["code"] != "status_ACTIVE" {
		t.Errorf("trust unblock while active is refused with %v", r)
	}
	off := c.want(200, "POST", "/api/v1/contracts/1/accesses/1/disable", "")
	if !at2[bool](off, "accesses", 0, "disabled") {
		t.Errorf("a disabled access is %v", off)
	}
	c.want(200, "POST", "/api/v1/contracts/1/accesses/1/enable", "")
	c.want(204, "PUT", "/api/v1/contracts/1/accesses/1/password", `{"password":"secret-two"}`)
	c.want(404, "PUT", "/api/v1/contracts/1/accesses/99/password", `{"password":"secret-two"}`)
	c.want(201, "POST", "/api/v1/contracts/1/accesses", `{"login":"maria2@isp","password":"secret-three"}`)

	inv := c.want(201, "POST", "/api/v1/contracts/1/invoices", `{"due":"2026-03-25","lines":[{"description":"Instalação","amount":"80.00"}]}`)
	number := at2[string](inv, "number")
	pay := fmt.Sprintf(`{"external_id":"e2e-1","invoice":%q,"amount":"30.00","method":"pix"}`, number)
	first := c.want(201, "POST", "/api/v1/payments", pay)
	again := c.want(200, "POST", "/api/v1/payments", pay)
	if first["id"] != again["id"] {
		t.Errorf("the same payment twice is %v and %v", first["id"], again["id"])
	}
	if r := c.want(409, "POST", "/api/v1/payments", strings.Replace(pay, "30.00", "31.00", 1)); r["code"] != "idempotency" {
		t.Errorf("another payment with the same key is refused with %v", r)
	}
	if d := c.want(200, "GET", "/api/v1/invoices/"+number, ""); d["open"] != "50.00" || d["state"] != "partial" || at2[string](d, "quote", "total") != "50.00" {
		t.Errorf("the invoice is %v", d)
	}
	c.want(409, "POST", "/api/v1/invoices/"+number+"/cancel", `{}`)
	c.want(200, "POST", "/api/v1/payments/1/reversal", `{"reason":"mistake"}`)
	if d := c.want(200, "POST", "/api/v1/invoices/"+number+"/cancel", `{}`); d["state"] != "cancelled" {
		t.Errorf("the cancelled invoice is %v", d)
	}

	timeline := c.want(200, "GET", "/api/v1/contracts/1/timeline?plan=true", "")
	if n := len(at2[[]any](timeline, "spans")); n < 3 {
		t.Errorf("the timeline has %d spans: %v", n, timeline)
	}
	e := c.want(200, "GET", "/api/v1/contracts/1/explain?lang=pt", "")
	if !strings.HasPrefix(at2[string](e, "headline"), "Ativo") {
		t.Errorf("the explanation begins with %v", e["headline"])
	}
	if l := c.want(200, "GET", "/api/v1/contracts?login=maria2@isp", ""); at2[float64](l, "items", 0, "id") != 1 {
		t.Errorf("found by login: %v", l)
	}

	device := c.want(201, "POST", "/api/v1/devices", `{"name":"bras","source":"10.0.0.1","secret":"testing123","dialect":"mikrotik","coa":"10.0.0.1:3799"}`)
	if _, shown := device["secret"]; shown || strings.Contains(fmt.Sprint(device), "testing123") {
		t.Error("the API shows a secret")
	}
	c.want(200, "PUT", "/api/v1/devices/1", `{"name":"bras-2","source":"10.0.0.0/24","dialect":"standard"}`)
	if d, err := h.devices.Device(h.ctx, 1); err != nil || string(d.Secret) != "testing123" || d.Name != "bras-2" {
		t.Errorf("the updated device is %+v, %v", d, err)
	}
	c.want(204, "DELETE", "/api/v1/devices/1", "")
	c.want(204, "POST", "/api/v1/sessions/disconnect", `{"device_id":1,"session_id":"\\x00ff","reason":"test"}`)
	if key := <-h.cut; key.ID != "\x00\xff" {
		t.Errorf("the session cut is %q", key.ID)
	}
	if s := c.want(200, "GET", "/api/v1/status", ""); at2[float64](s, "accesses", 0, "accesses") != 2 {
		t.Errorf("the status is %v", s)
	}
	c.want(200, "PUT", "/api/v1/clock", `{"now":"2026-03-19T12:00:00Z"}`)
	if !h.clock().Truncate(time.Minute).Equal(time.Date(2026, 3, 19, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("the clock says %s", h.clock())
	}
	c.want(422, "PUT", "/api/v1/clock", `{"now":"2026-03-10T12:00:00Z"}`)
}

// TestAPISessions lists who is online, beside what each should have.
func TestAPISessions(t *testing.T) {
	h := open(t)
	h.furnish()
	c := h.caller()
	all := c.want(200, "GET", "/api/v1/sessions", "")
	if n := len(at2[[]any](all, "items")); n != 10 {
		t.Errorf("%d sessions are listed", n)
	}
	one := c.want(200, "GET", "/api/v1/sessions?login=cliente05@isp", "")
	if at2[string](one, "items", 0, "applied") != "FULL 500M/250M" || at2[string](one, "items", 0, "wanted") != "REDUCED 50M/25M" || at2[bool](one, "items", 0, "settled") {
		t.Errorf("the session is %v", one)
	}
	page := c.want(200, "GET", "/api/v1/invoices?limit=7&state=unpaid", "")
	if page["next"] == nil {
		t.Errorf("the first page of invoices has no next: %v", page)
	}
	rest := c.want(200, "GET", fmt.Sprintf("/api/v1/invoices?limit=500&state=unpaid&after=%v", page["next"]), "")
	if rest["next"] != nil {
		t.Errorf("the last page of invoices has a next")
	}
}

// TestAPIProblems compares every kind of refusal with the golden file. Set -update to write it anew.
func TestAPIProblems(t *testing.T) {
	h := open(t)
	c := h.caller()
	c.want(201, "POST", "/api/v1/plans", `{"name":"P","price":"10.00","full":{"down_bps":1000000,"up_bps":1000000}}`)
	c.want(201, "POST", "/api/v1/customers", `{"name":"Maria","document":"52998224725"}`)
	c.want(201, "POST", "/api/v1/contracts", `{"customer_id":1,"plan_id":1,"due_day":10,"accesses":[{"login":"a","password":"b"}]}`)
	c.want(201, "POST", "/api/v1/contracts/1/invoices", `{"due":"2026-03-25","lines":[{"description":"x","amount":"80.00"}]}`)
	var out strings.Builder
	for _, ask := range [][3]string{
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":"12.345"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":12.34}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":"-5.00"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":"99999999999.00"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":"5.00","paid_on":"2026-02-30"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":"5.00","paid_on":"10/03/2026"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":"5.00","paid_on":"2027-01-01"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F00000001","amount":"5.00","colour":"red"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1","invoice":"F99999999","amount":"5.00"}`},
		{"POST", "/api/v1/payments", `{"external_id":"1"`},
		{"POST", "/api/v1/contracts", `{"customer_id":1,"plan_id":1,"due_day":32,"accesses":[{"login":"x","password":"y"}]}`},
		{"POST", "/api/v1/contracts", `{"customer_id":1,"plan_id":9,"due_day":3,"accesses":[{"login":"x","password":"y"}]}`},
		{"POST", "/api/v1/contracts", `{"customer_id":1,"plan_id":1,"due_day":3,"zone":"Mars/Olympus","accesses":[{"login":"x","password":"y"}]}`},
		{"POST", "/api/v1/contracts", `{"customer_id":1,"plan_id":1,"due_day":3,"accesses":[{"login":"a","password":"y"}]}`},
		{"POST", "/api/v1/contracts", `{"customer_id":1,"plan_id":1,"due_day":3,"accesses":[{"login":"x","password":"` + strings.Repeat("hunter2", 30) + `"}]}`},
		{"POST", "/api/v1/contracts/1/acts/trust-unblock", `{}`},
		{"POST", "/api/v1/contracts/1/acts/suspend", `{"from":"2026-05-01","until":"2026-04-01"}`},
		{"POST", "/api/v1/contracts/1/acts/explode", `{}`},
		{"POST", "/api/v1/contracts/7/acts/manual-block", `{}`},
		{"GET", "/api/v1/contracts/abc", ""},
		{"GET", "/api/v1/contracts", ""},
		{"GET", "/api/v1/contracts?colour=red", ""},
		{"GET", "/api/v1/invoices/nope", ""},
		{"GET", "/api/v1/invoices?due_from=2026-13-01", ""},
		{"POST", "/api/v1/customers", `{"name":"Bob","document":"11111111111"}`},
		{"POST", "/api/v1/customers", `{"name":"Bob","document":"529.982.247-25"}`},
		{"POST", "/api/v1/devices", `{"name":"n","source":"10.0.0.1/8","secret":"testing123","dialect":"mikrotik"}`},
		{"POST", "/api/v1/devices", `{"name":"n","source":"here","secret":"testing123","dialect":"mikrotik"}`},
		{"POST", "/api/v1/devices", `{"name":"n","source":"10.0.0.1","secret":"abc","dialect":"mikrotik"}`},
		{"PUT", "/api/v1/clock", `{"now":"yesterday"}`},
		{"GET", "/api/v1/nowhere", ""},
	} {
		status, text := c.call(ask[0], ask[1], ask[2])
		fmt.Fprintf(&out, "%s %s %s\n%d %s\n\n", ask[0], ask[1], regexp.MustCompile(`(hunter2)+`).ReplaceAllString(ask[2], "(210 bytes)"), status, strings.TrimSpace(text))
		if strings.Contains(text, "hunter2") || strings.Contains(text, "SQLSTATE") {
			t.Errorf("%s %s echoes what it should not: %s", ask[0], ask[1], text)
		}
	}
	c.token = "enlace_wrong"
	status, text := c.call("GET", "/api/v1/plans", "")
	fmt.Fprintf(&out, "GET /api/v1/plans with a wrong token\n%d %s\n\n", status, strings.TrimSpace(text))
	c.token = ""
	status, text = c.call("GET", "/api/v1/plans", "")
	fmt.Fprintf(&out, "GET /api/v1/plans without a token\n%d %s\n\n", status, strings.TrimSpace(text))
	h.pool.Close()
	c.token = "enlace_whatever"
	status, text = c.call("GET", "/api/v1/plans", "")
	fmt.Fprintf(&out, "GET /api/v1/plans without a database\n%d %s\n", status, regexp.MustCompile(`under [0-9a-f]{12}`).ReplaceAllString(strings.TrimSpace(text), "under (id)"))
	golden(t, "problems.txt", out.String())
}

// TestOpenAPI is about the description that clients are made from.
func TestOpenAPI(t *testing.T) {
	h := open(t)
	c := &caller{h, ""}
	d := c.want(200, "GET", "/openapi.json", "")
	if !strings.HasPrefix(at2[string](d, "openapi"), "3.1") {
		t.Errorf("openapi is %v", d["openapi"])
	}
	var out strings.Builder
	for _, path := range sortedKeys(at2[map[string]any](d, "paths")) {
		for _, method := range sortedKeys(at2[map[string]any](d, "paths", path)) {
			fmt.Fprintf(&out, "%s %s %s\n", strings.ToUpper(method), path, at2[string](d, "paths", path, method, "operationId"))
		}
	}
	golden(t, "operations.txt", out.String())
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what it was:\n%s", path, got)
	}
}
