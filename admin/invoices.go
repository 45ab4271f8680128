package admin

import (
	"net/http"
	"net/url"
	"strconv"

	"enlace/billing"
	"enlace/contracts"
)

// invoicesPerPage bounds one page of invoices.
const invoicesPerPage = 50

func invoicePath(number string) string { return "/invoices/" + url.PathEscape(number) }

type invoicesView struct {
	State    string
	Invoices []billing.Invoice
	Names    map[contracts.CustomerID]string
	Today    contracts.Date
	Next     int64 // the page after this one, 0 if there is none
}

var invoiceStates = []choice{{"", "All"}, {"unpaid", "Unpaid"}, {"open", "Open"}, {"partial", "Partly paid"}, {"paid", "Paid"}, {"cancelled", "Cancelled"}}

func (s *server) invoicesPage(w http.ResponseWriter, r *http.Request, p *page) error {
	v := invoicesView{State: r.FormValue("state"), Today: contracts.DateOf(p.now, p.zone), Names: map[contracts.CustomerID]string{}}
	after, _ := strconv.ParseInt(r.FormValue("after"), 10, 64)
	list, err := s.Billing.Invoices(r.Context(), billing.InvoiceFilter{State: billing.InvoiceState(v.State), After: after, Limit: invoicesPerPage + 1})
	if err != nil {
		return err
	}
	if len(list) > invoicesPerPage {
		list = list[:invoicesPerPage]
		v.Next = list[len(list)-1].ID
	}
	v.Invoices = list
	for _, i := range list {
		if _, ok := v.Names[i.Customer]; !ok {
			c, err := s.Contracts.Customer(r.Context(), i.Customer)
			if err != nil {
				return err
			}
			v.Names[i.Customer] = c.Name
		}
	}
	return show(w, r, http.StatusOK, invoicesList(p, v))
}

type invoiceView struct {
	billing.InvoiceDetail
	Customer contracts.Customer
	Contract *contracts.Contract
	Today    contracts.Date
	PayID    string
}

func (s *server) viewInvoice(r *http.Request, p *page) (*invoiceView, error) {
	// Today depends on the contract's zone, and the contract on the invoice; the operator's zone finds it.
	d, err := s.Billing.Invoice(r.Context(), r.PathValue("number"), contracts.DateOf(p.now, p.zone))
	if err != nil {
		return nil, err
	}
	v := &invoiceView{InvoiceDetail: d, PayID: newPaymentID()}
	if v.Contract, err = s.Contracts.Contract(r.Context(), d.Invoice.Contract); err != nil {
		return nil, err
	}
	if v.Today = contracts.DateOf(p.now, v.Contract.Zone); v.Today != d.Quote.On {
		if v.InvoiceDetail, err = s.Billing.Invoice(r.Context(), d.Number, v.Today); err != nil {
			return nil, err
		}
	}
	v.Customer, err = s.Contracts.Customer(r.Context(), v.Contract.CustomerID)
	return v, err
}

func (s *server) invoicePage(w http.ResponseWriter, r *http.Request, p *page) error {
	v, err := s.viewInvoice(r, p)
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, invoiceDetail(p, v))
}

func (s *server) pay(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	number := r.PathValue("number")
	return s.payFor(w, r, p, f, number, invoicePath(number))
}

// payFor registers the payment that a form describes and goes back with what came of it.
func (s *server) payFor(w http.ResponseWriter, r *http.Request, p *page, f *form, number, back string) error {
	req := billing.PaymentRequest{ExternalID: f.get("id"), Invoice: number, Amount: f.money("amount"), PaidOn: f.date("paid_on"),
		Method: billing.Method(f.get("method")), Actor: p.actor()}
	if f.err != nil {
		s.say(r, false, p.errorText(f.err))
	} else if pay, fresh, err := s.Billing.Pay(r.Context(), req, p.now); err != nil {
		if done, err := s.sayRefused(r, p, err); !done {
			return err
		}
	} else if fresh {
		s.say(r, true, p.T("Payment of %s for %s is recorded.", p.Money(pay.Amount), pay.Invoice))
	} else {
		s.say(r, true, p.T("That payment was already recorded; nothing was counted twice."))
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

func (s *server) reversePayment(w http.ResponseWriter, r *http.Request, p *page) error {
	payment, err := id[int64](r, "payment")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	return s.thenBack(w, r, p, s.Billing.Reverse(r.Context(), payment, p.actor(), f.get("reason"), p.now), p.T("The payment is reversed."), invoicePath(r.PathValue("number")))
}

func (s *server) cancelInvoice(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	number := r.PathValue("number")
	return s.thenBack(w, r, p, s.Billing.CancelInvoice(r.Context(), number, p.actor(), f.get("reason"), p.now), p.T("Invoice %s is cancelled.", number), invoicePath(number))
}

// thenBack goes back with what came of an act: its refusal, or the text.
func (s *server) thenBack(w http.ResponseWriter, r *http.Request, p *page, err error, text, back string) error {
	if err != nil {
		if done, err := s.sayRefused(r, p, err); !done {
			return err
		}
	} else {
		s.say(r, true, text)
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

var methodLabels = map[billing.Method]string{billing.Pix: "Pix", billing.Boleto: "Boleto", billing.Cash: "Cash",
	billing.Transfer: "Transfer", billing.Card: "Card", billing.Other: "Other"}

var entryLabels = map[billing.TxnKind]string{billing.TxnIssue: "Issued", billing.TxnPayment: "Payment", billing.TxnFine: "Fine",
	billing.TxnInterest: "Interest", billing.TxnCredit: "Credit applied", billing.TxnReversal: "Reversal", billing.TxnCancel: "Cancellation"}

func (p *page) entry(k billing.TxnKind) string {
	if l, ok := entryLabels[k]; ok {
		return p.T(l)
	}
	return string(k)
}

var accountLabels = map[billing.Account]string{billing.Receivable: "Receivable", billing.FeesReceivable: "Fees receivable", billing.Revenue: "Revenue",
	billing.FeeRevenue: "Fee revenue", billing.Money: "Cash account", billing.CustomerCredit: "Customer credit"}

func (p *page) account(a billing.Account) string {
	if l, ok := accountLabels[a]; ok {
		return p.T(l)
	}
	return string(a)
}
