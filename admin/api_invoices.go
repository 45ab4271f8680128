package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/billing"
	"enlace/contracts"
)

type lineJSON struct {
	Description string `json:"description" minLength:"1" maxLength:"200"`
	From        civil  `json:"from,omitempty"`
	Until       civil  `json:"until,omitempty" doc:"Exclusive"`
	Amount      money  `json:"amount"`
}

type invoiceJSON struct {
	Number      string     `json:"number"`
	ContractID  int64      `json:"contract_id"`
	CustomerID  int64      `json:"customer_id"`
	Kind        string     `json:"kind"`
	State       string     `json:"state" enum:"open,partial,paid,cancelled"`
	From        civil      `json:"from"`
	Until       civil      `json:"until" doc:"Exclusive"`
	IssuedAt    time.Time  `json:"issued_at"`
	Due         civil      `json:"due"`
	Principal   money      `json:"principal"`
	Open        money      `json:"open" doc:"Principal that is not settled"`
	CancelledAt *time.Time `json:"cancelled_at,omitempty"`
}

func invoiceJSONOf(i *billing.Invoice) invoiceJSON {
	return invoiceJSON{Number: i.Number, ContractID: int64(i.Contract), CustomerID: int64(i.Customer), Kind: string(i.Kind), State: string(i.State()),
		From: civilOf(i.Period.From), Until: civilOf(i.Period.Until), IssuedAt: i.IssuedAt.UTC(), Due: civilOf(i.Due), Principal: moneyOf(i.Principal),
		Open: moneyOf(i.Open), CancelledAt: instantOf(i.CancelledAt)}
}

type paymentJSON struct {
	ID         int64      `json:"id"`
	ExternalID string     `json:"external_id"`
	Invoice    string     `json:"invoice"`
	ContractID int64      `json:"contract_id"`
	Amount     money      `json:"amount"`
	PaidOn     civil      `json:"paid_on"`
	ReceivedAt time.Time  `json:"received_at"`
	Method     string     `json:"method"`
	Actor      string     `json:"actor"`
	Principal  money      `json:"principal" doc:"Part used for the invoice's principal"`
	Fees       money      `json:"fees" doc:"Part used for late fees"`
	Credit     money      `json:"credit" doc:"Part kept as customer credit"`
	ReversedAt *time.Time `json:"reversed_at,omitempty"`
}

func paymentJSONOf(p *billing.Payment) paymentJSON {
	return paymentJSON{ID: p.ID, ExternalID: p.ExternalID, Invoice: p.Invoice, ContractID: int64(p.Contract), Amount: moneyOf(p.Amount), PaidOn: civilOf(p.PaidOn),
		ReceivedAt: p.ReceivedAt.UTC(), Method: string(p.Method), Actor: p.Actor, Principal: moneyOf(p.Used.Principal), Fees: moneyOf(p.Used.Fees),
		Credit: moneyOf(p.Used.Credit), ReversedAt: instantOf(p.ReversedAt)}
}

type quoteJSON struct {
	On        civil `json:"on"`
	Principal money `json:"principal"`
	Fees      money `json:"fees" doc:"Assessed before"`
	Fine      money `json:"fine"`
	Interest  money `json:"interest"`
	Total     money `json:"total"`
}

type invoiceDetailJSON struct {
	invoiceJSON
	EffectiveDue civil         `json:"effective_due"`
	Lines        []lineJSON    `json:"lines"`
	Payments     []paymentJSON `json:"payments"`
	Quote        *quoteJSON    `json:"quote,omitempty" doc:"What settles it today; absent when nothing is owed"`
}

func invoiceDetailJSONOf(d *billing.InvoiceDetail) invoiceDetailJSON {
	out := invoiceDetailJSON{invoiceJSON: invoiceJSONOf(&d.Invoice), EffectiveDue: civilOf(d.EffectiveDue), Lines: []lineJSON{}, Payments: []paymentJSON{}}
	for _, l := range d.Lines {
		out.Lines = append(out.Lines, lineJSON{l.Description, civilOf(l.Period.From), civilOf(l.Period.Until), moneyOf(l.Amount)})
	}
	for i := range d.Payments {
		out.Payments = append(out.Payments, paymentJSONOf(&d.Payments[i]))
	}
	if q := d.Quote; q.Total > 0 {
		out.Quote = &quoteJSON{civilOf(q.On), moneyOf(q.Principal), moneyOf(q.Fees), moneyOf(q.Fine), moneyOf(q.Interest), moneyOf(q.Total)}
	}
	return out
}

type byNumber struct {
	Number string `path:"number" maxLength:"40"`
}

type reasonJSON struct {
	Reason string `json:"reason,omitempty" maxLength:"400"`
}

func (r *reasonJSON) text() string {
	if r == nil {
		return ""
	}
	return r.Reason
}

func (s *server) invoicesAPI(a huma.API) {
	type find struct {
		ContractID int64  `query:"contract_id" minimum:"0"`
		CustomerID int64  `query:"customer_id" minimum:"0"`
		State      string `query:"state" enum:"open,partial,paid,cancelled,unpaid"`
		DueFrom    civil  `query:"due_from"`
		DueTo      civil  `query:"due_to" doc:"Inclusive"`
		After      int64  `query:"after" minimum:"0"`
		Limit      int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	}
	operation(s, a, "GET", "/invoices", "list-invoices", "Invoices, newest first", func(ctx context.Context, in *find) (*body[listing[invoiceJSON]], error) {
		f := billing.InvoiceFilter{Contract: contracts.ContractID(in.ContractID), Customer: contracts.CustomerID(in.CustomerID), State: billing.InvoiceState(in.State), After: in.After, Limit: in.Limit}
		var err error
		if f.DueFrom, err = in.DueFrom.date("due_from"); err != nil {
			return nil, err
		}
		if f.DueTo, err = in.DueTo.date("due_to"); err != nil {
			return nil, err
		}
		found, err := s.Billing.Invoices(ctx, f)
		if err != nil {
			return nil, err
		}
		out := listOf[invoiceJSON](nil)
		for i := range found {
			out.Items = append(out.Items, invoiceJSONOf(&found[i]))
		}
		if len(found) == in.Limit {
			out.Next = strconv.FormatInt(found[len(found)-1].ID, 10)
		}
		return reply(out), nil
	})
	operation(s, a, "GET", "/invoices/{number}", "get-invoice", "One invoice with lines, payments and what settles it today", func(ctx context.Context, in *byNumber) (*body[invoiceDetailJSON], error) {
		d, err := s.invoiceToday(ctx, in.Number)
		if err != nil {
			return nil, err
		}
		return reply(invoiceDetailJSONOf(&d)), nil
	})
	type cancel struct {
		Number string `path:"number" maxLength:"40"`
		Body   *reasonJSON
	}
	operation(s, a, "POST", "/invoices/{number}/cancel", "cancel-invoice", "Withdraw an invoice that has no payments", func(ctx context.Context, in *cancel) (*body[invoiceDetailJSON], error) {
		if err := s.Billing.CancelInvoice(ctx, in.Number, actorOf(ctx), in.Body.text(), s.Now()); err != nil {
			return nil, err
		}
		d, err := s.invoiceToday(ctx, in.Number)
		if err != nil {
			return nil, err
		}
		return reply(invoiceDetailJSONOf(&d)), nil
	})
	type manual struct {
		ID   int64 `path:"id" minimum:"1"`
		Body struct {
			Due   civil      `json:"due"`
			Lines []lineJSON `json:"lines" minItems:"1" maxItems:"50"`
		}
	}
	operation(s, a, "POST", "/contracts/{id}/invoices", "create-invoice", "Charge what is written", func(ctx context.Context, in *manual) (*created[invoiceJSON], error) {
		due, err := in.Body.Due.date("due")
		if err != nil {
			return nil, err
		}
		lines := make([]billing.Line, len(in.Body.Lines))
		for i, l := range in.Body.Lines {
			if lines[i], err = l.line(); err != nil {
				return nil, err
			}
		}
		made, err := s.Billing.ManualInvoice(ctx, contracts.ContractID(in.ID), due, lines, actorOf(ctx), s.Now())
		if err != nil {
			return nil, err
		}
		return recorded(invoiceJSONOf(&made)), nil
	})
	s.paymentsAPI(a)
}

func (l lineJSON) line() (billing.Line, error) {
	out := billing.Line{Description: l.Description}
	var err error
	if out.Amount, err = l.Amount.cents("lines"); err != nil {
		return out, err
	}
	if out.Period.From, err = l.From.date("lines"); err != nil {
		return out, err
	}
	out.Period.Until, err = l.Until.date("lines")
	return out, err
}

// invoiceToday reads an invoice with its quote for today in its contract's zone.
func (s *server) invoiceToday(ctx context.Context, number string) (billing.InvoiceDetail, error) {
	now := s.Now()
	d, err := s.Billing.Invoice(ctx, number, contracts.DateOf(now, s.Zone))
	if err != nil {
		return d, err
	}
	c, err := s.Contracts.Contract(ctx, d.Contract)
	if err != nil {
		return d, err
	}
	if today := contracts.DateOf(now, c.Zone); today != contracts.DateOf(now, s.Zone) {
		return s.Billing.Invoice(ctx, number, today)
	}
	return d, nil
}

func (s *server) paymentsAPI(a huma.API) {
	type pay struct {
		Body struct {
			ExternalID string `json:"external_id" minLength:"1" maxLength:"100" doc:"Idempotency key: the same key with the same content is the same payment"`
			Invoice    string `json:"invoice" minLength:"1" maxLength:"40"`
			Amount     money  `json:"amount"`
			PaidOn     civil  `json:"paid_on,omitempty" doc:"Absent: today"`
			Method     string `json:"method,omitempty" enum:"pix,boleto,cash,transfer,card,other" default:"other"`
		}
	}
	operation(s, a, "POST", "/payments", "register-payment", "Register a payment: 201 when it is new, 200 when it was already recorded", func(ctx context.Context, in *pay) (*created[paymentJSON], error) {
		b := in.Body
		req := billing.PaymentRequest{ExternalID: b.ExternalID, Invoice: b.Invoice, Method: billing.Method(b.Method), Actor: actorOf(ctx)}
		var err error
		if req.Amount, err = b.Amount.cents("amount"); err != nil {
			return nil, err
		}
		if req.PaidOn, err = b.PaidOn.date("paid_on"); err != nil {
			return nil, err
		}
		p, fresh, err := s.Billing.Pay(ctx, req, s.Now())
		if err != nil {
			return nil, err
		}
		out := recorded(paymentJSONOf(&p))
		if !fresh {
			out.Status = 200
		}
		return out, nil
	})
	operation(s, a, "GET", "/payments/{id}", "get-payment", "One payment", func(ctx context.Context, in *byID) (*body[paymentJSON], error) {
		p, err := s.Billing.Payment(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return reply(paymentJSONOf(&p)), nil
	})
	type reverse struct {
		ID   int64 `path:"id" minimum:"1"`
		Body *reasonJSON
	}
	operation(s, a, "POST", "/payments/{id}/reversal", "reverse-payment", "Undo a payment: refund, chargeback, MED", func(ctx context.Context, in *reverse) (*body[paymentJSON], error) {
		if err := s.Billing.Reverse(ctx, in.ID, actorOf(ctx), in.Body.text(), s.Now()); err != nil {
			return nil, err
		}
		p, err := s.Billing.Payment(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return reply(paymentJSONOf(&p)), nil
	})
}
