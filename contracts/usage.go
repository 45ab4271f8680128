package contracts

import (
	"math"
	"time"
)

// Traffic is octets from the subscriber and to him.
type Traffic struct {
	Up   uint64 `json:"up"`
	Down uint64 `json:"down"`
}

// Plus adds; it stays at the largest number where it would go beyond.
func (a Traffic) Plus(b Traffic) Traffic {
	return Traffic{Up: addUpTo(a.Up, b.Up), Down: addUpTo(a.Down, b.Down)}
}

// Minus subtracts, never below nothing.
func (a Traffic) Minus(b Traffic) Traffic {
	return Traffic{Up: a.Up - min(a.Up, b.Up), Down: a.Down - min(a.Down, b.Down)}
}

// IsZero reports whether there is none.
func (a Traffic) IsZero() bool { return a == Traffic{} }

func addUpTo(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// DayUsage is the traffic of one civil day in the contract's zone. What a record adds is booked on the day of its event.
type DayUsage struct {
	Day   Date
	Total Traffic
	Free  Traffic // the part of it that no allowance counts
}

// Tally is what a contract has used of a billing cycle, and what was added to it: an argument of the question what it
// may have. It cannot be foreseen, so nothing stores an answer that depends on it.
type Tally struct {
	From, Until Date    // the cycle; Until is not part of it
	Counted     Traffic // without what was free
	Extra       uint64  // octets of top-ups, which end with the cycle
}

// TallyAt is the tally of the cycle that t lies in, from the days' usage and the facts recorded by t.
func TallyAt(c *Contract, facts []Fact, days []DayUsage, t time.Time) Tally {
	today := DateOf(t, c.Zone)
	var u Tally
	u.From, u.Until = CycleOf(today, c.DueDay)
	for _, d := range days {
		if u.From <= d.Day && d.Day <= today {
			u.Counted = u.Counted.Plus(d.Total.Minus(d.Free))
		}
	}
	for _, x := range TopUps(c, facts) {
		if u.From <= x.Day && x.Day < u.Until && !x.At.After(t) {
			u.Extra = addUpTo(u.Extra, x.Bytes)
		}
	}
	return u
}

// TopUp is traffic added to the allowance of the cycle that Day lies in.
type TopUp struct {
	At    time.Time
	Day   Date
	Bytes uint64
}

// TopUps of a contract, as its facts have them.
func TopUps(c *Contract, facts []Fact) []TopUp {
	var out []TopUp
	for i := range facts {
		if f := &facts[i]; f.Kind == ToppedUp && f.Bytes > 0 {
			out = append(out, TopUp{f.At, DateOf(f.At, c.Zone), uint64(f.Bytes)})
		}
	}
	return out
}
