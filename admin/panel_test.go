package admin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"enlace/admin"
	adminpg "enlace/admin/pg"
	"enlace/contracts"
)

// get answers with status, body and where it leads.
func (h *house) get(path string, header ...string) (int, string, string) {
	h.Helper()
	return h.ask(http.MethodGet, path, nil, header...)
}

func (h *house) post(path string, fields url.Values, header ...string) (int, string, string) {
	h.Helper()
	return h.ask(http.MethodPost, path, fields, header...)
}

func (h *house) ask(method, path string, fields url.Values, header ...string) (int, string, string) {
	h.Helper()
	req, err := http.NewRequest(method, h.server.URL+path, strings.NewReader(fields.Encode()))
	h.must(err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := h.client.Do(req)
	h.must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	h.must(err)
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self'") {
		h.Errorf("%s has the content security policy %q", path, csp)
	}
	return resp.StatusCode, string(b), resp.Header.Get("Location")
}

func (h *house) signIn() {
	h.Helper()
	status, _, to := h.post("/signin", url.Values{"username": {"ana"}, "password": {h.password}})
	if status != http.StatusSeeOther || to != "/" {
		h.Fatalf("signing in answers %d to %q", status, to)
	}
}

// act posts a form on a contract's page and gives the page that follows.
func (h *house) act(id contracts.ContractID, act string, fields url.Values) string {
	h.Helper()
	status, _, to := h.post(fmt.Sprintf("/contracts/%d/acts/%s", id, act), fields)
	if status != http.StatusSeeOther {
		h.Fatalf("%s answers %d", act, status)
	}
	status, body, _ := h.get(to)
	if status != http.StatusOK {
		h.Fatalf("%s leads to %s, which answers %d", act, to, status)
	}
	return body
}

func (h *house) status(id contracts.ContractID) contracts.Status {
	h.Helper()
	d, err := h.contracts.Dossier(h.ctx, id, h.clock())
	h.must(err)
	return d.Timeline(contracts.Options{}).Spans.At(h.clock()).Status
}

// every page that staff can read, on a furnished house.
func pagesOf(h *house) []string {
	blocked := h.byName["Ana Beatriz Lima"]
	pages := []string{"/", "/customers", "/customers?q=maria", "/customers/new", "/customers/1", "/customers/1/edit", "/customers/1/contracts/new",
		"/invoices", "/invoices?state=unpaid", "/invoices?state=cancelled", "/invoices/F00000010", "/sessions", "/sessions?q=100.64&device=1", "/upcoming", "/upcoming?days=7",
		"/network", "/network?answer=nak&method=coa&device=1&login=x", "/devices", "/devices/new", "/devices?q=bras&pop=x&dialect=y", "/devices/1", "/devices/1/edit", "/devices/2", "/plans", "/plans/new", "/plans/1", "/search?q=cliente", "/search?q=",
		fmt.Sprintf("/contracts/%d?months=1", blocked), fmt.Sprintf("/contracts/%d?months=12", blocked), fmt.Sprintf("/contracts/%d?months=all", blocked)}
	for _, id := range h.byName {
		pages = append(pages, fmt.Sprintf("/contracts/%d", id))
	}
	return pages
}

// TestPages reads every page in both languages as staff, and as nobody.
func TestPages(t *testing.T) {
	h := open(t)
	h.furnish()
	for _, page := range pagesOf(h) {
		if status, _, to := h.get(page); status != http.StatusSeeOther || !strings.HasPrefix(to, "/signin") {
			t.Errorf("%s answers an unknown visitor with %d to %q", page, status, to)
		}
	}
	h.signIn()
	var hash string
	h.must(h.pool.QueryRow(h.ctx, `select password_hash from staff`).Scan(&hash))
	for _, language := range []string{"en", "pt-BR"} {
		for _, page := range pagesOf(h) {
			status, body, _ := h.get(page, "Accept-Language", language)
			if status != http.StatusOK {
				t.Fatalf("%s answers %d: %s", page, status, body)
			}
			for _, secret := range []string{"never-shown", h.password, hash, "argon2id"} {
				if strings.Contains(body, secret) {
					t.Errorf("%s shows a secret", page)
				}
			}
			if strings.Contains(body, "<script>alert") || strings.Contains(body, "%!") || strings.Contains(body, "style=") {
				t.Errorf("%s has raw markup, a broken format or an inline style", page)
			}
			if want := map[string]string{"en": "Online sessions", "pt-BR": "Sessões online"}[language]; !strings.Contains(body, want) {
				t.Errorf("%s is not in %s", page, language)
			}
		}
	}
	if _, body, _ := h.get("/", "Accept-Language", "pt-BR"); !strings.Contains(body, "a senha PAP não confere") {
		t.Error("why a login was refused is not said in Portuguese")
	}
	_, body, _ := h.get(fmt.Sprintf("/contracts/%d", h.byName[hostile]))
	if !strings.Contains(body, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;Filhos&#34;") {
		t.Error("a hostile name is not shown escaped")
	}
	for path, want := range map[string]int{"/contracts/999": 404, "/contracts/x": 404, "/nowhere": 404, "/invoices/none": 404, "/customers/0": 404, "/devices/77": 404, "/plans/9": 404, "/logins?login=nobody": 404, "/invoices?state=odd": 422} {
		if status, body, _ := h.get(path); status != want || !strings.Contains(body, "<html") {
			t.Errorf("%s answers %d", path, status)
		}
	}
	if status, _, to := h.get("/search?q=cliente04"); status != http.StatusSeeOther || to != fmt.Sprintf("/contracts/%d", h.byName["Ana Beatriz Lima"]) {
		t.Errorf("a search with one result leads to %d %q", status, to)
	}
}

func TestSignIn(t *testing.T) {
	h := open(t)
	if _, body, _ := h.get("/signin?next=//evil.example/"); !strings.Contains(body, `name="next" value="/"`) {
		t.Error("the sign-in page leads to another site")
	}
	for _, fields := range []url.Values{{"username": {"ana"}, "password": {"wrong"}}, {"username": {"nobody"}, "password": {h.password}}, {"username": {"ana\x00"}, "password": {h.password}}, {}} {
		if status, body, _ := h.post("/signin", fields); status != http.StatusUnauthorized || strings.Contains(body, h.password) {
			t.Errorf("signing in as %v answers %d", fields, status)
		}
	}
	status, _, to := h.post("/signin", url.Values{"username": {"ana"}, "password": {h.password}, "next": {"/plans"}})
	if status != http.StatusSeeOther || to != "/plans" {
		t.Fatalf("signing in answers %d to %q", status, to)
	}
	var tokens, refused int
	h.must(h.pool.QueryRow(h.ctx, `select count(*) from staff_session`).Scan(&tokens))
	h.must(h.pool.QueryRow(h.ctx, `select count(*) from audit where act = 'signin' and result = 'wrong_password'`).Scan(&refused))
	if tokens != 1 || refused != 4 {
		t.Errorf("there are %d sign-ins and %d refused ones on record", tokens, refused)
	}
	if status, _, _ := h.get("/"); status != http.StatusOK {
		t.Errorf("the overview answers %d", status)
	}
	// An account that was disabled is out at once.
	_, err := h.pool.Exec(h.ctx, `update staff set disabled_at = now()`)
	h.must(err)
	if status, _, to := h.get("/"); status != http.StatusSeeOther || to != "/signin" {
		t.Errorf("a disabled account is answered %d to %q", status, to)
	}
	_, err = h.pool.Exec(h.ctx, `update staff set disabled_at = null`)
	h.must(err)
	h.signIn()
	if status, _, _ := h.post("/signout", nil); status != http.StatusSeeOther {
		t.Errorf("signing out answers %d", status)
	}
	if status, _, _ := h.get("/"); status != http.StatusSeeOther {
		t.Errorf("after signing out the overview answers %d", status)
	}
	h.signIn()
	other := h.client
	h.client = newBrowser()
	h.signIn()
	h.password = "a new password"
	h.must((&adminpg.Store{Pool: h.pool}).SetPassword(h.ctx, "test", "ana", h.password, h.clock()))
	for _, h.client = range []*http.Client{h.client, other} {
		if status, _, to := h.get("/"); status != http.StatusSeeOther || to != "/signin" {
			t.Errorf("a browser signed in with a password that was replaced is answered %d to %q", status, to)
		}
	}
	h.signIn()
	if _, body, _ := h.post("/signin", url.Values{"username": {strings.Repeat("x", 900_000)}, "password": {"wrong"}}); len(body) > 10_000 {
		t.Errorf("a user name without end comes back on a page of %d bytes", len(body))
	}
	for i := range 30 {
		status, _, _ := h.post("/signin", url.Values{"username": {"ana"}, "password": {"wrong"}})
		if status == http.StatusTooManyRequests {
			return
		}
		if i == 29 {
			t.Error("nobody stops the thirtieth guess")
		}
	}
}

func TestCrossSiteRequestsAreRefused(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	id := h.byName["Maria Aparecida de Souza"]
	path := fmt.Sprintf("/contracts/%d/acts/manual-block", id)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}} {
		if status, _, _ := h.post(path, nil, header...); status != http.StatusForbidden {
			t.Errorf("a post with %v answers %d", header, status)
		}
	}
	if status, _, _ := h.get(path); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
		t.Errorf("a GET of an act answers %d", status)
	}
	if s := h.status(id); s != contracts.Active {
		t.Errorf("the contract is %s", s)
	}
}

// TestActsThroughForms does what an operator does, and looks at what became of it.
func TestActsThroughForms(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	blocked := h.byName["Ana Beatriz Lima"]
	if h.status(blocked) != contracts.BlockedAuto {
		t.Fatalf("Ana is %s", h.status(blocked))
	}
	if body := h.act(blocked, "trust-unblock", url.Values{"reason": {"prometeu <b>pagar</b>"}}); !strings.Contains(body, "Released on trust") || strings.Contains(body, "<b>pagar") {
		t.Error("the page does not say that Ana is released, or shows her reason raw")
	}
	if h.status(blocked) != contracts.ReleasedTrust {
		t.Errorf("after the trust unblock Ana is %s", h.status(blocked))
	}
	if body := h.act(blocked, "trust-unblock", nil); !strings.Contains(body, "Refused: ") {
		t.Error("a second trust unblock is not refused on the page")
	}
	h.act(blocked, "manual-block", nil)
	if h.status(blocked) != contracts.BlockedManual {
		t.Errorf("after the manual block Ana is %s", h.status(blocked))
	}
	page := h.act(blocked, "manual-unblock", nil)
	// Her two debts are paid in full; the same form twice counts once.
	for range 2 {
		form := regexp.MustCompile(`name="invoice"><option value="(F\d+)"[\s\S]*?name="id" value="(panel:[0-9a-f]+)"[\s\S]*?name="amount"[^>]*value="([0-9.]+)"`).FindStringSubmatch(page)
		if form == nil {
			t.Fatalf("there is no payment form: %s", page)
		}
		fields := url.Values{"invoice": {form[1]}, "id": {form[2]}, "amount": {form[3]}, "paid_on": {"2026-03-18"}, "method": {"pix"}}
		page = h.act(blocked, "payment", fields)
		if again := h.act(blocked, "payment", fields); !strings.Contains(again, "already recorded") {
			t.Error("the same payment form was counted twice")
		}
	}
	if h.status(blocked) != contracts.Active {
		t.Errorf("after the payments Ana is %s", h.status(blocked))
	}
	if body := h.act(blocked, "payment", url.Values{"invoice": {"F00000010"}, "id": {"x"}, "amount": {"abc"}, "method": {"pix"}}); !strings.Contains(body, "is not an amount of money") {
		t.Error("a wrong amount is not explained")
	}
	pending := h.byName["Rafael Teixeira Dias"]
	h.act(pending, "activate", nil)
	if h.status(pending) != contracts.Active {
		t.Errorf("after activation Rafael is %s", h.status(pending))
	}
	h.act(pending, "access-disable", url.Values{"access": {"9"}})
	if st, _ := (directory{h}).Standing("cliente09@isp", 0, h.clock()); !st.Disabled {
		t.Error("the access was not switched off")
	}
	h.act(pending, "cancel", url.Values{"reason": {"desistiu"}})
	if h.status(pending) != contracts.Terminated {
		t.Errorf("after cancelling Rafael is %s", h.status(pending))
	}
	if status, _, _ := h.post("/sessions/disconnect", url.Values{"device": {"1"}, "session": {"81000000"}, "back": {"/sessions"}}); status != http.StatusSeeOther {
		t.Errorf("disconnecting answers %d", status)
	}
	if key := <-h.cut; key.ID != "81000000" || key.Device != 1 {
		t.Errorf("the session cut is %v", key)
	}
	if status, _, to := h.post("/clock", url.Values{"advance": {"24h"}, "back": {"/plans"}}); status != http.StatusSeeOther || to != "/plans" || !h.clock().Truncate(time.Minute).Equal(at("2026-03-19 10:20")) {
		t.Errorf("moving the clock answers %d to %q, and it says %s", status, to, h.clock())
	}
}

// TestRecordingThroughForms starts with nothing and records plan, device, customer, contract and access.
func TestRecordingThroughForms(t *testing.T) {
	h := open(t)
	h.signIn()
	if status, body, _ := h.post("/plans", url.Values{"name": {"Fibra"}, "price": {"abc"}, "down_bps": {"500M"}, "up_bps": {"250M"}, "reduced_percent": {"10"}}); status != 422 || !strings.Contains(body, "field-error") || !strings.Contains(body, `value="abc"`) {
		t.Errorf("a wrong price answers %d", status)
	}
	if status, _, to := h.post("/plans", url.Values{"name": {"Fibra"}, "price": {"1.099,90"}, "down_bps": {"500M"}, "up_bps": {"250M"}, "reduced_percent": {"10"}, "profile_name": {"fibra_500.x"}}); status != 303 || to != "/plans" {
		t.Errorf("a plan answers %d to %q", status, to)
	}
	if plans, err := h.contracts.Plans(h.ctx, h.clock()); err != nil || plans[0].Price != 1099_90 || plans[0].Full != (contracts.Profile{DownBps: 500e6, UpBps: 250e6, Name: "fibra_500.x"}) {
		t.Errorf("the plan is %+v, %v", plans, err)
	}
	device := url.Values{"name": {"bras"}, "source": {"10.0.0.1"}, "secret": {" sp aces "}, "dialect": {"accel-ppp"}, "coa": {"10.0.0.1"}, "message_authenticator": {"yes"}}
	if status, body, _ := h.post("/devices", url.Values{"name": {"bras"}, "source": {"nowhere"}, "secret": {"my-secret"}, "dialect": {"mikrotik"}}); status != 422 || strings.Contains(body, "my-secret") {
		t.Errorf("a wrong device answers %d, or gives the secret back", status)
	}
	if status, _, _ := h.post("/devices", device); status != 303 {
		t.Errorf("a device answers %d", status)
	}
	device.Set("name", "bras-2")
	device.Set("secret", "")
	if status, _, _ := h.post("/devices/1", device); status != 303 {
		t.Errorf("editing the device answers %d", status)
	}
	if d, err := h.devices.Device(h.ctx, 1); err != nil || string(d.Secret) != " sp aces " || d.Name != "bras-2" || d.CoA.Port() != 3799 {
		t.Errorf("the device is %+v, %v", d, err)
	}
	customer := url.Values{"name": {"Maria"}, "document": {"529.982.247-25"}, "plan": {"1"}, "due_day": {"10"}, "timing": {"postpaid"}, "zone": {"America/Manaus"},
		"billing_anchor": {"2026-03-18"}, "auto_block": {"yes"}, "trust_enabled": {"yes"}, "login": {"maria@isp"}, "password": {"her-password"}}
	for field, wrong := range map[string]string{"document": "123", "zone": "Mars", "due_day": "40", "login": "", "password": ""} {
		bad := url.Values{}
		for k, v := range customer {
			bad[k] = v
		}
		if bad.Set(field, wrong); field == "login" {
			continue // without a login only the customer is recorded
		}
		if status, body, _ := h.post("/customers", bad); status != 422 || !strings.Contains(body, "field-error") || strings.Contains(body, "her-password") {
			t.Errorf("a wrong %s answers %d, without an error at the field, or gives the password back", field, status)
		}
	}
	var n int
	h.must(h.pool.QueryRow(h.ctx, `select count(*) from customer`).Scan(&n))
	if n != 0 {
		t.Errorf("%d customers were recorded by wrong forms", n)
	}
	if status, _, to := h.post("/customers", customer); status != 303 || to != "/contracts/1" {
		t.Errorf("a customer with a contract answers %d to %q", status, to)
	}
	customer.Set("document", "")
	if status, body, _ := h.post("/customers", customer); status != 422 || !strings.Contains(body, "taken") {
		t.Errorf("a login that is taken answers %d", status)
	}
	if status, _, _ := h.post("/contracts/1/accesses", url.Values{"login": {"maria2@isp"}, "password": {"x"}}); status != 303 {
		t.Errorf("another access answers %d", status)
	}
	if status, _, _ := h.post("/contracts/1/accesses/2/password", url.Values{"password": {"y"}}); status != 303 {
		t.Errorf("another password answers %d", status)
	}
	if c, err := h.contracts.Contract(h.ctx, 1); err != nil || len(c.Accesses) != 2 || c.Zone.String() != "America/Manaus" {
		t.Errorf("the contract is %+v, %v", c, err)
	}
	if status, _, _ := h.post("/devices/1/retire", nil); status != 303 {
		t.Errorf("retiring answers %d", status)
	}
	if status, _, _ := h.post("/customers/1", url.Values{"name": {"Maria S."}}); status != 303 {
		t.Errorf("editing the customer answers %d", status)
	}
	if status, _, _ := h.post("/preferences", url.Values{"lang": {"pt"}, "theme": {"dark"}, "back": {"https://evil.example"}}); status != 303 {
		t.Errorf("preferences answer %d", status)
	}
	if _, body, _ := h.get("/plans"); !strings.Contains(body, `lang="pt-BR" data-theme="dark"`) || !strings.Contains(body, "R$ 1.099,90") {
		t.Error("the preferences are not kept")
	}
}

func TestNobodyWillBeRestrictedIsSaidLoudly(t *testing.T) {
	h := open(t, func(c *admin.Config) { c.NoticeChannels, c.SetClock = nil, nil })
	h.signIn()
	_, body, _ := h.get("/")
	if !strings.Contains(body, "nobody will be restricted") || strings.Contains(body, `action="/clock"`) {
		t.Error("the overview does not warn, or offers to move a real clock")
	}
	if status, _, _ := h.post("/clock", url.Values{"advance": {"1h"}}); status != http.StatusNotFound {
		t.Errorf("moving a real clock answers %d", status)
	}
}

func TestHealth(t *testing.T) {
	h := open(t)
	if status, body, _ := h.get("/healthz"); status != 200 || !strings.Contains(body, `"ok":true`) {
		t.Errorf("health answers %d %s", status, body)
	}
	if status, body, _ := h.get("/assets/panel.css"); status != 200 || len(body) < 1000 {
		t.Errorf("the style sheet answers %d", status)
	}
	h.pool.Close()
	if status, body, _ := h.post("/signin", url.Values{"username": {"ana"}, "password": {"x"}}); status != 500 || !regexp.MustCompile(`under [0-9a-f]{12}`).MatchString(body) || strings.Contains(body, "closed pool") {
		t.Errorf("an error that is not the database's absence answers %d: %s", status, body)
	}
	h.health.Database, h.health.OK = "unreachable", false
	h.health.AwaySince, h.health.Snapshot = h.clock(), h.clock().Add(-time.Hour)
	if status, body, _ := h.get("/healthz"); status != 503 || !strings.Contains(body, `"database":"unreachable"`) || !strings.Contains(body, `"serving_snapshot_of":"`) {
		t.Errorf("health answers %d %s", status, body)
	}
	if status, body, _ := h.get("/signin"); status != 200 {
		t.Errorf("without a database the sign-in page answers %d: %s", status, body)
	}
	if status, body, _ := h.post("/signin", url.Values{"username": {"ana"}, "password": {"x"}}); status != 503 || !strings.Contains(body, "go on from memory") || !strings.Contains(body, "snapshot of") || strings.Contains(body, "closed pool") {
		t.Errorf("without a database signing in answers %d: %s", status, body)
	}
}

func TestFirstAccountIsMadeOnce(t *testing.T) {
	h := open(t)
	if _, created, err := adminpg.EnsureStaff(h.ctx, h.pool, "bob", h.clock()); err != nil || created {
		t.Errorf("a second first account: %v, %v", created, err)
	}
	if !regexp.MustCompile(`^([a-z2-9]{5}-){3}[a-z2-9]{5}$`).MatchString(h.password) {
		t.Errorf("the password is %q", h.password)
	}
	store := &adminpg.Store{Pool: h.pool}
	if err := store.CreateAccount(h.ctx, "test", "ana", "another-password", h.clock()); err == nil {
		t.Error("two accounts have one name")
	}
	h.must(store.SetPassword(h.ctx, "test", "ana", "another-password", h.clock()))
	h.password = "another-password"
	h.signIn()
	token, err := store.CreateToken(h.ctx, "test", "erp", h.clock())
	h.must(err)
	c := &caller{h, token}
	c.want(200, "GET", "/api/v1/plans", "")
	if list, err := store.Tokens(h.ctx); err != nil || len(list) != 1 || list[0].LastUsed.IsZero() {
		t.Errorf("the tokens are %+v, %v", list, err)
	}
	if _, err := store.RevokeTokens(h.ctx, "test", "erp", h.clock()); err != nil {
		t.Error(err)
	}
	c.want(401, "GET", "/api/v1/plans", "")
}
