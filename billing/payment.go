package billing

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"enlace/contracts"
)

// Method is how money came in.
type Method string

const (
	Pix      Method = "pix"
	Boleto   Method = "boleto"
	Cash     Method = "cash"
	Transfer Method = "transfer"
	Card     Method = "card"
	Other    Method = "other"
)

// Methods are all of them.
var Methods = []Method{Pix, Boleto, Cash, Transfer, Card, Other}

// earliest bounds dates from outside: nothing was paid or due before it.
var earliest = contracts.NewDate(2000, time.January, 1)

// PaymentRequest says that money came in for an invoice.
type PaymentRequest struct {
	// ExternalID is the idempotency key: the Pix endToEndId, a line of a bank file, or one made by the caller. The same
	// id with the same content is the same payment.
	ExternalID string
	Invoice    string // number
	Amount     contracts.Cents
	PaidOn     contracts.Date // zero: the day it is received
	Method     Method
	Actor      string
}

// Validate names the first field that cannot be accepted. today is the date in the contract's zone.
func (r *PaymentRequest) Validate(today contracts.Date) error {
	switch {
	case !printable(r.ExternalID, 100):
		return contracts.Invalidf("external_id", "an external id has 1 to 100 printable bytes, and neither begins nor ends with a space")
	case r.Invoice == "":
		return contracts.Invalidf("invoice", "a payment names its invoice")
	case r.Amount <= 0:
		return contracts.Invalidf("amount", "a payment is more than zero")
	case r.Amount > contracts.MaxAmount:
		return contracts.Invalidf("amount", "a payment is at most %s", contracts.MaxAmount)
	case !slices.Contains(Methods, r.Method):
		return contracts.Invalidf("method", "%q is none of pix, boleto, cash, transfer, card, other", r.Method)
	case r.PaidOn.IsZero():
	case r.PaidOn > today:
		return contracts.Invalidf("paid_on", "%s lies in the future", r.PaidOn)
	case r.PaidOn < earliest:
		return contracts.Invalidf("paid_on", "%s lies before %s", r.PaidOn, earliest)
	}
	return nil
}

// Payment is money received for an invoice and how it was used.
type Payment struct {
	ID         int64
	ExternalID string
	Invoice    string
	Contract   contracts.ContractID
	Amount     contracts.Cents
	PaidOn     contracts.Date
	ReceivedAt time.Time
	Method     Method
	Actor      string
	Used       Allocation
	ReversedAt time.Time // zero if it stands
}

// SameAs reports whether the request is a repetition of the one that made the payment.
func (p *Payment) SameAs(r *PaymentRequest) bool {
	return p.ExternalID == r.ExternalID && p.Invoice == r.Invoice && p.Amount == r.Amount && p.Method == r.Method &&
		(r.PaidOn.IsZero() || p.PaidOn == r.PaidOn)
}

// Allocation is how a payment is used; the parts sum to it and none is negative.
type Allocation struct {
	Principal contracts.Cents
	Fees      contracts.Cents
	Credit    contracts.Cents
}

// Allocate uses an amount for principal first, then fees, then customer credit.
func Allocate(amount, openPrincipal, openFees contracts.Cents) Allocation {
	var a Allocation
	a.Principal = min(amount, max(0, openPrincipal))
	a.Fees = min(amount-a.Principal, max(0, openFees))
	a.Credit = amount - a.Principal - a.Fees
	return a
}

// printable reports whether s has 1 to limit bytes, all of printable text, and no space at either end.
func printable(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
