package billing

import (
	"time"

	"enlace/contracts"
)

// Kind of an invoice.
type Kind string

const (
	Monthly Kind = "monthly" // charges days of the plan; no day twice
	Manual  Kind = "manual"  // charges what somebody wrote
)

// Invoice is what a customer is asked for.
type Invoice struct {
	ID          int64
	Number      string // public: "F00000042"
	Contract    contracts.ContractID
	Customer    contracts.CustomerID
	Kind        Kind
	Period      Period
	IssuedAt    time.Time
	Due         contracts.Date // nominal
	Principal   contracts.Cents
	Open        contracts.Cents // principal not settled
	FeesOpen    contracts.Cents // late fees assessed, not paid and not carried to a later invoice
	CancelledAt time.Time       // zero if not cancelled
}

// InvoiceState is derived from the ledger, never stored.
type InvoiceState string

const (
	Open      InvoiceState = "open"
	Partial   InvoiceState = "partial"
	Paid      InvoiceState = "paid"
	Cancelled InvoiceState = "cancelled"
)

// State of the invoice's principal.
func (i *Invoice) State() InvoiceState {
	switch {
	case !i.CancelledAt.IsZero():
		return Cancelled
	case i.Open <= 0:
		return Paid
	case i.Open < i.Principal:
		return Partial
	}
	return Open
}

// Line is one item of an invoice. Lines that charge days have a period; others have none.
type Line struct {
	Description string
	Period      Period
	Amount      contracts.Cents // negative: a credit
}

// Total of lines.
func Total(lines []Line) contracts.Cents {
	var sum contracts.Cents
	for _, l := range lines {
		sum += l.Amount
	}
	return sum
}

// ValidateManual names the first thing that cannot be accepted of an invoice written by hand.
func ValidateManual(due, today contracts.Date, lines []Line) error {
	switch {
	case due < earliest || due > today.AddMonths(60):
		return contracts.Invalidf("due", "a due date lies between %s and five years from now", earliest)
	case len(lines) == 0 || len(lines) > 50:
		return contracts.Invalidf("lines", "an invoice has 1 to 50 lines")
	}
	var sum contracts.Cents
	for _, l := range lines {
		switch {
		case !printable(l.Description, 200):
			return contracts.Invalidf("lines", "a line has a description of 1 to 200 printable bytes")
		case l.Amount == 0 || l.Amount > contracts.MaxAmount || l.Amount < -contracts.MaxAmount:
			return contracts.Invalidf("lines", "the amount of %q is zero or out of range", l.Description)
		case l.Period != (Period{}) && (l.Period.From < earliest || l.Period.Days() == 0):
			return contracts.Invalidf("lines", "the period of %q is empty or lies before %s", l.Description, earliest)
		}
		sum += l.Amount
	}
	if sum <= 0 || sum > contracts.MaxAmount {
		return contracts.Invalidf("lines", "an invoice asks for more than zero and at most %s", contracts.MaxAmount)
	}
	return nil
}
