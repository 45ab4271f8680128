package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas/nastest"
)

// act is one access server in the vendors' story, with a line of Maria's behind it.
type act struct {
	vendor, title string // a section of testdata/vendors/VENDOR.txt
	dialect       string // default: the vendor's own
	// quirks it has from a stage on, until another says otherwise.
	quirks map[string]nastest.Quirks
	config func(*nastest.Config) // beside what all have; may be nil
	// redials says that its subscriber hangs up and dials again in every stage: it cannot be told anything.
	redials bool
	api     bool // it has an API, the last resort
	// mend is what its operator does about it when the subscriber is off line; may be nil.
	mend func(*nastest.NAS)
	// noisy says that chance decides which commands it takes: only what they lead to is held.
	noisy bool

	nas    *nastest.NAS
	device int64
	line   *nastest.Session
	ends   []string // what it had at the end of each stage
}

// stage is a time of the story, and what the contract says then.
type stage struct {
	name, before, at string // before: the last word of each session under the old service
	service          string
	rates            contracts.Profile
	walled           bool
}

var stages = []stage{
	{"login", "", "2026-01-15 10:00:00", "FULL 500M/250M", contracts.Profile{DownBps: 500e6, UpBps: 250e6}, false},
	{"16 days overdue", "2026-02-26 08:55:00", "2026-02-26 09:00:00", "REDUCED 50M/25M", contracts.Profile{DownBps: 50e6, UpBps: 25e6}, false},
	{"30 days overdue", "2026-03-12 08:55:00", "2026-03-12 09:00:00", "WALLED 1M/1M", contracts.Profile{DownBps: 1e6, UpBps: 1e6}, true},
	{"paid", "2026-03-12 19:55:00", "2026-03-12 20:00:00", "FULL 500M/250M", contracts.Profile{DownBps: 500e6, UpBps: 250e6}, false},
}

// named are the policies of access servers that know rates by name, as the dialects call them.
var named = map[string]nastest.Policy{
	"enlace-up-250000k": {Rates: contracts.Profile{UpBps: 250e6}}, "enlace-down-500000k": {Rates: contracts.Profile{DownBps: 500e6}},
	"enlace-up-25000k": {Rates: contracts.Profile{UpBps: 25e6}}, "enlace-down-50000k": {Rates: contracts.Profile{DownBps: 50e6}},
	"enlace-up-1000k": {Rates: contracts.Profile{UpBps: 1e6}}, "enlace-down-1000k": {Rates: contracts.Profile{DownBps: 1e6}},
	"enlace-500000k-250000k": {Rates: contracts.Profile{DownBps: 500e6, UpBps: 250e6}},
	"enlace-50000k-25000k":   {Rates: contracts.Profile{DownBps: 50e6, UpBps: 25e6}},
	"enlace-open":            {},
	"fibra-full":             {Rates: contracts.Profile{DownBps: 500e6, UpBps: 250e6}},
	"fibra-walled":           {Rates: contracts.Profile{DownBps: 1e6, UpBps: 1e6}},
}

// acts are every vendor as it is, and with what it is known for.
func acts() []*act {
	const login, overdue, wall = "login", "16 days overdue", "30 days overdue"
	from := func(stage string, q nastest.Quirks) map[string]nastest.Quirks {
		return map[string]nastest.Quirks{stage: q}
	}
	ignores := func(stage string, vendor uint32, number byte) map[string]nastest.Quirks {
		return from(stage, nastest.Quirks{Unknown: []nastest.Attribute{{Vendor: vendor, Number: number}}})
	}
	return []*act{
		{vendor: "mikrotik", title: "as it is"},
		{vendor: "mikrotik", title: "a release that refuses Rate-Limit in a CoA-Request", quirks: ignores(overdue, 14988, 8)},
		{vendor: "mikrotik", title: "refuses every command; its API does it", api: true, quirks: from(overdue, nastest.Quirks{RefuseCoA: 405, RefuseDisconnect: 504})},
		{vendor: "huawei", title: "as it is"},
		{vendor: "huawei", title: "does not know the rates in a CoA-Request, and acknowledges it", quirks: from(overdue, nastest.Quirks{
			Unknown: []nastest.Attribute{{Vendor: 2011, Number: 2}, {Vendor: 2011, Number: 3}, {Vendor: 2011, Number: 5}, {Vendor: 2011, Number: 6}}})},
		{vendor: "huawei", title: "takes her off line over a profile that is missing, until it is configured", dialect: "huawei-named",
			mend: func(n *nastest.NAS) {
				n.SetPolicy("fibra-reduced", nastest.Policy{Rates: contracts.Profile{DownBps: 50e6, UpBps: 25e6}})
			}},
		{vendor: "cisco", title: "as it is"},
		{vendor: "cisco", title: "may not change a session by CoA", quirks: from(overdue, nastest.Quirks{RefuseCoA: 501})},
		{vendor: "cisco-isg", title: "as it is"},
		{vendor: "cisco-isg", title: "answers twice, and late", quirks: from(login, nastest.Quirks{AnswerTwice: true, Late: 0.5, Delay: 200 * time.Millisecond})},
		{vendor: "cisco-xr", title: "as it is"},
		{vendor: "cisco-xr", title: "reboots at the command, with Accounting-On", quirks: from(overdue, nastest.Quirks{Reboot: nastest.RebootLoud})},
		{vendor: "juniper", title: "as it is"},
		{vendor: "juniper", title: "ends the old service, does not begin the new one, and acknowledges both", quirks: ignores(overdue, 4874, 65)},
		{vendor: "nokia", title: "as it is"},
		{vendor: "nokia", title: "passes over overrides of QoS", quirks: ignores(overdue, 6527, 126)},
		{vendor: "nokia", title: "accounts for a session under two ids", config: func(c *nastest.Config) { c.SessionIDs = 2 }},
		{vendor: "zte", title: "as it is"},
		{vendor: "accel-ppp", title: "as it is"},
		{vendor: "accel-ppp", title: "its shaper does not take the speed of a CoA-Request", quirks: ignores(overdue, 0, 11)},
		{vendor: "vyos", title: "as it is"},
		{vendor: "vyos", title: "a commit restarts it at the command", quirks: from(wall, nastest.Quirks{Reboot: nastest.RebootLoud})},
		{vendor: "ubiquiti", title: "as it is"},
		{vendor: "pfsense", title: "as it is, without an address for commands", redials: true},
		{vendor: "roaring-penguin", title: "as it is"},
		{vendor: "standard", title: "as it is"},
		{vendor: "standard", title: "gives no Class back", quirks: from(login, nastest.Quirks{NoClass: true})},
		{vendor: "standard", title: "reboots at the command, without a word", quirks: from(wall, nastest.Quirks{Reboot: nastest.RebootSilent})},
		{vendor: "standard", title: "loses a third of all datagrams", noisy: true,
			quirks: from(overdue, nastest.Quirks{LoseIn: 0.3, LoseOut: 0.3, Duplicate: 0.2, Late: 0.3, Delay: 100 * time.Millisecond})},
	}
}

// TestVendors follows one subscriber who is at home behind every vendor at once: she is online, falls behind, is reduced,
// walled and pays. In the end each access server gives her what the contract says, as it understands that itself, and
// the record of commands says how that came about.
func TestVendors(t *testing.T) {
	t.Parallel()
	own := filepath.Join(t.TempDir(), "dialects.yaml")
	if err := os.WriteFile(own, []byte("huawei-named:\n  like: huawei\n  up_profile: Fibra-{outcome}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, local("2026-01-15 09:50:00").Format(time.RFC3339), "--coa-retry", "1s,2s,4s", "--dialects", own)
	s := provide(t, p, "standard", "127.40.0.1")
	s.now(stages[0].at) // the contract is some minutes old when its logins come
	all := acts()
	for i, a := range all {
		a.begin(s, i)
	}
	s.play(all, stages[0])

	s.now("2026-01-31 07:00:00")
	f1 := s.invoices(1)[0]
	s.now("2026-02-11 08:30:00")
	s.noticed(f1["number"])
	s.play(all, stages[1])

	s.now("2026-03-01 07:00:00")
	f2 := s.invoices(2)[1]
	s.now("2026-03-11 08:30:00")
	s.noticed(f2["number"])
	s.play(all, stages[2])

	s.now(stages[3].before)
	quote := s.api("GET", "/api/v1/invoices/"+f1["number"].(string), nil, 200)["quote"].(map[string]any)
	s.play(all, stages[3], func() {
		s.api("POST", "/api/v1/payments", object{"external_id": "E2E-1", "invoice": f1["number"], "amount": quote["total"], "method": "pix"}, 201)
	})
	s.quiet()

	told := s.commands()
	texts := map[string]string{}
	for _, a := range all {
		texts[a.vendor] += a.tell(told[a.device])
	}
	for vendor, text := range texts {
		t.Run(vendor, func(t *testing.T) { golden(t, filepath.Join("vendors", vendor+".txt"), text) })
	}
}

// begin starts an act: its access server, its device and its line.
func (a *act) begin(s *story, i int) {
	s.t.Helper()
	source, name := fmt.Sprintf("127.41.0.%d", i+1), fmt.Sprintf("%s-%d", a.vendor, i+1)
	cfg := nastest.Config{Dialect: a.vendor, AuthAddr: s.auth, AcctAddr: s.acct, Secret: []byte(storySecret), LocalAddr: source + ":0",
		Interim: -1, Redial: 50 * time.Millisecond, Timeout: time.Second, NASIdentifier: name, Load: 1e-9, Policies: named, Quirks: a.quirks[stages[0].name], Seed: uint64(i),
		Ahead: func() time.Duration { return time.Duration(s.ahead.Load()) }}
	if a.config != nil {
		a.config(&cfg)
	}
	var err error
	if a.nas, err = nastest.New(cfg); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(a.nas.Close)
	fields := object{"name": name, "source": source, "secret": storySecret, "dialect": cmp.Or(a.dialect, a.vendor), "nas_identifier": name}
	if !a.redials {
		fields["coa"] = a.nas.CoAAddr().String()
	}
	if a.api {
		router, err := a.nas.ServeRouterOS(nastest.RouterOSConfig{User: "enlace", Password: "api-password"})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(router.Close)
		fields["api"] = object{"address": router.Addr().String(), "user": "enlace", "password": "api-password", "certificate": "plain"}
	}
	a.device = int64(s.api("POST", "/api/v1/devices", fields, 201)["id"].(float64))
	a.line = a.nas.Dial(storyLogin, storyPassword, nastest.CHAP)
}

// play waits until every act agrees with the contract at a stage. Meanwhile the subscriber uses all that each access
// server lets her have, and these account for it every five minutes.
func (s *story) play(all []*act, st stage, then ...func()) {
	s.t.Helper()
	if st.before != "" {
		s.now(st.before)
		s.minutes(all, 0)
	}
	for _, a := range all {
		if q, ok := a.quirks[st.name]; ok {
			a.nas.SetQuirks(q)
		}
	}
	s.now(st.at)
	for _, do := range then {
		do()
	}
	for _, a := range all {
		if a.redials && st.before != "" {
			s.eventually("another service is wanted behind "+a.vendor, func() error {
				for _, o := range s.listed(a) {
					if o["wanted"] != st.service {
						return fmt.Errorf("it is %v", o["wanted"])
					}
				}
				return nil
			})
			_ = a.line.Stop(s.t.Context(), 1)
		}
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		missing := s.missing(all, st)
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within a minute:\n%s\n%s", st.name, strings.Join(missing, "\n"), s.heard(all))
		}
		for _, a := range all {
			if a.mend != nil && st.before != "" && !a.line.Online() {
				a.mend(a.nas)
			}
		}
		time.Sleep(500 * time.Millisecond)
		s.minutes(all, 5)
	}
	for range 2 {
		s.minutes(all, 5) // the evidence that the last commands wait for
	}
	for _, a := range all {
		a.ends = append(a.ends, fmt.Sprintf("%s, session %d", st.service, a.line.Logins()))
	}
}

// missing is the acts that do not agree with the contract yet, as the access server sees it and as the server does.
func (s *story) missing(all []*act, st stage) []string {
	s.t.Helper()
	var out []string
	for _, a := range all {
		complain := func(format string, args ...any) {
			out = append(out, fmt.Sprintf("%s (%s): %s", a.vendor, a.title, fmt.Sprintf(format, args...)))
		}
		if r := a.line.Rates(); !a.line.Online() || r != st.rates || a.line.Walled() != st.walled {
			complain("online %v, %+v, walled %v", a.line.Online(), r, a.line.Walled())
			continue
		}
		for _, o := range s.listed(a) {
			if slices.Contains(a.line.IDs(), o["session_id"].(string)) && (o["applied"] != st.service || o["wanted"] != st.service || o["settled"] != true) {
				complain("listed with applied %v, wanted %v, settled %v", o["applied"], o["wanted"], o["settled"])
				break
			}
		}
	}
	return out
}

// listed are the sessions of an act's access server, as the API shows them.
func (s *story) listed(a *act) []object {
	s.t.Helper()
	var out []object
	for _, item := range s.api("GET", fmt.Sprintf("/api/v1/sessions?device_id=%d", a.device), nil, 200)["items"].([]any) {
		out = append(out, item.(map[string]any))
	}
	return out
}

// minutes lets time pass: every session is used to the full, and accounted for.
func (s *story) minutes(all []*act, n int) {
	s.t.Helper()
	d := time.Duration(n) * time.Minute
	at := time.Now().Add(time.Duration(s.ahead.Load()) + d)
	s.ahead.Add(int64(d))
	s.api("PUT", "/api/v1/clock", object{"now": at.Format(time.RFC3339Nano)}, 200)
	var said sync.WaitGroup
	for _, a := range all {
		said.Go(func() {
			a.line.Run(d)
			_ = a.line.Interim(s.t.Context()) // over, or lost: the next says it
		})
	}
	said.Wait()
}

// heard is what the access servers were told, for whoever has to find out why.
func (s *story) heard(all []*act) string {
	var b strings.Builder
	for _, a := range all {
		for _, c := range a.nas.Commands() {
			fmt.Fprintf(&b, "%s (%s): %s %s -> %s %d\n", a.vendor, a.title, c.Code, c.SessionID, c.Answer, c.ErrorCause)
		}
	}
	return b.String()
}

// toldCommand is a row of network_command as the story tells it.
type toldCommand struct {
	at                                     time.Time
	session                                string
	method, want, reason, answer, evidence string
	cause                                  int
}

// commands are those recorded, by device, oldest first, once each has been answered.
func (s *story) commands() map[int64][]toldCommand {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	var out map[int64][]toldCommand
	s.eventually("every command is answered", func() error {
		rows, err := conn.Query(context.Background(), `select device_id, requested_at, session_id, method, want, reason, answer, error_cause, evidence
			from network_command order by requested_at, id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		out = map[int64][]toldCommand{}
		for rows.Next() {
			var device int64
			var c toldCommand
			if err := rows.Scan(&device, &c.at, &c.session, &c.method, &c.want, &c.reason, &c.answer, &c.cause, &c.evidence); err != nil {
				return err
			}
			if c.answer == "" {
				return fmt.Errorf("device %d: the %s for %s is not answered", device, c.method, c.want)
			}
			out[device] = append(out[device], c)
		}
		return rows.Err()
	})
	return out
}

// measured is a rate that was measured, which is never twice the same.
var measured = regexp.MustCompile(`\b\d+[kMG]? (down|up)\b`)

// tell writes an act for people: at each stage what was commanded, and what she had in the end.
func (a *act) tell(commands []toldCommand) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", a.vendor, a.title)
	for i, st := range stages {
		fmt.Fprintf(&b, "  %s\n", st.name)
		var lines []string
		for _, c := range commands {
			if c.at.Before(local(st.at).Add(-time.Second)) || i+1 < len(stages) && !c.at.Before(local(stages[i+1].at).Add(-time.Second)) {
				continue
			}
			line := fmt.Sprintf("    %s, %s: %s", c.want, measured.ReplaceAllString(c.reason, "N $1"), c.method+" "+c.answer)
			if c.cause != 0 {
				line += fmt.Sprintf(" %d", c.cause)
			}
			if c.evidence != "" {
				line += ", evidence " + c.evidence
			}
			lines = append(lines, line)
		}
		if a.noisy {
			fmt.Fprintf(&b, "    => %s\n", st.service)
			continue
		}
		for _, line := range append(lines, "    => "+a.ends[i]) {
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("\n")
	return b.String()
}
