package billing

import (
	"slices"
	"time"

	"enlace/contracts"
)

// Subscription is all that the monthly run looks at of a contract.
type Subscription struct {
	Contract *contracts.Contract
	Facts    []contracts.Fact // in the order of recording; exemption is read from them
	Spans    contracts.Spans
	Tariffs  map[contracts.PlanID]Tariff
	Billed   []Billed // monthly invoices so far
}

// Tariff is what a plan costs per month, from an instant on. Price versions are in the order of Since; the first one
// rules everything before the second.
type Tariff struct {
	Name   string
	Prices []Price
}

// Price per month from an instant on.
type Price struct {
	Since  time.Time
	Amount contracts.Cents
}

// Billed is a period that a monthly invoice has charged.
type Billed struct {
	Invoice   string // number
	Period    Period
	Due       contracts.Date
	Charged   contracts.Cents // by all lines for days of the period, adjustments included
	Cancelled bool
}

// Draft is an invoice that the run would issue.
type Draft struct {
	Period Period
	Due    contracts.Date
	Lines  []Line
	// Replaces is the number of an invoice of a contract that has ended and that charges too much or too little: it is
	// cancelled, what was paid for it becomes credit, and this one is issued instead, or none where no line is left.
	Replaces string
}

// AdjustmentText and FeesText describe lines that do not charge a plan. They are what the subscriber reads.
const (
	AdjustmentText = "Ajuste do período anterior"
	FeesText       = "Multa e juros"
)

// Due is what the run issues on a day: every cycle whose invoice is to be issued by then and which no invoice covers.
// A cycle without a charge gets no draft.
func Due(s *Subscription, today contracts.Date, policy *contracts.Policy) []Draft {
	c := s.Contract
	if c.BillingAnchor.IsZero() {
		return nil
	}
	charges := s.charges(today, policy.AccrueWhileBlocked)
	drafts := s.replacements(charges, today)
	replaced := len(drafts)
	for cy := CycleAt(c.BillingAnchor, c.DueDay, c.Timing); ; cy = cy.Next(c.DueDay, c.Timing) {
		if cy.Due.AddDays(-policy.GenerateDaysBefore) > today {
			break
		}
		for _, p := range s.unbilled(cy.Period) {
			lines := s.price(charges, p)
			if len(lines) == 0 {
				continue
			}
			due := max(cy.Due, today)
			if c.Timing == contracts.Prepaid {
				due = max(due, lines[0].Period.From)
			}
			drafts = append(drafts, Draft{Period: p, Due: due, Lines: lines})
		}
	}
	if len(drafts) > replaced {
		d := &drafts[replaced]
		d.Lines = append(d.Lines, s.adjustments(charges, today, Total(d.Lines))...)
	}
	return drafts
}

// replacements stand for invoices that the end of the contract, or what changed before it, made wrong. Nothing monthly
// may follow them, so an adjustment line would have no invoice to be on. An invoice replaced may itself have adjusted
// others: Due is asked again when these are done.
func (s *Subscription) replacements(charges []charge, today contracts.Date) []Draft {
	end := s.end()
	if end > today {
		return nil
	}
	var drafts []Draft
	for _, b := range s.Billed {
		if !s.adjustable(b, today) {
			continue
		}
		if should := s.price(charges, b.Period); Total(should) != b.Charged {
			until := min(b.Period.Until, max(end, b.Period.From+1))
			drafts = append(drafts, Draft{Replaces: b.Invoice, Period: Period{b.Period.From, until}, Due: max(b.Due, today), Lines: should})
		}
	}
	return drafts
}

// end is the day of cancellation, or forever.
func (s *Subscription) end() contracts.Date {
	if n := len(s.Spans); n > 0 && s.Spans[n-1].Status == contracts.Terminated {
		return contracts.DateOf(s.Spans[n-1].From, s.Contract.Zone)
	}
	return forever
}

// unbilled is what of a cycle, from the anchor on, no invoice covers.
func (s *Subscription) unbilled(cycle Period) []Period {
	free := []Period{{max(cycle.From, s.Contract.BillingAnchor), cycle.Until}}
	for _, b := range s.Billed {
		var left []Period
		for _, f := range free {
			if b.Period.Until <= f.From || f.Until <= b.Period.From {
				left = append(left, f)
				continue
			}
			left = append(left, Period{f.From, b.Period.From}, Period{b.Period.Until, f.Until})
		}
		free = left
	}
	return slices.DeleteFunc(free, func(p Period) bool { return p.Days() == 0 })
}

// adjustWindow bounds, in days, how far back a cycle already invoiced is looked at again: long enough to use up a credit
// that several invoices have no room for.
const adjustWindow = 366

// adjustable reports whether a period can have changed since it was invoiced. One that is no part of a cycle, as after a
// change of the due day, was not priced here.
func (s *Subscription) adjustable(b Billed, today contracts.Date) bool {
	return !b.Cancelled && b.Period.Until.AddDays(adjustWindow) >= today &&
		CycleAt(b.Period.From, s.Contract.DueDay, s.Contract.Timing).Contains(b.Period)
}

// adjustments are the lines that correct cycles already invoiced. A credit is at most what the invoice has room for;
// the rest is found again by the next run.
func (s *Subscription) adjustments(charges []charge, today contracts.Date, room contracts.Cents) []Line {
	var lines []Line
	end := s.end()
	for _, b := range s.Billed {
		if end <= today || !s.adjustable(b, today) { // what has ended is replaced
			continue
		}
		diff := max(Total(s.price(charges, b.Period))-b.Charged, -room)
		if diff != 0 {
			lines = append(lines, Line{Description: AdjustmentText, Period: b.Period, Amount: diff})
			room += diff
		}
	}
	return lines
}

// charge is a stretch of days of one plan at one price.
type charge struct {
	Period
	plan  string
	price contracts.Cents
}

// forever ends the last stretch.
var forever = contracts.NewDate(9999, time.January, 1)

// charges are the days that cost something, in order, without overlap. Days blocked are free once they have passed,
// unless the policy charges them; a block that is only foreseen may not come.
func (s *Subscription) charges(today contracts.Date, accrueBlocked bool) []charge {
	zone := s.Contract.Zone
	exempt := s.exempt()
	var out []charge
	for i, span := range s.Spans {
		p := Period{contracts.DateOf(span.From, zone), forever}
		if i == 0 {
			p.From = s.Contract.BillingAnchor // what the contract began as holds for days that were agreed backwards
		}
		if !span.Until.IsZero() {
			p.Until = contracts.DateOf(span.Until, zone)
		}
		if blocked := span.Status == contracts.BlockedAuto || span.Status == contracts.BlockedManual; blocked && !accrueBlocked {
			p.From = max(p.From, min(today, p.Until))
		}
		if p.Days() == 0 || span.Status == contracts.Pending || span.Status == contracts.Terminated || span.Status == contracts.SuspendedRequest {
			continue
		}
		for _, free := range without(p, exempt) {
			out = appendPriced(out, free, s.Tariffs[span.PlanID], zone)
		}
	}
	return out
}

// appendPriced splits a stretch of one plan where its price changes, and joins what costs the same.
func appendPriced(out []charge, p Period, t Tariff, zone *time.Location) []charge {
	for i, v := range t.Prices {
		part := charge{p, t.Name, v.Amount}
		if i > 0 {
			part.From = max(p.From, contracts.DateOf(v.Since, zone))
		}
		if i+1 < len(t.Prices) {
			part.Until = min(p.Until, contracts.DateOf(t.Prices[i+1].Since, zone))
		}
		if part.Days() == 0 {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Until == part.From && out[n-1].plan == part.plan && out[n-1].price == part.price {
			out[n-1].Until = part.Until
			continue
		}
		out = append(out, part)
	}
	return out
}

// exempt are the periods in which the contract is exempt at the end of the day, in order.
func (s *Subscription) exempt() []Period {
	var out []Period
	on := s.Contract.Exempt
	if on {
		out = []Period{{0, forever}}
	}
	for _, f := range s.Facts {
		if f.Kind != contracts.SettingsChanged || f.Settings == nil || f.Settings.Exempt == nil || *f.Settings.Exempt == on {
			continue
		}
		day := contracts.DateOf(f.At, s.Contract.Zone)
		if on {
			out[len(out)-1].Until = day
		} else {
			out = append(out, Period{day, forever})
		}
		on = !on
	}
	return out
}

// without is p less the holes, which are in order.
func without(p Period, holes []Period) []Period {
	var out []Period
	for _, h := range holes {
		if before := (Period{p.From, min(p.Until, h.From)}); before.Days() > 0 {
			out = append(out, before)
		}
		p.From = max(p.From, h.Until)
	}
	if p.Days() > 0 {
		out = append(out, p)
	}
	return out
}

// price is what the days of p, which lie in one cycle, cost: a line for each stretch that costs something.
func (s *Subscription) price(charges []charge, p Period) []Line {
	cycle := CycleAt(p.From, s.Contract.DueDay, s.Contract.Timing)
	var segments []Segment
	var cut []charge
	for _, c := range charges {
		if part := c.clip(p); part.Days() > 0 {
			segments = append(segments, Segment{From: part.From, To: part.Until, Price: c.price})
			cut = append(cut, charge{part, c.plan, c.price})
		}
	}
	var lines []Line
	parts, _ := Prorate(cycle.From, cycle.Until, Actual, segments)
	for i, amount := range parts {
		if amount > 0 {
			lines = append(lines, Line{Description: cut[i].plan, Period: cut[i].Period, Amount: amount})
		}
	}
	return lines
}
