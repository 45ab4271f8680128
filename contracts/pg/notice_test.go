package pg

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"enlace/contracts"
)

// Whatever happened to its invoices, a contract that owes a notice is listed. The instants lie on a coarse grid, so that
// several facts fall on the same one.
func TestWhoOwesANoticeIsListed(t *testing.T) {
	h := newHouse(t)
	h.must(h.SaveRules(ctx, "test", "", at("2026-01-02 10:00"), DefaultRules()))
	zones := []*time.Location{saoPaulo, mustZone("Pacific/Kiritimati"), mustZone("Pacific/Pago_Pago")}
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		c := h.draft()
		c.Zone = rapid.SampledFrom(zones).Draw(t, "zone")
		c.StartsPending = rapid.IntRange(0, 9).Draw(t, "pending") == 0
		h.must(h.CreateContract(ctx, "test", at("2026-01-05 10:00"), &c, []string{"x"}))
		now := at("2026-02-01 12:00")
		add := func(f contracts.Fact) {
			f.ContractID, f.Actor = c.ID, "test"
			h.must(pgx.BeginFunc(ctx, h.Pool, func(tx pgx.Tx) error { return Append(ctx, tx, now, &f) }))
		}
		invoices := rapid.IntRange(1, 3).Draw(t, "invoices")
		number := func(i int) string { return fmt.Sprintf("F%d-%d", n, i) }
		for i := range invoices {
			kind, agreement := contracts.InvoiceIssued, ""
			if rapid.IntRange(0, 4).Draw(t, "instalment") == 0 {
				kind, agreement = contracts.InstallmentDue, "A"
			}
			add(contracts.Fact{Kind: kind, InvoiceID: number(i), AgreementID: agreement, Due: day("2026-02-10").AddDays(rapid.IntRange(-40, 40).Draw(t, "due")), Amount: 10000})
		}
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 24, 24 * 10}).Draw(t, "hours")) * time.Hour)
			f := contracts.Fact{InvoiceID: number(rapid.IntRange(0, invoices-1).Draw(t, "invoice"))}
			f.Kind = rapid.SampledFrom([]contracts.FactKind{contracts.NoticeSent, contracts.NoticeSent, contracts.NoticeSent, contracts.PaymentReceived,
				contracts.PaymentReceived, contracts.PaymentReversed, contracts.PaymentReversed, contracts.DisputeOpened, contracts.DisputeRejected,
				contracts.InvoiceCancelled, contracts.Renegotiated, contracts.Cancelled, contracts.Activated}).Draw(t, "kind")
			switch f.Kind {
			case contracts.PaymentReceived, contracts.PaymentReversed:
				f.Amount = contracts.Cents(rapid.SampledFrom([]int{0, 4000, 9999, 10000, 12000}).Draw(t, "amount"))
			case contracts.Renegotiated:
				f.AgreementID = "A"
			}
			add(f)
		}
		// Facts of one instant are recorded microseconds apart: nobody asks in between.
		now = now.Add(time.Duration(rapid.IntRange(0, 24*20).Draw(t, "hours until asked"))*time.Hour + time.Millisecond)
		d, err := h.Dossier(ctx, c.ID, now)
		h.must(err)
		owed := slices.ContainsFunc(contracts.Debts(d.Contract, d.Facts, d.Rules, now), func(x contracts.Debt) bool { return x.NoticeDue })
		ids, err := h.AwaitingNotice(ctx, now, c.ID-1, 10)
		h.must(err)
		if owed && (len(ids) == 0 || ids[0] != c.ID) {
			t.Fatalf("a notice of contract %d is due at %s, and it is not listed:\n%+v", c.ID, now, d.Facts)
		}
		if slices.ContainsFunc(ids, func(id contracts.ContractID) bool { return id < c.ID }) || !slices.IsSorted(ids) {
			t.Fatalf("listed %v after %d", ids, c.ID-1)
		}
	})
}

// In the histories that billing really writes, only who owes a notice is listed: nobody is looked at in vain every minute.
func TestWhoOwesNothingIsNotListed(t *testing.T) {
	h := newHouse(t)
	listed := func(now string) []contracts.ContractID {
		ids, err := h.AwaitingNotice(ctx, at(now), 0, 100)
		h.must(err)
		return ids
	}
	c := h.sign("2026-01-05 10:00")
	fact := func(now string, kind contracts.FactKind, amount contracts.Cents) {
		h.record(at(now), contracts.Fact{ContractID: c.ID, Kind: kind, InvoiceID: "F1", Amount: amount, Due: day("2026-03-10")})
	}
	want := func(now string, n int) {
		t.Helper()
		if ids := listed(now); len(ids) != n {
			t.Fatalf("at %s: %v, want %d", now, ids, n)
		}
	}
	fact("2026-02-28 06:00", contracts.InvoiceIssued, 10000)
	want("2026-03-05 08:00", 0)
	want("2026-03-11 08:00", 1)
	fact("2026-03-11 08:00", contracts.NoticeSent, 0)
	want("2026-03-11 08:01", 0)
	want("2026-05-11 08:00", 0)
	fact("2026-05-11 09:00", contracts.PaymentReceived, 10000)
	want("2026-05-12 08:00", 0)
	fact("2026-05-13 09:00", contracts.PaymentReversed, 10000)
	want("2026-05-14 08:00", 1)
	fact("2026-05-14 08:00", contracts.NoticeSent, 0)
	want("2026-05-15 08:00", 0)
	fact("2026-05-16 08:00", contracts.DisputeOpened, 0)
	fact("2026-05-20 08:00", contracts.DisputeRejected, 0)
	want("2026-05-21 08:00", 1)
	fact("2026-05-21 08:00", contracts.InvoiceCancelled, 0)
	want("2026-05-22 08:00", 0)
}
