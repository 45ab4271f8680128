package admin_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"enlace/admin"
	"enlace/contracts"
	"enlace/nas"
)

// busy has the network at work: a mass change under way, one that has ended, and commands of every fate.
func (h *house) busy() {
	h.Helper()
	now := h.clock().Truncate(time.Second)
	h.network.loads = []nas.DeviceLoad{{Device: 1, Differences: 38_211, GivenUp: 12, Restoring: 3, Waiting: 38_012, InFlight: 34}, {Device: 2, Differences: 2, InFlight: 2}}
	h.network.waves = []nas.Wave{
		{ID: 2, Began: now.Add(-4 * time.Minute), WaveCount: nas.WaveCount{Total: 50_000, Done: 11_777, Failed: 12, InFlight: 36, Waiting: 38_175}, ETA: 13 * time.Minute, Devices: []nas.DeviceWave{
			{Device: 1, WaveCount: nas.WaveCount{Total: 49_990, Done: 11_769, Failed: 12, InFlight: 34, Waiting: 38_175}, ETA: 13 * time.Minute},
			{Device: 2, WaveCount: nas.WaveCount{Total: 10, Done: 8, InFlight: 2}, ETA: time.Second}}},
		{ID: 1, Began: now.Add(-26 * time.Hour), Ended: now.Add(-26*time.Hour + 75*time.Second), WaveCount: nas.WaveCount{Total: 412, Done: 409, Failed: 3}, Devices: []nas.DeviceWave{{Device: 1}}},
	}
	var list []nas.CommandRecord
	for i, c := range []nas.CommandRecord{
		{Login: "cliente01@isp", Method: nas.CoA, Want: "FULL 800M/400M", Reason: "rates changed", Answer: nas.Acked, Evidence: nas.EvidenceClass, ConfirmedAt: now},
		{Login: "cliente03@isp", Method: nas.CoA, Want: "REDUCED 50M/50M", Reason: "restricted from FULL to REDUCED", Answer: nas.Acked, Evidence: nas.EvidenceIgnored, ConfirmedAt: now},
		{Login: "cliente03@isp", Method: nas.Disconnect, Want: "REDUCED 50M/50M", Reason: "CoA acknowledged without effect", Answer: nas.Acked, Evidence: nas.EvidenceLogin, ConfirmedAt: now},
		{Login: "cliente05@isp", Method: nas.CoA, Want: "REDUCED 50M/25M", Reason: "restricted from FULL to REDUCED", Answer: nas.Naked, ErrorCause: 407},
		{Login: "cliente04@isp", Method: nas.ViaAPI, Want: "no session", Reason: "equipamento recolhido", Actor: "staff:ana", Answer: nas.Unreachable},
		{Login: "cliente07@isp", Method: nas.CoA, Want: "FULL 800M/400M", Reason: "rates changed"},
	} {
		c.ID, c.Session = nas.CommandID(1000+i), nas.SessionKey{Device: nas.DeviceID(1 + i%2), ID: fmt.Sprintf("s%d", i)}
		if c.Actor == "" {
			c.Actor = "system"
		}
		c.RequestedAt, c.SentAt, c.Attempts = now.Add(time.Duration(i-50)*time.Second), now.Add(time.Duration(i-50)*time.Second), 1
		if c.Answer == nas.Acked || c.Answer == nas.Naked {
			c.AnsweredAt = c.SentAt.Add(9 * time.Millisecond)
		}
		list = append(list, c)
	}
	h.must(h.devices.SaveCommands(h.ctx, list))
}

// TestNetworkPage reads the page while the network is at work, in both languages.
func TestNetworkPage(t *testing.T) {
	h := open(t, func(c *admin.Config) { c.SetClock = nil })
	h.furnish()
	h.site(h.bras)
	h.busy()
	h.signIn()
	h.must(h.devices.PauseCommands(h.ctx, "staff:ana", h.clock(), 2))
	for language, file := range map[string]string{"en": "network.en.txt", "pt-BR": "network.pt.txt"} {
		status, body, _ := h.get("/network", "Accept-Language", language)
		if status != 200 {
			t.Fatalf("the page answers %d", status)
		}
		golden(t, file, regexp.MustCompile(`\d\d:\d\d(:\d\d)?`).ReplaceAllString(words(body), "hh:mm"))
		for _, want := range []string{`<progress value="11789" max="50000">23 %</progress>`, `id="wave-2"`, `id="wave-1"`, `href="/logins?login=cliente01%40isp"`, `href="/sessions?device=1"`} {
			if !strings.Contains(body, want) {
				t.Errorf("the page has not %s", want)
			}
		}
	}
	// Commands are found by device, login, method and what became of them.
	for query, want := range map[string]string{
		"?device=2":                             "cliente03@isp cliente05@isp cliente07@isp",
		"?device=2&answer=waiting":              "cliente07@isp",
		"?device=2&answer=ignored":              "cliente03@isp",
		"?device=2&answer=confirmed":            "",
		"?login=cliente03@isp&answer=confirmed": "cliente03@isp",
		"?method=api":                           "cliente04@isp",
		"?answer=nak":                           "cliente05@isp",
		"?answer=unreachable&device=2":          "",
	} {
		_, body, _ := h.get("/network" + query)
		_, body, _ = strings.Cut(body, `id="command-list"`)
		var found []string
		for _, login := range []string{"cliente01@isp", "cliente03@isp", "cliente04@isp", "cliente05@isp", "cliente06@isp", "cliente07@isp"} {
			if strings.Contains(body, login) {
				found = append(found, login)
			}
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s finds %q, want %q", query, got, want)
		}
	}
	for _, bad := range []string{"?answer=odd", "?after=x", "?after=1_2_3", "?after=-1_5"} {
		if status, _, _ := h.get("/network" + bad); status != 422 {
			t.Errorf("%s answers %d", bad, status)
		}
	}
}

// TestPauses: the network is paused and let go on, all of it and one access server, in the panel and by the API, and it is
// on record who did it.
func TestPauses(t *testing.T) {
	h := open(t)
	h.equip(h.clock())
	h.signIn()
	c := h.caller()
	paused := func() string {
		t.Helper()
		list, err := h.devices.Pauses(h.ctx)
		h.must(err)
		var out []string
		for _, p := range list {
			out = append(out, fmt.Sprint(p.Device, " ", p.Actor))
		}
		return strings.Join(out, ", ")
	}
	does := func(path, device, want string) {
		t.Helper()
		if status, _, to := h.post(path, url.Values{"device": {device}}); status != 303 || to != "/network" {
			t.Errorf("%s answers %d to %q", path, status, to)
		}
		if got := paused(); got != want {
			t.Errorf("after %s of %s, paused are %q, want %q", path, device, got, want)
		}
	}
	does("/network/pause", "1", "1 staff:ana")
	does("/network/pause", "0", "0 staff:ana, 1 staff:ana")
	_, body, _ := h.get("/network")
	if text := words(body); !strings.Contains(text, "All access servers are paused since") || !strings.Contains(text, "Resume all") || !strings.Contains(text, "by staff:ana") {
		t.Error("the page does not say that all is paused")
	}
	does("/network/resume", "0", "1 staff:ana")
	does("/network/resume", "1", "")
	does("/network/pause", "99", "")
	if _, body, _ := h.get("/network"); !strings.Contains(words(body), "There is no device 99") {
		t.Error("pausing what does not exist is not refused")
	}
	if status, _, _ := h.post("/network/pause", url.Values{"device": {"x"}}); status != 422 {
		t.Errorf("pausing nonsense answers %d", status)
	}
	c.want(204, "POST", "/api/v1/network/pause", `{"device_id":2}`)
	c.want(204, "POST", "/api/v1/network/pause", `{}`)
	if got := paused(); got != "0 token:erp, 2 token:erp" {
		t.Errorf("paused by the API are %q", got)
	}
	state := c.want(200, "GET", "/api/v1/network", "")
	if at2[string](state, "paused", "actor") != "token:erp" || at2[string](state, "devices", 1, "paused", "actor") != "token:erp" {
		t.Errorf("the network is %v", state)
	}
	c.want(404, "POST", "/api/v1/network/pause", `{"device_id":99}`)
	c.want(204, "POST", "/api/v1/network/resume", `{"device_id":2}`)
	c.want(204, "POST", "/api/v1/network/resume", `{}`)
	if got := paused(); got != "" {
		t.Errorf("after all, paused are %q", got)
	}
	var audits int
	h.must(h.pool.QueryRow(h.ctx, `select count(*) from audit where act in ('network.pause', 'network.resume')`).Scan(&audits))
	if audits != 8 {
		t.Errorf("%d pauses and resumptions are on record, want 8", audits)
	}
}

// TestNetworkAPI reads what the page shows, for programs.
func TestNetworkAPI(t *testing.T) {
	h := open(t)
	h.equip(h.clock())
	h.busy()
	c := h.caller()
	v := c.want(200, "GET", "/api/v1/network", "")
	if at2[float64](v, "waves", 0, "eta_seconds") != 780 || at2[float64](v, "waves", 0, "devices", 0, "waiting") != 38_175 || at2[string](v, "waves", 0, "devices", 1, "device") != "bras-norte" {
		t.Errorf("the waves are %v", v["waves"])
	}
	if _, over := at2[map[string]any](v, "waves", 1)["ended"]; !over || len(at2[[]any](v, "waves")) != 2 {
		t.Errorf("the waves are %v", v["waves"])
	}
	if at2[float64](v, "devices", 0, "differences") != 38_211 || at2[float64](v, "devices", 0, "restoring") != 3 || at2[float64](v, "devices", 1, "last_hour", "without_effect") != 1 || at2[float64](v, "devices", 0, "last_hour", "effect_seen") != 2 {
		t.Errorf("the devices are %v", v["devices"])
	}
	var seen []string
	after := ""
	for page := 0; page < 10; page++ {
		list := c.want(200, "GET", "/api/v1/network/commands?limit=3"+after, "")
		for _, item := range at2[[]any](list, "items") {
			seen = append(seen, fmt.Sprint(item.(map[string]any)["session_id"]))
		}
		if list["next"] == nil {
			break
		}
		after = "&after=" + url.QueryEscape(fmt.Sprint(list["next"]))
	}
	if got := strings.Join(seen, " "); got != "s5 s4 s3 s2 s1 s0" {
		t.Errorf("page by page the commands are %s", got)
	}
	nak := c.want(200, "GET", "/api/v1/network/commands?answer=nak", "")
	if at2[float64](nak, "items", 0, "error_cause") != 407 || at2[string](nak, "items", 0, "device") != "bras-norte" || nak["next"] != nil {
		t.Errorf("the refused commands are %v", nak)
	}
	c.want(422, "GET", "/api/v1/network/commands?answer=odd", "")
	c.want(422, "GET", "/api/v1/network/commands?after=odd", "")
}

// TestPlanImpact: before rates are saved the panel says what that changes; what was shown is what is saved.
func TestPlanImpact(t *testing.T) {
	h := open(t)
	h.equip(h.clock())
	h.signIn()
	fibra := contracts.Plan{Name: "Fibra 500", Price: 99_90, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10}
	h.must(h.contracts.CreatePlan(h.ctx, "system", h.clock(), &fibra))
	h.network.would = func(pl contracts.Plan) map[nas.DeviceID]int {
		if pl.ID != fibra.ID || pl.Full.DownBps == 500e6 {
			return nil
		}
		return map[nas.DeviceID]int{1: 45_000, 2: 20}
	}
	rate := func() uint64 {
		plans, err := h.contracts.Plans(h.ctx, h.clock())
		h.must(err)
		return plans[0].Full.DownBps
	}
	fields := url.Values{"name": {"Fibra 500"}, "price": {"99.90"}, "down_bps": {"600M"}, "up_bps": {"300M"}, "reduced_percent": {"10"}}
	status, body, _ := h.post("/plans/1", fields)
	text := words(body)
	for _, want := range []string{"This changes 45,020 open sessions and takes about 15 min at the rates of the access servers. Nothing is saved yet.", "bras-centro\n45,000\n50\n/s\n15 min", "bras-norte\n20\n50\n/s\na moment", "Save and change the sessions"} {
		if !strings.Contains(text, want) {
			t.Errorf("before it is saved, the page with status %d does not say %q:\n%s", status, want, text)
		}
	}
	if rate() != 500e6 {
		t.Error("what was only shown is saved")
	}
	seal := regexp.MustCompile(`name="confirmed" value="([0-9a-f]{32})"`).FindStringSubmatch(body)
	if seal == nil {
		t.Fatal("there is nothing to confirm")
	}
	fields.Set("confirmed", seal[1])
	fields.Set("down_bps", "700M")
	if status, body, _ := h.post("/plans/1", fields); status != 200 || !strings.Contains(body, `id="impact"`) || rate() != 500e6 {
		t.Errorf("a version that was not shown is answered %d, and the rate is %d", status, rate())
	}
	fields.Set("down_bps", "600M")
	if status, _, to := h.post("/plans/1", fields); status != 303 || to != "/network" || rate() != 600e6 {
		t.Errorf("confirmed, it answers %d to %q, and the rate is %d", status, to, rate())
	}
	if _, body, _ := h.get("/network"); !strings.Contains(words(body), "Saved. 45,020 open sessions are brought to the new rates") {
		t.Error("the page that follows does not say what was saved")
	}
	fields = url.Values{"name": {"Fibra 500"}, "price": {"109.90"}, "down_bps": {"500M"}, "up_bps": {"250M"}, "reduced_percent": {"10"}}
	if status, _, to := h.post("/plans/1", fields); status != 303 || to != "/plans" || rate() != 500e6 {
		t.Errorf("a change that changes no session answers %d to %q", status, to)
	}
	fields.Set("down_bps", "1")
	if status, body, _ := h.post("/plans/1", fields); status != 422 || !strings.Contains(body, "banner danger") && !strings.Contains(body, "field-error") {
		t.Errorf("rates that cannot be answer %d", status)
	}
	c := h.caller()
	v := c.want(200, "POST", "/api/v1/plans/1/impact", `{"name":"Fibra 500","price":"99.90","full":{"down_bps":600000000,"up_bps":300000000}}`)
	if at2[float64](v, "sessions") != 45_020 || at2[float64](v, "takes_seconds") != 900 || at2[string](v, "devices", 0, "device") != "bras-centro" {
		t.Errorf("the API says %v", v)
	}
	c.want(422, "POST", "/api/v1/plans/1/impact", `{"name":"Fibra 500","price":"99.90","full":{"down_bps":1,"up_bps":1}}`)
}
