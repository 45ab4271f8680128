package admin_test

import (
	"encoding/csv"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"enlace/nas"
	"enlace/radius"
)

// share puts two subscribers behind one public address, and two sessions on one address of their own.
func (h *house) share() {
	h.Helper()
	now := at("2026-03-18 10:20")
	start := func(id, login, ip string, minutes int, ports uint16) radius.Record {
		when := now.Add(-time.Duration(minutes) * time.Minute)
		r := radius.Record{Kind: radius.KindStart, Key: nas.SessionKey{Device: h.bras, ID: id}, Login: login, Event: when, Received: when,
			FramedIP: netip.MustParseAddr(ip), CallingStation: "AA:BB:CC:00:99:99", NASPort: "ether9"}
		if ports > 0 {
			r.Ports = []radius.PortBlock{{Addr: netip.MustParseAddr("203.0.113.7"), From: ports, To: ports + 1023}}
		}
		return r
	}
	end := start("nat-1", "cliente01@isp", "100.64.9.1", 30, 1024)
	end.Kind, end.Seconds, end.TimeKnown = radius.KindStop, 30*60, true
	_, err := h.sessions.Store(h.ctx, radius.Batch{Node: "test", Records: []radius.Record{
		start("nat-1", "cliente01@isp", "100.64.9.1", 60, 1024), start("nat-2", "cliente02@isp", "100.64.9.2", 60, 2048), end,
		start("=HYPERLINK(1)", "=cmd@isp", "198.51.100.9", 50, 0), start("twice", "cliente04@isp", "198.51.100.9", 40, 0),
	}})
	h.must(err)
}

func TestConnectionSearch(t *testing.T) {
	h := open(t)
	h.furnish()
	h.share()
	h.signIn()
	ask := func(want int, fields url.Values, header ...string) string {
		t.Helper()
		status, body, _ := h.post("/connections", fields, header...)
		if status != want {
			t.Fatalf("%v answers %d:\n%s", fields, status, body)
		}
		return body
	}
	address := func(address, port, at string, more ...string) url.Values {
		v := url.Values{"about": {"address"}, "address": {address}, "port": {port}, "at": {at}, "reason": {"Ofício 77/2026"}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	has := func(body string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(body, text) {
				t.Errorf("the page lacks %q", text)
			}
		}
	}
	body := ask(200, address("203.0.113.7", "1500", "2026-03-18T09:30"))
	has(body, "Maria Aparecida de Souza", "529.982.247-25", "1024–2047", "2026-03-18 09:20:00", "2026-03-18 12:20:00 UTC", "End told by the access server", "Ofício 77/2026")
	if found := body[strings.Index(body, `id="found"`):]; strings.Contains(found, "João") || strings.Contains(found, "shared by ports") {
		t.Error("with a port, the neighbour is shown")
	}
	has(ask(200, address("203.0.113.7", "", "2026-03-18T09:30")), "Maria Aparecida de Souza", "João Carlos Pereira", "ask for the source port")
	has(ask(200, address("203.0.113.7:1500", "", "2026-03-18T12:30", "zone", "UTC")), "Maria Aparecida de Souza")
	has(ask(200, address("203.0.113.7", "1500", "18/03/2026 10:10")), "No record.")
	has(ask(200, address("198.51.100.9", "", "2026-03-18T10:00")), "More than one session claims", "=cmd@isp", "Unknown login", "Ana Beatriz Lima", "Still held")
	has(ask(200, address("198.51.100.9", "", "2026-03-18T10:00"), "Accept-Language", "pt-BR"), "Registros de conexão", "Mais de uma sessão consta", "Ainda em uso", "18/03/2026")
	has(ask(200, address("2001:db8:100::77", "", "2026-03-18T10:15")), "Maria Aparecida de Souza", "2001:db8:100::/56")

	for _, wrong := range []url.Values{
		address("203.0.113.0/24", "", "2026-03-18T09:30"), address("here", "", "2026-03-18T09:30"), address("203.0.113.7", "70000", "2026-03-18T09:30"),
		address("203.0.113.7", "", "yesterday"), address("203.0.113.7", "", "2026-03-18T09:30", "reason", " "),
		{"about": {"subscriber"}, "login": {""}, "from": {"2026-03-18T09:30"}, "until": {"2026-03-18T10:30"}, "why": {"Ofício 77"}},
		{"about": {"subscriber"}, "login": {"a"}, "from": {"2026-03-18T10:30"}, "until": {"2026-03-18T09:30"}, "why": {"Ofício 77"}},
		{"about": {"subscriber"}, "login": {"a"}, "from": {"2026-03-18T09:30"}, "until": {"2026-03-18T10:30"}},
	} {
		if body := ask(422, wrong); !strings.Contains(body, "field-error") || strings.Contains(body, `id="found"`) {
			t.Errorf("%v: no word of what is wrong", wrong)
		}
	}

	who := func(login string) url.Values {
		return url.Values{"about": {"subscriber"}, "login": {login}, "from": {"2026-03-18T00:00:00"}, "until": {"2026-03-18T10:20:00"}, "why": {"Chamado 5"}}
	}
	has(ask(200, who("cliente01@isp")), "203.0.113.7", "100.64.9.1")
	has(ask(200, who("529.982.247-25")), "203.0.113.7", "100.64.9.1")
	csvForm := address("198.51.100.9", "", "2026-03-18T10:00", "format", "csv")
	lines, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(ask(200, csvForm), "\ufeff"))).ReadAll()
	h.must(err)
	if len(lines) != 3 || lines[0][4] != "from_utc" {
		t.Fatalf("the file is %q", lines)
	}
	for _, l := range lines[1:] {
		if strings.HasPrefix(l[9], "=") || strings.HasPrefix(l[16], "=") {
			t.Errorf("a formula in the file: %q", l)
		}
	}

	var searches, reasons int
	h.must(h.pool.QueryRow(h.ctx, `select count(*), count(*) filter (where detail->>'reason' in ('Ofício 77/2026', 'Chamado 5')) from audit
		where act = 'connections.search' and actor = 'staff:ana' and subject <> ''`).Scan(&searches, &reasons))
	if searches != 10 || reasons != 10 {
		t.Errorf("%d searches are recorded, %d with their reason", searches, reasons)
	}
	_, body, _ = h.get("/connections?login=cliente01@isp")
	has(body, "Last searches", "address:203.0.113.7:1500 at 2026-03-18T12:30:00Z", "staff:ana", `value="cliente01@isp"`)

	// What cannot be recorded is not answered.
	_, err = h.pool.Exec(h.ctx, `alter table audit add constraint no_more check (act <> 'connections.search') not valid`)
	h.must(err)
	if body := ask(http.StatusInternalServerError, address("203.0.113.7", "1500", "2026-03-18T09:30")); strings.Contains(body, "Maria") {
		t.Error("answered without a record of the search")
	}
}

func TestAPIConnections(t *testing.T) {
	h := open(t)
	h.furnish()
	h.share()
	c := h.caller()
	one := c.want(200, "GET", "/api/v1/connections/who?address=203.0.113.7&port=1500&at=2026-03-18T12:30:00Z&reason=Of77", "")
	if n := len(at2[[]any](one, "items")); n != 1 || at2[string](one, "items", 0, "customer") != "Maria Aparecida de Souza" || at2[float64](one, "items", 0, "port_from") != 1024 ||
		at2[string](one, "items", 0, "end") != "stop" || at2[bool](one, "items", 0, "estimated") || at2[bool](one, "need_port") {
		t.Errorf("%v", one)
	}
	all := c.want(200, "GET", "/api/v1/connections/who?address=203.0.113.7&at=2026-03-18T09:30:00-03:00&reason=Of77", "")
	if n := len(at2[[]any](all, "items")); n != 2 || !at2[bool](all, "need_port") {
		t.Errorf("%v", all)
	}
	mine := c.want(200, "GET", "/api/v1/connections?customer_id=1&from=2026-03-18T00:00:00Z&until=2026-03-18T14:00:00Z&reason=Of77&limit=1", "")
	if n := len(at2[[]any](mine, "items")); n != 1 || !at2[bool](mine, "more") {
		t.Errorf("%v", mine)
	}
	for _, path := range []string{"/who?address=203.0.113.7&at=2026-03-18T12:30:00Z", "/who?address=x&at=2026-03-18T12:30:00Z&reason=Of77",
		"/who?address=203.0.113.7&at=now&reason=Of77", "/who?address=203.0.113.7&port=99999&at=2026-03-18T12:30:00Z&reason=Of77",
		"?from=2026-03-18T00:00:00Z&until=2026-03-18T14:00:00Z&reason=Of77", "?login=a&from=2026-03-18T14:00:00Z&until=2026-03-18T00:00:00Z&reason=Of77"} {
		c.want(422, "GET", "/api/v1/connections"+path, "")
	}
	// Bytes that are no text make neither an error nor an empty reason.
	c.want(422, "GET", "/api/v1/connections/who?address=203.0.113.7&at=2026-03-18T12:30:00Z&reason=%00%00%00", "")
	c.want(200, "GET", "/api/v1/connections?login=%00%ff&from=2026-03-18T00:00:00Z&until=2026-03-18T14:00:00Z&reason=Of78", "")
	var n int
	h.must(h.pool.QueryRow(h.ctx, `select count(*) from audit where act = 'connections.search' and actor = 'token:erp' and detail->>'reason' = 'Of77'`).Scan(&n))
	if n != 3 {
		t.Errorf("%d searches are recorded", n)
	}
}
