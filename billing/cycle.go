package billing

import (
	"time"

	"enlace/contracts"
)

// Period is a run of days: From inclusive, Until exclusive.
type Period struct{ From, Until contracts.Date }

// Days is the number of days in the period; 0 when it is empty.
func (p Period) Days() int { return max(0, int(p.Until-p.From)) }

// Contains reports whether q lies wholly within p.
func (p Period) Contains(q Period) bool { return p.From <= q.From && q.Until <= p.Until }

// clip is the part of p that lies within bounds; possibly empty.
func (p Period) clip(bounds Period) Period {
	return Period{max(p.From, bounds.From), min(p.Until, bounds.Until)}
}

// Cycle is the stretch from one nominal due date to the next, and the nominal due date of the invoice that charges it.
type Cycle struct {
	Period
	Due contracts.Date
}

// NominalDue is the due date of a month: dueDay (1 to 31), or the month's last day where it is shorter. The date from
// which an invoice ages is contracts.Policy.EffectiveDue of it.
func NominalDue(year int, month time.Month, dueDay int) contracts.Date {
	return contracts.MonthDay(year, month, dueDay)
}

// CycleAt is the cycle that day d lies in.
func CycleAt(d contracts.Date, dueDay int, timing contracts.Timing) Cycle {
	from, until := contracts.CycleOf(d, dueDay)
	c := Cycle{Period: Period{from, until}, Due: until}
	if timing == contracts.Prepaid {
		c.Due = from
	}
	return c
}

// Next is the cycle after c.
func (c Cycle) Next(dueDay int, timing contracts.Timing) Cycle {
	return CycleAt(c.Until, dueDay, timing)
}
