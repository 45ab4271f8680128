package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enlace/contracts"
	"enlace/nas"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", name, got, want)
	}
}

// historyShop has one contract: due on 10 March, notice on the 11th, blocked on 9 April, released on the subscriber's word,
// blocked again, paid on 15 April; then a change of price, and the login switched off in May.
func historyShop(t *testing.T) *shop {
	h := newShop(t)
	c := h.sign("ana@isp", "hunter2-secret")
	h.owe(c.ID)
	act := func(now string, f contracts.Fact) {
		f.ContractID = c.ID
		if _, err := h.store.Act(h.ctx, saoPaulo(now), f); err != nil {
			t.Fatal(err)
		}
	}
	act("2026-04-09 20:00", contracts.Fact{Kind: contracts.TrustUnblock, Actor: "subscriber"})
	h.record(c.ID, "2026-04-15 12:30", contracts.Fact{Kind: contracts.PaymentReceived, InvoiceID: "F1", Amount: 9990})
	act("2026-05-04 09:00", contracts.Fact{Kind: contracts.ManualBlock, Actor: "staff:bia", Reason: "equipment is to be returned"})
	act("2026-05-04 10:00", contracts.Fact{Kind: contracts.AccessDisabled, AccessID: c.Accesses[0].ID, Actor: "staff:bia"})
	h.plan.Full = contracts.Profile{DownBps: 600e6, UpBps: 300e6}
	h.must(h.store.UpdatePlan(h.ctx, "test", saoPaulo("2026-04-20 10:00"), &h.plan))
	for i, dialect := range []string{"mikrotik", "accel-ppp", "standard"} {
		d := nas.Device{Name: "bras-" + dialect, Source: netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", i+1)), Secret: []byte("testing123"), Dialect: dialect,
			MessageAuthenticator: nas.LearnMA, LimitProxyState: nas.LearnProxyState, InterimSeconds: 300, CommandsPerSecond: 50}
		h.must(h.devices.CreateDevice(h.ctx, "test", saoPaulo(shopOpened), &d))
	}
	h.must(h.devices.SaveCommands(h.ctx, []nas.CommandRecord{{
		Session: nas.SessionKey{Device: 1, ID: "s1"}, Login: "ana@isp", Method: "coa", Want: "FULL 500M/250M", Reason: "payment", Actor: "system",
		RequestedAt: saoPaulo("2026-04-15 12:30"), ID: 7, Answer: nas.Acked, Evidence: nas.EvidenceInterim}}))
	return h
}

func TestExplain(t *testing.T) {
	h := historyShop(t)
	ask := func(more ...string) string {
		t.Helper()
		code, out, errOut := command(t, append([]string{"explain", "ana@isp", "--database-url", h.url, "--data-dir", t.TempDir(), "--clock", "2026-05-04T12:00:00-03:00"}, more...)...)
		if code != 0 {
			t.Fatalf("%v: exit %d\n%s%s", more, code, out, errOut)
		}
		if strings.Contains(out+errOut, "hunter2") {
			t.Errorf("%v shows the password", more)
		}
		return out
	}
	var all []string
	for _, at := range []string{"2026-03-05T10:00", "2026-03-12T10:00", "2026-03-30T10:00", "2026-04-09T10:00", "2026-04-10T10:00", "2026-04-15T12:30:00", "2026-05-04T09:30", "2026-08-01T10:00"} {
		all = append(all, ask("--at", at))
	}
	golden(t, "explain_en.txt", strings.Join(append(all, ask()), "\n===\n"))
	golden(t, "explain_pt.txt", strings.Join([]string{ask("--lang", "pt", "--at", "2026-03-12T10:00"), ask("--lang", "pt", "--at", "2026-04-10T10:00"), ask("--lang", "pt")}, "\n===\n"))
	past := ask("--output", "json", "--at", "2026-04-15T15:30:00Z")
	golden(t, "explain.json", past)
	var e explained
	if err := json.Unmarshal([]byte(past), &struct {
		Status *contracts.Status `json:"status"`
		Login  *bool             `json:"login_enabled"`
	}{&e.Status, &e.LoginEnabled}); err != nil || e.Status != contracts.Active || !e.LoginEnabled {
		t.Errorf("the JSON says %s, enabled %v (%v)", e.Status, e.LoginEnabled, err)
	}
	if local := ask("--output", "json", "--at", "2026-04-15T12:30"); local != past {
		t.Error("a local instant and the same one with an offset are explained differently")
	}
}

func TestExplainThatCannotBe(t *testing.T) {
	h := historyShop(t)
	for _, test := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"nobody@isp"}, `there is no login "nobody@isp"`, 1},
		{[]string{""}, "there is no login", 1},
		{[]string{"a\x00b"}, "there is no login", 1},
		{[]string{"ana@isp", "--at", "yesterday"}, `"yesterday" is not an instant`, 1},
		{[]string{"ana@isp", "--lang", "fr"}, "--lang", 2},
		{[]string{"ana@isp", "--output", "xml"}, "--output", 2},
		{nil, "login", 2},
	} {
		code, out, errOut := command(t, append(append([]string{"explain"}, test.args...), "--database-url", h.url, "--data-dir", t.TempDir())...)
		if code != test.code || out != "" || !strings.Contains(errOut, test.want) {
			t.Errorf("%q: exit %d\n%s%s", test.args, code, out, errOut)
		}
	}
}
