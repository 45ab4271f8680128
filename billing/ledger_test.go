package billing

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"enlace/contracts"
)

func TestEveryTransactionSumsToZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(0, int64(contracts.MaxAmount))
		a := func(label string) contracts.Cents { return contracts.Cents(amount.Draw(t, label)) }
		carried := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Fees {
			return Fees{Invoice: rapid.Int64Range(1, 9).Draw(t, "invoice"), Amount: contracts.Cents(rapid.Int64Range(-10000, 10000).Draw(t, "fee"))}
		}), 0, 4).Draw(t, "carried")
		paid, principal, fees := a("paid"), a("principal"), contracts.Cents(rapid.Int64Range(-100, 10000).Draw(t, "fees"))
		use := Allocate(paid, principal, fees)
		if use.Principal+use.Fees+use.Credit != paid || min(use.Principal, use.Fees, use.Credit) < 0 {
			t.Fatalf("%s is used as %+v", paid, use)
		}
		if use.Fees > 0 && use.Principal < principal || use.Credit > 0 && use.Fees < fees {
			t.Fatalf("%s for %s and fees of %s is used as %+v: principal first, then fees", paid, principal, fees, use)
		}
		txns := []Txn{Issue(1, principal, carried), Assess(TxnFine, 1, a("fine")), Assess(TxnInterest, 1, a("interest")),
			Receive(1, use), ApplyCredit(1, a("credit"))}
		txns = append(txns, Reverse(TxnReversal, txns[1], txns[2], txns[3]), Reverse(TxnCancel, txns[0], txns[4]))
		for _, x := range txns {
			if x.Sum() != 0 {
				t.Fatalf("%s sums to %s: %+v", x.Kind, x.Sum(), x.Entries)
			}
			for _, e := range x.Entries {
				if e.Amount == 0 {
					t.Fatalf("%s has an entry of nothing: %+v", x.Kind, x.Entries)
				}
			}
		}
		balance := map[Account]contracts.Cents{}
		for _, x := range txns {
			for _, e := range x.Entries {
				balance[e.Account] += e.Amount
			}
		}
		for account, sum := range balance {
			if sum != 0 {
				t.Fatalf("everything was undone and %s holds %s", account, sum)
			}
		}
	})
}

func TestPaymentRequestIsValidated(t *testing.T) {
	today := day("2026-03-10")
	good := PaymentRequest{ExternalID: "E123", Invoice: "F00000001", Amount: 1, PaidOn: today, Method: Pix}
	if err := good.Validate(today); err != nil {
		t.Fatalf("a good request: %v", err)
	}
	for field, spoil := range map[string]func(*PaymentRequest){
		"external_id": func(r *PaymentRequest) { r.ExternalID = "" },
		"external_id too long": func(r *PaymentRequest) {
			r.ExternalID = strings.Repeat("x", 101)
		},
		"external_id control": func(r *PaymentRequest) { r.ExternalID = "a\nb" },
		"external_id space":   func(r *PaymentRequest) { r.ExternalID = " a" },
		"external_id bytes":   func(r *PaymentRequest) { r.ExternalID = "a\xff" },
		"invoice":             func(r *PaymentRequest) { r.Invoice = "" },
		"amount zero":         func(r *PaymentRequest) { r.Amount = 0 },
		"amount negative":     func(r *PaymentRequest) { r.Amount = -1 },
		"amount huge":         func(r *PaymentRequest) { r.Amount = contracts.MaxAmount + 1 },
		"method":              func(r *PaymentRequest) { r.Method = "barter" },
		"paid_on tomorrow":    func(r *PaymentRequest) { r.PaidOn = today + 1 },
		"paid_on long ago":    func(r *PaymentRequest) { r.PaidOn = day("1999-12-31") },
	} {
		r := good
		spoil(&r)
		err, _ := r.Validate(today).(*contracts.Error)
		if err == nil || err.Kind != contracts.Invalid || !strings.HasPrefix(field, err.Field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func FuzzPaymentRequest(f *testing.F) {
	f.Add("E123", "F00000001", int64(100), int32(20000), "pix")
	f.Add("", "", int64(-1), int32(0), "")
	f.Add("\xff\x00", "F", int64(1)<<62, int32(-1), "card")
	f.Fuzz(func(t *testing.T, id, invoice string, amount int64, paidOn int32, method string) {
		r := PaymentRequest{ExternalID: id, Invoice: invoice, Amount: contracts.Cents(amount), PaidOn: contracts.Date(paidOn), Method: Method(method)}
		if r.Validate(20000) == nil && (r.Amount <= 0 || r.Amount > contracts.MaxAmount || r.PaidOn > 20000 || len(id) > 100 || strings.ContainsAny(id, "\x00\n\x7f")) {
			t.Fatalf("accepted %+v", r)
		}
	})
}

func TestManualInvoiceIsValidated(t *testing.T) {
	today := day("2026-03-10")
	line := Line{Description: "Visita técnica", Amount: 5000}
	if err := ValidateManual(today+10, today, []Line{line}); err != nil {
		t.Fatalf("a good invoice: %v", err)
	}
	for name, c := range map[string]struct {
		due   contracts.Date
		lines []Line
	}{
		"no lines":        {today, nil},
		"no description":  {today, []Line{{Amount: 1}}},
		"nothing charged": {today, []Line{{Description: "x", Amount: 5}, {Description: "y", Amount: -5}}},
		"zero line":       {today, []Line{line, {Description: "y"}}},
		"backward period": {today, []Line{{Description: "x", Amount: 5, Period: Period{today, today - 1}}}},
		"due never":       {0, []Line{line}},
		"due too late":    {today.AddMonths(61), []Line{line}},
		"too much":        {today, []Line{{Description: "x", Amount: contracts.MaxAmount}, {Description: "x", Amount: 1}}},
	} {
		if ValidateManual(c.due, today, c.lines) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestInvoiceState(t *testing.T) {
	for want, i := range map[InvoiceState]Invoice{
		Open:      {Principal: 100, Open: 100},
		Partial:   {Principal: 100, Open: 1},
		Paid:      {Principal: 100},
		Cancelled: {Principal: 100, CancelledAt: day("2026-03-10").Start(saoPaulo)},
	} {
		if got := i.State(); got != want {
			t.Errorf("%+v is %s, want %s", i, got, want)
		}
	}
}
