package admin

import (
	"bytes"
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"enlace/contracts"
)

// TestTimelinePicture draws a contract that fell behind, was released on trust and goes on, and compares the SVG.
func TestTimelinePicture(t *testing.T) {
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	at := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 0, 0, 0, zone).UTC()
	}
	due := contracts.NewDate(2026, 2, 10)
	c := &contracts.Contract{ID: 1, PlanID: 1, Zone: zone, CreatedAt: at(1, 5, 9), AutoBlock: true, TrustEnabled: true, DueDay: 10,
		Accesses: []contracts.Access{{ID: 1, Login: "maria@isp"}}}
	facts := []contracts.Fact{
		{ID: 1, At: at(1, 31, 6), Kind: contracts.InvoiceIssued, InvoiceID: "F00000001", Amount: 99_90, Due: due},
		{ID: 2, At: at(2, 11, 8), Kind: contracts.NoticeSent, InvoiceID: "F00000001", Channel: "email"},
		{ID: 3, At: at(3, 16, 15), Kind: contracts.TrustUnblock, Actor: "subscriber", Reason: `pago "amanhã" <ok>`},
		{ID: 4, At: at(3, 16, 15).Add(time.Minute), Kind: contracts.InvoiceIssued, InvoiceID: "F00000002", Amount: 99_90, Due: contracts.NewDate(2026, 3, 20)},
	}
	rules := []contracts.Rules{{Policy: contracts.DefaultPolicy(), Calendars: contracts.BrazilianCalendars(2025, 2027)}}
	p := &page{lang: contracts.Portuguese, zone: zone, now: at(3, 18, 10)}
	var b bytes.Buffer
	d := draw(p, c, facts, rules, at(1, 1, 0), at(5, 15, 0))
	if err := timelinePicture(d).Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	const path = "testdata/timeline.svg"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the picture differs from %s:\n%s", path, b.Bytes())
	}
	right := 0.0
	for i, bar := range d.Bars {
		if bar.X+0.2 < right {
			t.Errorf("bar %d begins at %v, before the one before it ends at %v", i, bar.X, right)
		}
		right = bar.X + bar.W
	}
	if len(d.Marks) != len(facts) {
		t.Errorf("%d facts are marked of %d", len(d.Marks), len(facts))
	}
}
