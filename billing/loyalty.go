package billing

import "enlace/contracts"

// LoyaltyPenalty is the part of the benefit granted that leaving on cancelOn owes: in proportion to the days of the term
// that remain, start inclusive, end exclusive (Anatel, RGC: Resolution 765/2023, on the penalty of early rescission).
// Leaving before the start owes all of the benefit, on or after the end nothing.
func LoyaltyPenalty(start, end contracts.Date, benefit contracts.Cents, cancelOn contracts.Date) contracts.Cents {
	term := Period{start, end}
	if term.Days() == 0 {
		return 0
	}
	return benefit.MulDiv(int64(Period{cancelOn, end}.clip(term).Days()), int64(term.Days()))
}
