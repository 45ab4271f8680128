package billing

import "enlace/contracts"

// LateFee is what paying an open amount on paidOn adds to it: the fine once, and simple interest per day on thirty days,
// counted from the effective due date. Each is rounded half up on its own. Paid in time, both are zero.
func LateFee(open contracts.Cents, effectiveDue, paidOn contracts.Date, policy *contracts.Policy) (fine, interest contracts.Cents) {
	return Standing{Open: open, EffectiveDue: effectiveDue}.LateFee(paidOn, policy)
}

// Standing is what an invoice owes and what was already charged for its lateness.
type Standing struct {
	Open         contracts.Cents // principal
	FeesOpen     contracts.Cents // fees assessed and not paid; negative when more was paid than is owed
	FeesCarried  contracts.Cents // part of the invoice's principal that is fees of earlier invoices
	EffectiveDue contracts.Date
	Fined        bool           // the fine was assessed
	AssessedTo   contracts.Date // interest was assessed up to this date; zero if never
}

// LateFee is what a payment on paidOn adds. No fee is charged on the fees of earlier invoices.
func (s Standing) LateFee(paidOn contracts.Date, policy *contracts.Policy) (fine, interest contracts.Cents) {
	base := s.Open - s.FeesCarried
	if paidOn <= s.EffectiveDue || base <= 0 {
		return 0, 0
	}
	if !s.Fined {
		fine = base.MulDiv(int64(policy.FinePercentBP), 10_000)
	}
	if days := int64(paidOn - max(s.EffectiveDue, s.AssessedTo)); days > 0 {
		interest = base.MulDiv(int64(policy.InterestMonthlyBP)*days, 10_000*30)
	}
	return fine, interest
}

// Quote is what settles an invoice in full on a date.
type Quote struct {
	On        contracts.Date
	Principal contracts.Cents
	Fees      contracts.Cents // assessed before
	Fine      contracts.Cents // assessed if paid on that date
	Interest  contracts.Cents
	Total     contracts.Cents
}

// Quote is what settles the invoice in full when paid on a date.
func (s Standing) Quote(on contracts.Date, policy *contracts.Policy) Quote {
	q := Quote{On: on, Principal: s.Open, Fees: s.FeesOpen}
	q.Fine, q.Interest = s.LateFee(on, policy)
	q.Total = q.Principal + max(0, q.Fees+q.Fine+q.Interest)
	return q
}
