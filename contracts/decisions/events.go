package decisions

import (
	"fmt"
	"time"

	"enlace/contracts"
)

// factNames are the event types of a table; several words say the same thing.
var factNames = map[string]contracts.FactKind{
	"invoice": contracts.InvoiceIssued, "notice": contracts.NoticeSent, "payment": contracts.PaymentReceived,
	"reversal": contracts.PaymentReversed, "refund": contracts.PaymentReversed, "chargeback": contracts.PaymentReversed,
	"reverse_payment": contracts.PaymentReversed, "payment_reversal": contracts.PaymentReversed,
	"credit": contracts.PaymentReceived, "cancel_invoice": contracts.InvoiceCancelled,
	"dispute": contracts.DisputeOpened, "dispute_open": contracts.DisputeOpened, "dispute_opened": contracts.DisputeOpened, "open_dispute": contracts.DisputeOpened,
	"dispute_rejected": contracts.DisputeRejected, "dispute_reject": contracts.DisputeRejected, "reject_dispute": contracts.DisputeRejected,
	"trust_unblock": contracts.TrustUnblock, "trust_clear": contracts.TrustCleared, "clear_trust": contracts.TrustCleared, "clear_trust_restriction": contracts.TrustCleared,
	"temp_release": contracts.TempRelease, "manual_release": contracts.ManualRelease,
	"manual_block": contracts.ManualBlock, "manual_unblock": contracts.ManualUnblock,
	"voluntary_suspend": contracts.VoluntarySuspend, "resume": contracts.VoluntaryResume, "voluntary_resume": contracts.VoluntaryResume,
	"activate": contracts.Activated, "cancel_contract": contracts.Cancelled, "withdraw": contracts.Cancelled,
}

// invoiceLead is how long before its due date, and at which time of day, an invoice is known unless a table says.
const (
	invoiceLeadDays = 10
	invoiceLeadTime = contracts.ClockTime(6 * 60)
)

// facts are the events of a case as the engine takes them.
func (t *Table) facts(events []tableEvent, zone *time.Location) ([]contracts.Fact, error) {
	var out []contracts.Fact
	for i, e := range events {
		f := contracts.Fact{ID: int64(i + 1), ContractID: 1, InvoiceID: string(e.Invoice), Actor: "table", Reason: e.Reason}
		var err error
		for _, d := range []struct {
			to   *contracts.Date
			from text
		}{{&f.Due, e.Due}, {&f.PaidOn, e.PaidOn}, {&f.From, e.From}, {&f.Until, e.Until}} {
			if d.from != "" {
				if *d.to, err = contracts.ParseDate(string(d.from)); err != nil {
					return nil, fmt.Errorf("event %d (%s): %w", i+1, e.Type, err)
				}
			}
		}
		if e.Amount != "" {
			if f.Amount, err = contracts.ParseCents(string(e.Amount)); err != nil {
				return nil, fmt.Errorf("event %d (%s): %w", i+1, e.Type, err)
			}
		}
		if (e.Type == "invoice" && e.Due == "") || ((e.Type == "invoice" || e.Type == "payment") && e.Amount == "") {
			return nil, fmt.Errorf("event %d (%s): an invoice has due and amount, a payment has amount", i+1, e.Type)
		}
		if e.At != "" {
			if f.At, err = contracts.ParseInstant("at", string(e.At), zone); err != nil {
				return nil, fmt.Errorf("event %d (%s): %w", i+1, e.Type, err)
			}
		} else if e.Type == "invoice" {
			f.At = f.Due.AddDays(-invoiceLeadDays).At(invoiceLeadTime, zone)
		} else {
			return nil, fmt.Errorf("event %d (%s): it has no instant (at)", i+1, e.Type)
		}
		if e.Type == "renegotiate" {
			parts, err := t.agreement(e, f, zone)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", i+1, err)
			}
			out = append(out, parts...)
			continue
		}
		kind, ok := factNames[e.Type]
		if !ok {
			return nil, fmt.Errorf("event %d: unknown type %q", i+1, e.Type)
		}
		f.Kind = kind
		if kind == contracts.InvoiceIssued {
			f.InvoiceID = string(e.ID)
		}
		out = append(out, f)
	}
	return out, nil
}

// agreement turns a renegotiation into its facts: the old invoices leave, the instalments come.
func (t *Table) agreement(e tableEvent, f contracts.Fact, zone *time.Location) ([]contracts.Fact, error) {
	id := fmt.Sprintf("agreement-%d", f.ID)
	var out []contracts.Fact
	for _, inv := range e.Invoices {
		out = append(out, contracts.Fact{ID: f.ID, ContractID: 1, At: f.At, Kind: contracts.Renegotiated, InvoiceID: string(inv), AgreementID: id})
	}
	for _, p := range e.Installments {
		due, err := contracts.ParseDate(string(p.Due))
		if err != nil {
			return nil, err
		}
		amount, err := contracts.ParseCents(string(p.Amount))
		if err != nil {
			return nil, err
		}
		out = append(out, contracts.Fact{ID: f.ID, ContractID: 1, At: f.At, Kind: contracts.InstallmentDue, InvoiceID: string(p.ID), AgreementID: id, Due: due, Amount: amount})
	}
	return out, nil
}
