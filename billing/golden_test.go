package billing

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/contracts"
)

func day(s string) contracts.Date {
	d, err := contracts.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

func cents(s string) contracts.Cents {
	c, err := contracts.ParseCents(s)
	if err != nil {
		panic(err)
	}
	return c
}

func TestNominalAndEffectiveDue(t *testing.T) {
	cal := contracts.BrazilianCalendars(2026, 2027)
	policy := contracts.DefaultPolicy()
	for _, c := range []struct {
		dueDay             int
		nominal, effective string
	}{
		{31, "2026-01-31", "2026-02-02"},
		{31, "2026-02-28", "2026-03-02"},
		{31, "2026-03-31", "2026-03-31"},
		{31, "2026-04-30", "2026-04-30"},
		{31, "2026-05-31", "2026-06-01"},
		{1, "2026-05-01", "2026-05-04"},
		{1, "2027-01-01", "2027-01-04"},
	} {
		y, m, _ := day(c.nominal).Parts()
		if got := NominalDue(y, m, c.dueDay); got != day(c.nominal) {
			t.Errorf("due day %d: nominal %s, want %s", c.dueDay, got, c.nominal)
		}
		if got := policy.EffectiveDue(day(c.nominal), cal); got != day(c.effective) {
			t.Errorf("%s: effective %s, want %s", c.nominal, got, c.effective)
		}
	}
}

func TestLateFee(t *testing.T) {
	cal := contracts.BrazilianCalendars(2026, 2026)
	policy := contracts.DefaultPolicy()
	for id, c := range map[string]struct{ due, paidOn, amount, fine, interest, total string }{
		"LF1":      {"2026-03-10", "2026-03-10", "100.00", "0.00", "0.00", "100.00"},
		"LF2":      {"2026-03-10", "2026-03-11", "100.00", "2.00", "0.03", "102.03"},
		"LF3":      {"2026-03-10", "2026-03-25", "100.00", "2.00", "0.50", "102.50"},
		"LF5":      {"2026-03-07", "2026-03-09", "100.00", "0.00", "0.00", "100.00"},
		"LF6":      {"2026-03-07", "2026-03-10", "100.00", "2.00", "0.03", "102.03"},
		"LF8":      {"2026-03-10", "2026-04-08", "100.00", "2.00", "0.97", "102.97"},
		"half up":  {"2026-03-10", "2026-03-11", "0.25", "0.01", "0.00", "0.26"},
		"early":    {"2026-03-10", "2026-02-01", "100.00", "0.00", "0.00", "100.00"},
		"nothing":  {"2026-03-10", "2026-04-08", "0.00", "0.00", "0.00", "0.00"},
		"overpaid": {"2026-03-10", "2026-04-08", "-5.00", "0.00", "0.00", "-5.00"},
	} {
		fine, interest := LateFee(cents(c.amount), policy.EffectiveDue(day(c.due), cal), day(c.paidOn), &policy)
		if fine != cents(c.fine) || interest != cents(c.interest) || cents(c.amount)+fine+interest != cents(c.total) {
			t.Errorf("%s: fine %s, interest %s; want %s and %s", id, fine, interest, c.fine, c.interest)
		}
	}
}

func TestStandingChargesTheFineOnceAndNoFeeOnFees(t *testing.T) {
	policy := contracts.DefaultPolicy()
	s := Standing{Open: cents("50"), EffectiveDue: day("2026-03-10"), Fined: true, AssessedTo: day("2026-03-25")}
	if fine, interest := s.LateFee(day("2026-04-24"), &policy); fine != 0 || interest != cents("0.50") {
		t.Errorf("second late payment: fine %s, interest %s; want 0.00 and 0.50 (30 days)", fine, interest)
	}
	if _, interest := s.LateFee(day("2026-03-20"), &policy); interest != 0 {
		t.Errorf("a payment dated before the last one assessed: interest %s", interest)
	}
	s = Standing{Open: cents("102.03"), FeesCarried: cents("2.03"), EffectiveDue: day("2026-03-10")}
	if fine, interest := s.LateFee(day("2026-03-11"), &policy); fine != cents("2.00") || interest != cents("0.03") {
		t.Errorf("with carried fees: fine %s, interest %s; want those of 100.00", fine, interest)
	}
	q := Standing{Open: cents("100"), FeesOpen: cents("1"), EffectiveDue: day("2026-03-10")}.Quote(day("2026-03-11"), &policy)
	if q.Total != cents("103.03") {
		t.Errorf("quote %+v, want a total of 103.03", q)
	}
}

func TestProrate(t *testing.T) {
	for id, c := range map[string]struct {
		start, end string
		base       Base
		segments   []Segment
		parts      []string
		total      string
	}{
		"PR1": {"2026-01-10", "2026-02-10", Actual, []Segment{{From: day("2026-01-15"), Price: 10000}}, []string{"83.87"}, "83.87"},
		"PR2": {"2026-01-10", "2026-02-10", Thirty, []Segment{{From: day("2026-01-15"), Price: 10000}}, []string{"86.67"}, "86.67"},
		"PR3": {"2026-03-10", "2026-04-10", Actual, []Segment{{From: day("2026-03-10"), Price: 10000}, {From: day("2026-03-20"), Price: 15000}},
			[]string{"32.26", "101.61"}, "133.87"},
		"PR6":                    {"2026-03-10", "2026-04-10", Actual, []Segment{{From: day("2026-03-10"), Price: 10000, To: day("2026-03-25")}}, []string{"48.39"}, "48.39"},
		"short month on base 30": {"2026-02-10", "2026-03-10", Thirty, []Segment{{From: day("2026-02-10"), Price: 10000}}, []string{"100.00"}, "100.00"},
		"long month on base 30":  {"2026-01-10", "2026-02-10", Thirty, []Segment{{From: day("2026-01-10"), Price: 10000}}, []string{"100.00"}, "100.00"},
		"outside the cycle": {"2026-03-10", "2026-04-10", Actual, []Segment{{From: day("2026-01-01"), To: day("2026-02-01"), Price: 10000},
			{From: day("2026-03-01"), To: day("2026-05-01"), Price: 10000}}, []string{"0.00", "100.00"}, "100.00"},
		"overlap": {"2026-03-10", "2026-04-10", Actual, []Segment{{From: day("2026-03-10"), To: day("2026-04-10"), Price: 10000},
			{From: day("2026-03-20"), To: day("2026-04-10"), Price: 10000}}, []string{"100.00", "0.00"}, "100.00"},
		"empty cycle": {"2026-03-10", "2026-03-10", Actual, []Segment{{From: day("2026-03-10"), Price: 10000}}, []string{"0.00"}, "0.00"},
		"no segment":  {"2026-03-10", "2026-04-10", Actual, nil, nil, "0.00"},
	} {
		parts, total := Prorate(day(c.start), day(c.end), c.base, c.segments)
		if total != cents(c.total) || len(parts) != len(c.parts) {
			t.Errorf("%s: %v, total %s; want %v, total %s", id, parts, total, c.parts, c.total)
			continue
		}
		for i := range parts {
			if parts[i] != cents(c.parts[i]) {
				t.Errorf("%s: part %d is %s, want %s", id, i, parts[i], c.parts[i])
			}
		}
	}
}

func TestLoyaltyPenalty(t *testing.T) {
	for id, c := range map[string]struct{ cancelOn, penalty string }{
		"LP1":          {"2026-06-20", "343.56"},
		"LP2":          {"2027-01-15", "0.00"},
		"after":        {"2028-01-01", "0.00"},
		"first day":    {"2026-01-15", "600.00"},
		"before":       {"2026-01-01", "600.00"},
		"the last day": {"2027-01-14", "1.64"},
	} {
		if got := LoyaltyPenalty(day("2026-01-15"), day("2027-01-15"), cents("600"), day(c.cancelOn)); got != cents(c.penalty) {
			t.Errorf("%s: %s, want %s", id, got, c.penalty)
		}
	}
	if got := LoyaltyPenalty(day("2026-01-15"), day("2026-01-15"), cents("600"), day("2026-01-15")); got != 0 {
		t.Errorf("a term of no days owes %s", got)
	}
}

func drawDate(t *rapid.T, label string) contracts.Date {
	return contracts.NewDate(2015, time.January, 1) + contracts.Date(rapid.IntRange(0, 20000).Draw(t, label))
}

func TestCyclesTileTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, dueDay := drawDate(t, "day"), rapid.IntRange(1, 31).Draw(t, "due day")
		timing := rapid.SampledFrom([]contracts.Timing{contracts.Postpaid, contracts.Prepaid}).Draw(t, "timing")
		c := CycleAt(d, dueDay, timing)
		if d < c.From || d >= c.Until || c.Days() < 28 || c.Days() > 31 {
			t.Fatalf("cycle %v..%v of %v", c.From, c.Until, d)
		}
		n := c.Next(dueDay, timing)
		if n.From != c.Until || n.Due <= c.Due {
			t.Fatalf("%v..%v is followed by %v..%v", c.From, c.Until, n.From, n.Until)
		}
		if y, m, _ := c.Due.Parts(); c.Due != NominalDue(y, m, dueDay) {
			t.Fatalf("due %v is no nominal due date", c.Due)
		}
		if (timing == contracts.Prepaid) != (c.Due == c.From) {
			t.Fatalf("%s is due on %v", timing, c.Due)
		}
	})
}

func TestProratedPartsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := CycleAt(drawDate(t, "day"), rapid.IntRange(1, 31).Draw(t, "due day"), contracts.Postpaid)
		base := rapid.SampledFrom([]Base{Actual, Thirty}).Draw(t, "base")
		price := rapid.Int64Range(0, int64(contracts.MaxAmount))
		one := contracts.Cents(price.Draw(t, "price"))
		constant := rapid.Bool().Draw(t, "one price")
		var segments []Segment
		for at := c.From; at < c.Until; {
			s := Segment{From: at, Price: one}
			if !constant {
				s.Price = contracts.Cents(price.Draw(t, "price"))
			}
			segments = append(segments, s)
			at += contracts.Date(rapid.IntRange(1, 31).Draw(t, "days"))
		}
		parts, total := Prorate(c.From, c.Until, base, segments)
		var sum, dearest contracts.Cents
		for i, p := range parts {
			if p < 0 {
				t.Fatalf("part %d is %s", i, p)
			}
			sum += p
			dearest = max(dearest, segments[i].Price)
		}
		if sum != total || total > dearest {
			t.Fatalf("parts sum to %s, total %s, dearest price %s", sum, total, dearest)
		}
		if constant && total != one {
			t.Fatalf("a whole cycle at %s costs %s", one, total)
		}
	})
}
