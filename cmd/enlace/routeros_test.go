package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	"enlace/nas/nastest"
	naspg "enlace/nas/pg"
)

// router is a MikroTik access server of a program's, with its API.
type router struct {
	p    *program
	nas  *nastest.NAS
	api  *nastest.RouterOS
	pool *pgxpool.Pool
	seal *sealer
}

const storyClock = "2026-03-02T09:00:00-03:00"

func newRouter(p *program, quirks nastest.RouterOSQuirks) *router {
	p.t.Helper()
	t := p.t
	r := &router{p: p}
	var err error
	if r.seal, err = openSealer(&Config{DataDir: p.dir}); err != nil {
		t.Fatal(err)
	}
	if r.pool, err = pgxpool.New(context.Background(), p.database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.pool.Close)
	at, err := time.Parse(time.RFC3339, storyClock)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("radius-secret")
	if r.nas, err = nastest.New(nastest.Config{Dialect: "mikrotik", AuthAddr: p.auth, AcctAddr: p.acct, Secret: secret, NASIdentifier: "bras-1", Interim: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nas.Close)
	authority, err := nastest.NewAuthority("routers")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue("bras-1", nil, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if r.api, err = r.nas.ServeRouterOS(nastest.RouterOSConfig{User: "enlace", Password: "api-password", Certificate: certificate, Quirks: quirks}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.api.Close)
	d := nas.Device{Name: "bras-1", Source: netip.MustParsePrefix("127.0.0.1/32"), Secret: secret, Dialect: "mikrotik", CoA: r.nas.CoAAddr(),
		MessageAuthenticator: nas.RequireMA, LimitProxyState: nas.LearnProxyState, InterimSeconds: 300, CommandsPerSecond: 100,
		API: nas.API{Addr: r.api.Addr(), User: "enlace", Password: []byte("api-password"), Certificate: r.api.Fingerprint()}}
	if err := r.devices().CreateDevice(context.Background(), "test", at, &d); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *router) devices() *naspg.Store { return &naspg.Store{Pool: r.pool, Sealer: r.seal} }

// tool runs one of the program's commands on its database.
func (r *router) tool(args ...string) (code int, out, errOut string) {
	r.p.t.Helper()
	var o, e bytes.Buffer
	code = run(context.Background(), append(args, "--database-url", r.p.database, "--data-dir", r.p.dir, "--clock", storyClock), &o, &e)
	for _, secret := range []string{"api-password", "radius-secret", "pw-ana", "pw-bia"} {
		if strings.Contains(o.String()+e.String(), secret) {
			r.p.t.Errorf("enlace %s prints %q", strings.Join(args, " "), secret)
		}
	}
	return code, o.String(), e.String()
}

func TestRouterOSFactsAndCheck(t *testing.T) {
	r := newRouter(start(t, storyClock), nastest.RouterOSQuirks{})
	code, out, errOut := r.tool("routeros", "facts", "bras-1")
	if code != 0 || !strings.Contains(out, "CCR2116-12G-4S+") || !strings.Contains(out, "7.16.2") {
		t.Fatalf("status %d\n%s%s", code, out, errOut)
	}
	var facts map[string]any
	if code, out, _ := r.tool("routeros", "facts", "bras-1", "--output", "json"); code != 0 || json.Unmarshal([]byte(out), &facts) != nil || facts["uptime_seconds"] != float64(2204592) {
		t.Fatalf("status %d\n%s", code, out)
	}
	if code, out, errOut := r.tool("routeros", "facts", "bras-2"); code != 1 || out != "" || !strings.Contains(errOut, "bras-2") {
		t.Fatalf("a device that is not there: %d %q %q", code, out, errOut)
	}

	r.api.Fill("/radius", nastest.Item{"service": "ppp", "address": "192.0.2.10", "secret": "not ours", "authentication-port": "1812", "accounting-port": "1813", "timeout": "300ms"})
	r.api.Fill("/radius/incoming", nastest.Item{"accept": "false", "port": "3799"})
	r.api.Fill("/ppp/aaa", nastest.Item{"use-radius": "true", "accounting": "true", "interim-update": "0s"})
	r.api.Fill("/ip/dns", nastest.Item{"allow-remote-requests": "false"})
	r.api.Fill("/system/ntp/client", nastest.Item{"enabled": "true"})
	code, out, errOut = r.tool("routeros", "check", "bras-1", "--server", "192.0.2.10", "--walled-portal", "https://conta.example.net/pay", "--host", "pix.example.net")
	port := r.nas.CoAAddr().Port()
	for _, want := range []string{"timeout is 300ms", "the shared secret is not the one", "/radius incoming set accept=yes port=" + itoa(port), "timeout=3s", "/ppp aaa set interim-update=5m0s",
		"action=reject", "address=conta.example.net", "address=pix.example.net", "secret=PASTE-THE-SECRET"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, errOut)
		}
	}
	if code != 1 {
		t.Errorf("status %d for a router that is wrong", code)
	}
	code, commands, _ := r.tool("routeros", "check", "bras-1", "--server", "192.0.2.10", "--output", "commands")
	for line := range strings.Lines(commands) {
		if !strings.HasPrefix(line, "/") {
			t.Errorf("not a command: %q", line)
		}
	}
	if code != 1 || commands == "" {
		t.Errorf("status %d, commands %q", code, commands)
	}
}

// Secrets of a router become contracts whose logins work, once.
func TestImportOfPPPSecrets(t *testing.T) {
	p := start(t, storyClock)
	r := newRouter(p, nastest.RouterOSQuirks{})
	r.api.Fill("/ppp/profile", nastest.Item{"name": "default"}, nastest.Item{"name": "fibra-50", "rate-limit": "10M/50M"},
		nastest.Item{"name": "fibra-500", "rate-limit": "250M/500M 300M/600M"}, nastest.Item{"name": "unused", "rate-limit": "1M/1M"})
	r.api.Fill("/ppp/secret",
		nastest.Item{"name": "ana@isp", "password": "pw-ana", "service": "pppoe", "profile": "fibra-50", "comment": "Ana Souza", "caller-id": "", "disabled": "false"},
		nastest.Item{"name": "bia@isp", "password": "pw-bia", "service": "any", "profile": "fibra-500", "comment": "Jo\xe3o e Bia", "remote-address": "198.51.100.7", "disabled": "false"},
		nastest.Item{"name": "caio@isp", "password": "pw-ana", "service": "pppoe", "profile": "default", "disabled": "false"},
		nastest.Item{"name": "off@isp", "password": "pw-ana", "service": "pppoe", "profile": "fibra-50", "disabled": "true"},
		nastest.Item{"name": "vpn", "password": "pw-ana", "service": "l2tp", "profile": "fibra-50", "disabled": "false"},
		nastest.Item{"name": "hidden@isp", "password": "*****", "service": "pppoe", "profile": "fibra-50", "disabled": "false"},
		nastest.Item{"name": "", "password": "pw-ana", "service": "pppoe", "profile": "fibra-50", "disabled": "false"},
		nastest.Item{"name": "a\x00b", "password": "pw-ana", "service": "pppoe", "profile": "fibra-50", "disabled": "false"},
		nastest.Item{"name": "ana@isp", "password": "pw-other", "service": "l2tp", "profile": "fibra-50", "disabled": "false"},
	)
	store := &contractspg.Store{Pool: r.pool, Sealer: r.seal}
	fibra50 := contracts.Plan{Name: "Fibra 50", Price: 9990, Full: contracts.Profile{DownBps: 50e6, UpBps: 10e6}, ReducedPercent: 10}
	at, _ := time.Parse(time.RFC3339, storyClock)
	if err := store.CreatePlan(context.Background(), "test", at, &fibra50); err != nil {
		t.Fatal(err)
	}
	rows := func() (n int) {
		if err := r.pool.QueryRow(context.Background(), `select (select count(*) from customer) + (select count(*) from contract) + (select count(*) from access) + (select count(*) from plan)`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := rows()

	code, out, errOut := r.tool("import", "routeros", "bras-1", "--dry-run", "--create-plans", "--plan-price", "149.90")
	if code != 0 || rows() != before {
		t.Fatalf("dry run: status %d, %d rows, %d before\n%s%s", code, rows(), before, out, errOut)
	}
	for _, want := range []string{"would make plan \"fibra-500\"", "FULL 500M/250M", "Ana Souza", "João e Bia", "plan Fibra 50", "2 would be brought in", "7 left out",
		"\"default\" has no rate-limit", "disabled on the router", "for l2tp", "policy sensitive", "has the login twice"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}

	// Without leave to make plans, what has none is left out.
	if _, out, _ := r.tool("import", "routeros", "bras-1", "--dry-run"); !strings.Contains(out, "no plan has the rates of profile \"fibra-500\"") || !strings.Contains(out, "1 would be brought in") {
		t.Errorf("without --create-plans:\n%s", out)
	}

	args := []string{"import", "routeros", "bras-1", "--create-plans", "--plan-price", "149.90", "--due-day", "5", "--plan", "default=Fibra 50"}
	if code, out, errOut = r.tool(args...); code != 0 || !strings.Contains(out, "9 secrets: 3 brought in, 0 known already, 6 left out") {
		t.Fatalf("status %d\n%s%s", code, out, errOut)
	}
	after := rows()
	if after != before+3*3+1 {
		t.Errorf("%d rows, %d before", after, before)
	}
	// Again, nothing changes.
	if code, out, errOut = r.tool(args...); code != 0 || rows() != after || !strings.Contains(out, "9 secrets: 0 brought in, 4 known already, 5 left out") {
		t.Errorf("again: status %d, %d rows, %d before\n%s%s", code, rows(), after, out, errOut)
	}

	plans, err := store.Plans(context.Background(), at.Add(time.Minute))
	if err != nil || !slices.ContainsFunc(plans, func(q contracts.Plan) bool { return q.Name == "fibra-500" && q.Price == 14990 }) {
		t.Errorf("plans %+v, %v", plans, err)
	}
	id, _, err := store.FindLogin(context.Background(), "bia@isp")
	if err != nil {
		t.Fatal(err)
	}
	c, err := store.Contract(context.Background(), id)
	if err != nil || c.DueDay != 5 || c.BillingAnchor.String() != "2026-03-02" || c.Accesses[0].Line.Addresses.IPv4.String() != "198.51.100.7" {
		t.Errorf("contract %+v, %v", c, err)
	}

	// The logins work, with the passwords and rates that they had.
	p.eventually("bia logs in", func() error {
		s, err := r.nas.Login(context.Background(), "bia@isp", "pw-bia", nastest.CHAP)
		if err == nil && (s.Rates() != contracts.Profile{DownBps: 500e6, UpBps: 250e6} || s.IP().String() != "198.51.100.7") {
			t.Errorf("rates %+v, address %s", s.Rates(), s.IP())
		}
		return err
	})
}

func itoa(n uint16) string {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), n).String()[len("0.0.0.0:"):]
}

// A router that answers no command is told by its API: a block ends the session, a faster plan is given to it as it is.
func TestLastResort(t *testing.T) {
	p := start(t, storyClock)
	r := newRouter(p, nastest.RouterOSQuirks{})
	r.api.Fill("/ppp/profile", nastest.Item{"name": "fibra-50", "rate-limit": "10M/50M"}, nastest.Item{"name": "fibra-500", "rate-limit": "250M/500M"})
	r.api.Fill("/ppp/secret", nastest.Item{"name": "ana@isp", "password": "pw-ana", "service": "pppoe", "profile": "fibra-50", "disabled": "false"},
		nastest.Item{"name": "bia@isp", "password": "pw-bia", "service": "pppoe", "profile": "fibra-500", "disabled": "false"})
	if code, out, errOut := r.tool("import", "routeros", "bras-1", "--create-plans"); code != 0 {
		t.Fatalf("status %d\n%s%s", code, out, errOut)
	}
	store := &contractspg.Store{Pool: r.pool, Sealer: r.seal}
	id, _, err := store.FindLogin(context.Background(), "ana@isp")
	if err != nil {
		t.Fatal(err)
	}
	contract := fmt.Sprintf("/api/v1/contracts/%d/acts/", id)
	var line *nastest.Session
	login := func() {
		p.eventually("ana logs in", func() (err error) {
			line, err = r.nas.Login(context.Background(), "ana@isp", "pw-ana", nastest.PAP)
			return err
		})
	}
	login()
	r.nas.SetQuirks(nastest.Quirks{Deaf: true})

	fast := 0.0
	for _, plan := range p.api("GET", "/api/v1/plans", nil, 200)["items"].([]any) {
		if plan := plan.(map[string]any); plan["name"] == "fibra-500" {
			fast = plan["id"].(float64)
		}
	}
	told := func(what string, done func() bool, want string) {
		t.Helper()
		p.eventually(what, func() error {
			if !done() {
				return fmt.Errorf("online %t, rates %+v", line.Online(), line.Rates())
			}
			commands, err := r.devices().CommandsOf(context.Background(), "ana@isp", 0)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(commands, func(c nas.CommandRecord) bool {
				return c.Method == nas.ViaAPI && c.Answer == nas.Acked && c.Want == want
			}) {
				return fmt.Errorf("commands %+v", commands)
			}
			return nil
		})
	}
	p.api("POST", contract+"plan-change", object{"plan_id": fast}, 200)
	told("the rates rise as the session is", func() bool {
		return line.Online() && line.Rates() == contracts.Profile{DownBps: 500e6, UpBps: 250e6}
	}, "FULL 500M/250M")

	p.api("POST", contract+"manual-block", object{"reason": "story"}, 200)
	told("the session is ended", func() bool { return !line.Online() }, "WALLED 1M/1M")
	for _, q := range r.api.Items("/queue/simple") {
		if q["comment"] == "enlace" {
			t.Errorf("a queue is left: %v", q)
		}
	}
}
