package admin_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"enlace/nas"
)

// TestConformanceOnTheDevicePage: findings, a regression with its banner, an acknowledgement, a fixed strategy and a probe,
// as they are read and clicked in both languages.
func TestConformanceOnTheDevicePage(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	see := func(n int64, x nas.Sight) {
		h.Helper()
		_, err := h.devices.AddSightings(h.ctx, h.clock(), map[nas.DeviceID]nas.Sightings{h.bras: {x: {N: n, At: h.clock()}}})
		h.must(err)
	}
	page := func(language string) string {
		h.Helper()
		status, body, _ := h.get("/devices/1", "Accept-Language", language)
		if status != 200 {
			t.Fatalf("the page answers %d", status)
		}
		return words(body)
	}
	has := func(language string, wanted ...string) {
		h.Helper()
		text := page(language)
		for _, w := range wanted {
			if !strings.Contains(text, w) {
				t.Errorf("in %s the page does not say %q:\n%s", language, w, text)
			}
		}
	}
	has("en", "Class comes back\nnot seen", "Ask it now", "Sessions are named by", "Now: as the dialect has it (the dialect's; nothing found speaks against it)")
	see(50, nas.SawClassEcho)
	see(90, nas.SawClassNone)
	has("en", "Class comes back\nbad\nabsent (90 of 100); as it was sent (10 of 100)", "It was good until", "Acknowledge")
	has("pt-BR", "Class de volta\nruim\nausente (90 de 100); como foi enviado (10 de 100)", "Estava bom até", "Tomar ciência", "Perguntar agora")

	post := func(path string, form url.Values) {
		h.Helper()
		if status, body, _ := h.post(path, form); status != 303 && status != 200 {
			t.Fatalf("%s answers %d: %s", path, status, body)
		}
	}
	post("/devices/1/acknowledge", url.Values{"check": {"class"}})
	if text := page("en"); strings.Contains(text, "It was good until") || !strings.Contains(text, "Class comes back\nbad") {
		t.Errorf("after the acknowledgement:\n%s", text)
	}
	post("/devices/1/strategy", url.Values{"identify": {"session_id"}, "rates": {"disconnect"}, "wall": {"auto"}, "class": {"no"}})
	has("en", "Now: Acct-Session-Id alone (fixed by the operator)", "Now: Disconnect (fixed by the operator)")
	post("/devices/1/probe", url.Values{})
	has("pt-BR", "Pedido; um nó o faz em segundos.")
	if status, body, _ := h.post("/devices/1/probe", url.Values{}, "Accept-Language", "pt-BR"); status != 303 {
		t.Fatalf("%d: %s", status, body)
	}
	has("pt-BR", "O concentrador já está sendo perguntado")
	p, ok, err := h.devices.TakeProbe(h.ctx, "node")
	if err != nil || !ok || p.Actor != "staff:ana" || p.Device != h.bras {
		t.Fatalf("%+v, %v, %v", p, ok, err)
	}
	has("en", "It is being asked")
	h.must(h.devices.AddFindings(h.ctx, h.clock().Add(time.Second), h.bras, []nas.Finding{{Check: nas.CheckReach, Result: nas.Bad, Form: "other_port", Facts: []nas.Fact{{Form: "other_port", Value: "1700"}}}}))
	h.must(h.devices.EndProbe(h.ctx, p.ID, nas.NoteUnanswered))
	has("en", "CoA address and secret\nbad\nanswers at port 1700 instead", "The access server does not answer: nothing was tried on a session.")
}
