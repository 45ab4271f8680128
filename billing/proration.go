package billing

import "enlace/contracts"

// Base is what a monthly price is divided by for a part of a cycle.
type Base string

const (
	Actual Base = "actual" // the days that the cycle has
	Thirty Base = "30"     // thirty days, whatever the cycle has; a whole cycle still costs the price exactly
)

// Segment is a stretch of a cycle at one monthly price.
type Segment struct {
	From  contracts.Date
	To    contracts.Date // exclusive; zero: until the next segment starts, or the cycle ends
	Price contracts.Cents
}

// Prorate is what each segment of a cycle costs, and their sum. Segments are in order of From; what lies outside the
// cycle, or under an earlier segment, costs nothing. Amounts are rounded half up over the running sum, so that parts are
// never negative, each is within a cent of its exact value, and a cycle covered at one price sums to that price.
func Prorate(cycleStart, cycleEnd contracts.Date, base Base, segments []Segment) (parts []contracts.Cents, total contracts.Cents) {
	cycle := Period{cycleStart, cycleEnd}
	days := make([]int, len(segments))
	charged := 0
	at := cycleStart
	for i, s := range segments {
		to := s.To
		if to.IsZero() {
			to = cycleEnd
			if i+1 < len(segments) {
				to = segments[i+1].From
			}
		}
		part := Period{max(s.From, at), to}.clip(cycle)
		days[i] = part.Days()
		charged += days[i]
		at = max(at, part.Until)
	}
	parts = make([]contracts.Cents, len(segments))
	if cycle.Days() == 0 {
		return parts, 0
	}
	// share is how many base days the first n charged days count for.
	share, whole := func(n int) int { return n }, cycle.Days()
	if base == Thirty {
		whole = 30
		share = func(n int) int {
			if n == cycle.Days() {
				return whole
			}
			return min(n, whole)
		}
	}
	var exact contracts.Cents // running sum, in cents times base days
	sofar := 0
	for i, s := range segments {
		exact += s.Price * contracts.Cents(share(sofar+days[i])-share(sofar))
		sofar += days[i]
		upTo := exact.MulDiv(1, int64(whole))
		parts[i], total = upTo-total, upTo
	}
	return parts, total
}
