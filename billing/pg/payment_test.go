package pg

import (
	"fmt"
	"sync"
	"testing"

	"enlace/billing"
	"enlace/contracts"
)

// march is a contract with one invoice of 100.00 due on Tuesday 2026-03-10.
func march(f *company) (contracts.ContractID, string) {
	id := f.sign("2026-02-10 10:00", nil)
	f.run("2026-02-28 06:00", 1)
	return id, f.invoices(id)[0].Number
}

func TestPayInFullOnTime(t *testing.T) {
	f := found(t)
	id, number := march(f)
	p := f.pay("E1", number, 10000, "2026-03-10", "2026-03-12 09:00")
	if p.Used != (billing.Allocation{Principal: 10000}) {
		t.Errorf("used as %+v: paid on time, however late it is heard of", p.Used)
	}
	d := f.detail(number, "2026-03-12")
	if d.State() != billing.Paid || d.FeesOpen != 0 || d.Quote.Total != 0 || len(d.Payments) != 1 {
		t.Errorf("%+v", d)
	}
	dossier, err := f.contracts.Dossier(f.ctx, id, at("2026-03-12 10:00"))
	f.must(err)
	last := dossier.Facts[len(dossier.Facts)-1]
	if last.Kind != contracts.PaymentReceived || last.Amount != 10000 || last.PaymentID != p.ID || last.PaidOn != day("2026-03-10") {
		t.Errorf("the fact is %+v", last)
	}
	f.sound()
}

func TestLatePaymentsFinesAndTheNextInvoice(t *testing.T) {
	f := found(t)
	id, number := march(f)
	if q := f.detail(number, "2026-03-25").Quote; q.Fine != 200 || q.Interest != 50 || q.Total != 10250 {
		t.Errorf("quote %+v", q)
	}
	first := f.pay("E1", number, 4000, "2026-03-25", "2026-03-25 09:00") // assessed 2.00 + 0.50 on 100.00
	if first.Used.Principal != 4000 {
		t.Errorf("used as %+v", first.Used)
	}
	if d := f.detail(number, "2026-04-24"); d.State() != billing.Partial || d.FeesOpen != 250 || d.Quote.Interest != 60 || d.Quote.Fine != 0 {
		t.Errorf("open %s, fees %s, quote %+v; want interest of 30 days on 60.00 and no second fine", d.Open, d.FeesOpen, d.Quote)
	}
	second := f.pay("E2", number, 6100, "2026-04-24", "2026-04-24 09:00") // 60.00 and 1.00 of 3.10
	if second.Used != (billing.Allocation{Principal: 6000, Fees: 100}) {
		t.Errorf("used as %+v", second.Used)
	}
	if d := f.detail(number, "2026-04-24"); d.State() != billing.Paid || d.FeesOpen != 210 {
		t.Errorf("state %s, fees %s: fees do not keep an invoice open", d.State(), d.FeesOpen)
	}
	f.run("2026-05-01 06:00", 2) // the cycles due in April and in May
	list := f.invoices(id)
	next := f.detail(list[1].Number, "2026-05-01")
	if next.Principal != 10210 || len(next.Lines) != 2 || next.Lines[1].Description != "Multa e juros "+number || next.Lines[1].Amount != 210 {
		t.Errorf("the next invoice: %+v", next.Lines)
	}
	if list[2].Principal != 10000 {
		t.Errorf("the fees are carried twice: %+v", list[2])
	}
	if d := f.detail(number, "2026-05-01"); d.FeesOpen != 0 {
		t.Errorf("fees of %s are still on the old invoice", d.FeesOpen)
	}
	// No fee on the fee: 2 % of 100.00, not of 102.10.
	if q := f.detail(list[1].Number, "2026-06-10").Quote; q.Fine != 200 {
		t.Errorf("quote %+v", q)
	}
	f.sound()
	// Undone, the fees that the next invoice took over are given back by the one after it.
	f.must(f.store.Reverse(f.ctx, second.ID, "staff:ana", "typo", at("2026-05-02 09:00")))
	f.must(f.store.Reverse(f.ctx, first.ID, "staff:ana", "typo", at("2026-05-02 09:05")))
	if d := f.detail(number, "2026-05-02"); d.FeesOpen != -210 || d.Open != 10000 {
		t.Errorf("open %s, fees %s", d.Open, d.FeesOpen)
	}
	f.run("2026-06-01 06:00", 1)
	if last := f.invoices(id)[3]; last.Principal != 9790 {
		t.Errorf("the invoice after it is of %s", last.Principal)
	}
	f.sound()
}

func TestOverpaymentBecomesCreditForTheNextInvoice(t *testing.T) {
	f := found(t)
	id, number := march(f)
	p := f.pay("E1", number, 25000, "2026-03-01", "2026-03-01 09:00")
	if p.Used != (billing.Allocation{Principal: 10000, Credit: 15000}) {
		t.Errorf("used as %+v", p.Used)
	}
	again := f.pay("E2", number, 500, "2026-03-02", "2026-03-02 09:00")
	if again.Used != (billing.Allocation{Credit: 500}) {
		t.Errorf("paid again: used as %+v", again.Used)
	}
	f.run("2026-03-31 06:00", 1)
	f.run("2026-04-30 06:00", 1)
	list := f.invoices(id)
	if list[1].State() != billing.Paid || list[2].State() != billing.Partial || list[2].Open != 4500 {
		t.Errorf("%+v", list)
	}
	if b, err := f.store.Balance(f.ctx, id); err != nil || b != (Balance{Principal: 4500}) {
		t.Errorf("balance %+v %v", b, err)
	}
	f.refused(f.store.Reverse(f.ctx, p.ID, "staff:ana", "refund", at("2026-05-01 09:00")), "credit_used")
	if f.audited("payment.reverse", "credit_used") != 1 {
		t.Error("the refusal is not in the audit")
	}
	f.sound()
	// Cancelling what the credit settled gives it back, and then the payment can be reversed.
	f.must(f.store.CancelInvoice(f.ctx, list[1].Number, "staff:ana", "goodwill", at("2026-05-01 09:00")))
	f.must(f.store.CancelInvoice(f.ctx, list[2].Number, "staff:ana", "goodwill", at("2026-05-01 09:00")))
	f.must(f.store.Reverse(f.ctx, p.ID, "staff:ana", "refund", at("2026-05-01 09:00")))
	f.refused(f.store.Reverse(f.ctx, p.ID, "staff:ana", "refund", at("2026-05-01 09:01")), "already_reversed")
	if b, err := f.store.Balance(f.ctx, id); err != nil || b != (Balance{Principal: 10000, Credit: 500}) {
		t.Errorf("balance %+v %v", b, err)
	}
	f.sound()
}

func TestPayIsIdempotent(t *testing.T) {
	f := found(t)
	_, number := march(f)
	_, other := march(f)
	req := billing.PaymentRequest{ExternalID: "E1", Invoice: number, Amount: 10000, PaidOn: day("2026-03-09"), Method: billing.Pix, Actor: "token:psp"}
	var mu sync.Mutex
	var wg sync.WaitGroup
	ids, freshes := map[int64]bool{}, 0
	for range 8 {
		wg.Go(func() {
			p, fresh, err := f.store.Pay(f.ctx, req, at("2026-03-09 10:00"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			ids[p.ID] = true
			if fresh {
				freshes++
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || freshes != 1 {
		t.Errorf("payments %v, %d fresh", ids, freshes)
	}
	for name, change := range map[string]func(*billing.PaymentRequest){
		"amount":  func(r *billing.PaymentRequest) { r.Amount++ },
		"date":    func(r *billing.PaymentRequest) { r.PaidOn-- },
		"method":  func(r *billing.PaymentRequest) { r.Method = billing.Cash },
		"invoice": func(r *billing.PaymentRequest) { r.Invoice = other },
	} {
		r := req
		change(&r)
		_, _, err := f.store.Pay(f.ctx, r, at("2026-03-09 10:00"))
		t.Log(name)
		f.refused(err, "idempotency")
	}
	// The same id for two contracts at the same moment: one is registered, the other refused.
	oks := 0
	for i, invoice := range []string{number, other} {
		wg.Go(func() {
			r := req
			r.ExternalID, r.Invoice = "E2", invoice
			_, _, err := f.store.Pay(f.ctx, r, at("2026-03-09 10:00"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				oks++
			} else {
				t.Log(i, err)
				f.refused(err, "idempotency")
			}
		})
	}
	wg.Wait()
	if oks != 1 {
		t.Errorf("%d of two payments with one id were registered", oks)
	}
	f.sound()
}

func TestPayRefuses(t *testing.T) {
	f := found(t)
	_, number := march(f)
	req := billing.PaymentRequest{ExternalID: "E1", Invoice: number, Amount: 10000, PaidOn: day("2026-03-09"), Method: billing.Pix, Actor: "test"}
	try := func(code string, change func(*billing.PaymentRequest)) {
		t.Helper()
		r := req
		change(&r)
		_, _, err := f.store.Pay(f.ctx, r, at("2026-03-09 23:30"))
		f.refused(err, code)
	}
	try("not_found", func(r *billing.PaymentRequest) { r.Invoice = "F99999999" })
	try("invalid", func(r *billing.PaymentRequest) { r.Amount = 0 })
	try("invalid", func(r *billing.PaymentRequest) { r.PaidOn = day("2026-03-10") }) // tomorrow there, though today in UTC
	f.must(f.store.CancelInvoice(f.ctx, number, "staff:ana", "wrong", at("2026-03-09 09:00")))
	try("cancelled", func(*billing.PaymentRequest) {})
	f.refused(f.store.CancelInvoice(f.ctx, number, "staff:ana", "wrong", at("2026-03-09 09:00")), "already_cancelled")
	f.refused(f.store.Reverse(f.ctx, 999, "staff:ana", "", at("2026-03-09 09:00")), "not_found")
	if f.audited("payment.create", "cancelled") != 1 || f.audited("payment.create", "done") != 0 {
		t.Error("the audit does not say so")
	}
	f.run("2026-03-09 06:00", 0) // a cancelled invoice is not issued again
	f.sound()
}

func TestCancelNeedsNoStandingPayment(t *testing.T) {
	f := found(t)
	_, number := march(f)
	p := f.pay("E1", number, 1, "2026-03-01", "2026-03-01 09:00")
	f.refused(f.store.CancelInvoice(f.ctx, number, "staff:ana", "wrong", at("2026-03-02 09:00")), "has_payments")
	f.must(f.store.Reverse(f.ctx, p.ID, "staff:ana", "wrong invoice", at("2026-03-01 09:00"))) // in the same instant as the payment
	f.sound()
	f.must(f.store.CancelInvoice(f.ctx, number, "staff:ana", "wrong", at("2026-03-02 09:00")))
	f.sound()
}

func TestReversedLatePaymentIsAssessedAnew(t *testing.T) {
	f := found(t)
	_, number := march(f)
	p := f.pay("E1", number, 10250, "2026-03-25", "2026-03-25 09:00")
	if p.Used != (billing.Allocation{Principal: 10000, Fees: 250}) {
		t.Errorf("used as %+v", p.Used)
	}
	f.must(f.store.Reverse(f.ctx, p.ID, "staff:ana", "chargeback", at("2026-03-30 09:00")))
	p = f.pay("E2", number, 10297, "2026-04-08", "2026-04-08 09:00")
	if p.Used != (billing.Allocation{Principal: 10000, Fees: 297}) {
		t.Errorf("used as %+v", p.Used)
	}
	f.sound()
}

func TestManualInvoice(t *testing.T) {
	f := found(t)
	id, number := march(f)
	f.pay("E1", number, 12000, "2026-03-01", "2026-03-01 09:00")
	lines := []billing.Line{{Description: "Visita técnica", Amount: 8000}, {Description: "Desconto", Amount: -1000}}
	i, err := f.store.ManualInvoice(f.ctx, id, day("2026-03-20"), lines, "staff:ana", at("2026-03-05 09:00"))
	f.must(err)
	if i.Kind != billing.Manual || i.Principal != 7000 || i.Open != 5000 || i.State() != billing.Partial {
		t.Errorf("%+v: credit of 20.00 settles part of it", i)
	}
	_, err = f.store.ManualInvoice(f.ctx, id, day("2026-03-20"), nil, "staff:ana", at("2026-03-05 09:00"))
	f.refused(err, "invalid")
	_, err = f.store.ManualInvoice(f.ctx, 999, day("2026-03-20"), lines, "staff:ana", at("2026-03-05 09:00"))
	f.refused(err, "not_found")
	f.sound()
}

func TestInvoicesFilter(t *testing.T) {
	f := found(t)
	id, number := march(f)
	march(f)
	f.run("2026-04-02 06:00", 2)
	f.pay("E1", number, 100, "2026-03-01", "2026-04-02 09:00")
	list := f.invoices(id)
	f.must(f.store.CancelInvoice(f.ctx, list[1].Number, "staff:ana", "", at("2026-04-02 09:00")))
	for name, c := range map[string]struct {
		filter billing.InvoiceFilter
		want   int
	}{
		"all":       {billing.InvoiceFilter{}, 4},
		"contract":  {billing.InvoiceFilter{Contract: id}, 2},
		"customer":  {billing.InvoiceFilter{Customer: f.customer}, 4},
		"nobody":    {billing.InvoiceFilter{Customer: 999}, 0},
		"open":      {billing.InvoiceFilter{State: billing.Open}, 2},
		"partial":   {billing.InvoiceFilter{State: billing.Partial}, 1},
		"paid":      {billing.InvoiceFilter{State: billing.Paid}, 0},
		"cancelled": {billing.InvoiceFilter{State: billing.Cancelled}, 1},
		"unpaid":    {billing.InvoiceFilter{State: billing.Unpaid}, 3},
		"due":       {billing.InvoiceFilter{DueFrom: day("2026-03-10"), DueTo: day("2026-03-10")}, 2},
		"due later": {billing.InvoiceFilter{DueFrom: day("2026-03-11")}, 2},
		"page":      {billing.InvoiceFilter{Limit: 3}, 3},
		"next page": {billing.InvoiceFilter{After: list[1].ID}, 2},
	} {
		got, err := f.store.Invoices(f.ctx, c.filter)
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %d invoices (%v), want %d", name, len(got), err, c.want)
		}
	}
	for _, bad := range []billing.InvoiceFilter{{Limit: -1}, {Limit: 501}, {State: "lost"}} {
		_, err := f.store.Invoices(f.ctx, bad)
		f.refused(err, "invalid")
	}
	_, err := f.store.Invoice(f.ctx, "F0", day("2026-03-10"))
	f.refused(err, "not_found")
	_, err = f.store.Payment(f.ctx, 999)
	f.refused(err, "not_found")
}

func TestConcurrentPaymentsOfOneInvoice(t *testing.T) {
	f := found(t)
	id, number := march(f)
	var wg sync.WaitGroup
	for n := range 12 {
		wg.Go(func() {
			_, _, err := f.store.Pay(f.ctx, billing.PaymentRequest{ExternalID: fmt.Sprint("E", n), Invoice: number, Amount: 1000,
				Method: billing.Boleto, Actor: "token:bank"}, at("2026-03-09 10:00"))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b, err := f.store.Balance(f.ctx, id); err != nil || b != (Balance{Credit: 2000}) {
		t.Errorf("balance %+v %v", b, err)
	}
	f.sound()
}
