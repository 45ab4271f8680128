package billing

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/contracts"
)

var saoPaulo = func() *time.Location {
	l, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		panic(err)
	}
	return l
}()

var policy = contracts.DefaultPolicy()

var rules = []contracts.Rules{{Policy: policy, Calendars: contracts.BrazilianCalendars(2020, 2035)}}

// at is an instant in São Paulo: "2026-03-10 15:00".
func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, saoPaulo)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// sub is a contract of plan 1 (100.00), created and anchored on 2026-01-15 at 10:00, due on day 10; plan 2 costs 150.00.
func sub(timing contracts.Timing, change func(*contracts.Contract), facts ...contracts.Fact) *Subscription {
	c := &contracts.Contract{ID: 1, PlanID: 1, Zone: saoPaulo, CreatedAt: at("2026-01-15 10:00"), AutoBlock: true, DueDay: 10,
		Timing: timing, BillingAnchor: day("2026-01-15")}
	if change != nil {
		change(c)
	}
	s := &Subscription{Contract: c, Facts: facts, Tariffs: map[contracts.PlanID]Tariff{
		1: {"Fibra 500", []Price{{at("2025-01-01 00:00"), 10000}}}, 2: {"Fibra 900", []Price{{at("2025-01-01 00:00"), 15000}}}}}
	s.Spans = contracts.Timeline(c, facts, rules, contracts.Options{}).Spans
	return s
}

// bill records drafts as issued.
func (s *Subscription) bill(drafts []Draft) {
	for _, d := range drafts {
		for i, b := range s.Billed {
			if b.Invoice == d.Replaces && d.Replaces != "" {
				s.Billed[i].Cancelled = true
			}
		}
		b := Billed{Period: d.Period, Due: d.Due, Invoice: "F" + d.Period.From.String() + d.Period.Until.String()}
		for _, l := range d.Lines {
			if d.Period.Contains(l.Period) {
				b.Charged += l.Amount
				continue
			}
			for i := range s.Billed {
				if s.Billed[i].Period.Contains(l.Period) {
					s.Billed[i].Charged += l.Amount
				}
			}
		}
		s.Billed = append(s.Billed, b)
	}
}

// show is "from..until due: amount+amount" for each draft.
func show(drafts []Draft) (out []string) {
	for _, d := range drafts {
		s := d.Period.From.String() + ".." + d.Period.Until.String() + " due " + d.Due.String() + ":"
		for _, l := range d.Lines {
			s += " " + l.Amount.String()
		}
		out = append(out, s)
	}
	return out
}

func expect(t *testing.T, what string, got []Draft, want ...string) {
	t.Helper()
	if !slices.Equal(show(got), want) {
		t.Errorf("%s:\n got %q\nwant %q", what, show(got), want)
	}
}

func TestDuePostpaid(t *testing.T) {
	s := sub(contracts.Postpaid, nil)
	expect(t, "11 days before", Due(s, day("2026-01-30"), &policy))
	expect(t, "10 days before", Due(s, day("2026-01-31"), &policy), "2026-01-15..2026-02-10 due 2026-02-10: 83.87")
	s.bill(Due(s, day("2026-01-31"), &policy))
	expect(t, "again", Due(s, day("2026-01-31"), &policy))
	expect(t, "catching up", Due(s, day("2026-04-02"), &policy),
		"2026-02-10..2026-03-10 due 2026-04-02: 100.00", "2026-03-10..2026-04-10 due 2026-04-10: 100.00")
}

func TestDuePrepaid(t *testing.T) {
	s := sub(contracts.Prepaid, nil)
	expect(t, "on the anchor", Due(s, day("2026-01-15"), &policy), "2026-01-15..2026-02-10 due 2026-01-15: 83.87")
	s.bill(Due(s, day("2026-01-15"), &policy))
	expect(t, "before", Due(s, day("2026-01-30"), &policy))
	expect(t, "next", Due(s, day("2026-01-31"), &policy), "2026-02-10..2026-03-10 due 2026-02-10: 100.00")
}

func TestDuePending(t *testing.T) {
	pending := func(c *contracts.Contract) { c.StartsPending = true }
	expect(t, "never activated", Due(sub(contracts.Postpaid, pending), day("2026-06-01"), &policy))
	s := sub(contracts.Postpaid, pending, contracts.Fact{ID: 1, Kind: contracts.Activated, At: at("2026-02-20 15:00")})
	expect(t, "from activation", Due(s, day("2026-03-01"), &policy), "2026-02-10..2026-03-10 due 2026-03-10: 64.29")
	s = sub(contracts.Prepaid, pending, contracts.Fact{ID: 1, Kind: contracts.Activated, At: at("2026-02-20 15:00")})
	expect(t, "prepaid, due from activation", Due(s, day("2026-02-20"), &policy), "2026-02-10..2026-03-10 due 2026-02-20: 64.29")
}

func TestDueTerminated(t *testing.T) {
	s := sub(contracts.Postpaid, nil, contracts.Fact{ID: 1, Kind: contracts.Cancelled, At: at("2026-03-25 15:00")})
	s.Billed = []Billed{{Invoice: "F1", Period: Period{day("2026-01-15"), day("2026-03-10")}, Charged: 18387}}
	expect(t, "last charge", Due(s, day("2026-06-01"), &policy), "2026-03-10..2026-04-10 due 2026-06-01: 48.39")

	s = sub(contracts.Postpaid, nil)
	s.bill(Due(s, day("2026-03-31"), &policy))
	s.Facts = []contracts.Fact{{ID: 1, Kind: contracts.Cancelled, At: at("2026-04-05 15:00")}}
	s.Spans = contracts.Timeline(s.Contract, s.Facts, rules, contracts.Options{}).Spans
	got := Due(s, day("2026-04-05"), &policy)
	expect(t, "cancelled after the invoice", got, "2026-03-10..2026-04-05 due 2026-04-10: 83.87")
	if len(got) == 1 && got[0].Replaces != "F2026-03-102026-04-10" {
		t.Errorf("it replaces %q", got[0].Replaces)
	}
	s.bill(got)
	expect(t, "once", Due(s, day("2026-04-06"), &policy))
}

func TestDuePlanChange(t *testing.T) {
	change := contracts.Fact{ID: 1, Kind: contracts.PlanChanged, At: at("2026-03-20 15:00"), PlanID: 2}
	s := sub(contracts.Postpaid, nil, change)
	s.Billed = []Billed{{Period: Period{day("2026-01-15"), day("2026-03-10")}, Charged: 18387}}
	got := Due(s, day("2026-03-31"), &policy)
	expect(t, "two segments", got, "2026-03-10..2026-04-10 due 2026-04-10: 32.26 101.61")
	if len(got) == 1 && (got[0].Lines[0].Description != "Fibra 500" || got[0].Lines[1].Description != "Fibra 900") {
		t.Errorf("lines %+v", got[0].Lines)
	}

	s = sub(contracts.Prepaid, nil)
	s.bill(Due(s, day("2026-03-10"), &policy))
	s.Facts = []contracts.Fact{change}
	s.Spans = contracts.Timeline(s.Contract, s.Facts, rules, contracts.Options{}).Spans
	expect(t, "an upgrade already invoiced", Due(s, day("2026-03-31"), &policy), "2026-04-10..2026-05-10 due 2026-04-10: 150.00 33.87")
	s.bill(Due(s, day("2026-03-31"), &policy))
	expect(t, "adjusted once", Due(s, day("2026-04-30"), &policy), "2026-05-10..2026-06-10 due 2026-05-10: 150.00")
}

func TestDueCreditLargerThanTheNextInvoice(t *testing.T) {
	s := sub(contracts.Prepaid, func(c *contracts.Contract) { c.PlanID = 2 })
	s.Tariffs[2] = Tariff{"Link dedicado", []Price{{at("2025-01-01 00:00"), 40000}}}
	s.bill(Due(s, day("2026-01-31"), &policy)) // through 2026-03-10
	s.Facts = []contracts.Fact{{ID: 1, Kind: contracts.PlanChanged, At: at("2026-02-10 09:00"), PlanID: 1}}
	s.Spans = contracts.Timeline(s.Contract, s.Facts, rules, contracts.Options{}).Spans
	for _, c := range []struct{ today, want string }{
		{"2026-02-28", "2026-03-10..2026-04-10 due 2026-03-10: 100.00 -100.00"},
		{"2026-03-31", "2026-04-10..2026-05-10 due 2026-04-10: 100.00 -100.00"},
		{"2026-04-30", "2026-05-10..2026-06-10 due 2026-05-10: 100.00 -100.00"},
		{"2026-05-31", "2026-06-10..2026-07-10 due 2026-06-10: 100.00"},
	} {
		got := Due(s, day(c.today), &policy)
		expect(t, c.today, got, c.want)
		s.bill(got)
	}
}

func TestDueCreditsOfTwoCyclesShareTheRoom(t *testing.T) {
	s := sub(contracts.Prepaid, func(c *contracts.Contract) { c.PlanID = 2 })
	ahead := policy
	ahead.GenerateDaysBefore = 40
	s.bill(Due(s, day("2026-01-31"), &ahead)) // through 2026-04-10, at 150.00
	s.Facts = []contracts.Fact{{ID: 1, Kind: contracts.VoluntarySuspend, At: at("2026-02-09 09:00"), From: day("2026-02-10"), Until: day("2026-04-10")}}
	s.Spans = contracts.Timeline(s.Contract, s.Facts, rules, contracts.Options{}).Spans
	for _, want := range []string{"2026-04-10..2026-05-10 due 2026-04-10: 150.00 -150.00", "2026-05-10..2026-06-10 due 2026-05-10: 150.00 -150.00"} {
		got := Due(s, max(day("2026-03-31"), s.Billed[len(s.Billed)-1].Period.Until-10), &policy)
		expect(t, "two cycles suspended", got, want)
		s.bill(got)
	}
	expect(t, "all given back", Due(s, day("2026-05-31"), &policy), "2026-06-10..2026-07-10 due 2026-06-10: 150.00")
}

func TestDuePriceChange(t *testing.T) {
	s := sub(contracts.Postpaid, nil)
	s.Billed = []Billed{{Period: Period{day("2026-01-15"), day("2026-03-10")}, Charged: 18387}}
	s.Tariffs[1] = Tariff{"Fibra 500", []Price{{at("2026-01-01 00:00"), 10000}, {at("2026-03-20 09:00"), 15000}}}
	expect(t, "from its day on", Due(s, day("2026-03-31"), &policy), "2026-03-10..2026-04-10 due 2026-04-10: 32.26 101.61")
}

func TestDueSuspendedAndExempt(t *testing.T) {
	s := sub(contracts.Postpaid, nil, contracts.Fact{ID: 1, Kind: contracts.VoluntarySuspend, At: at("2026-03-10 08:00"),
		From: day("2026-03-20"), Until: day("2026-04-25")})
	s.Billed = []Billed{{Period: Period{day("2026-01-15"), day("2026-03-10")}, Charged: 18387}}
	expect(t, "suspended on request", Due(s, day("2026-04-30"), &policy),
		"2026-03-10..2026-04-10 due 2026-04-30: 32.26", "2026-04-10..2026-05-10 due 2026-05-10: 50.00")

	expect(t, "exempt", Due(sub(contracts.Postpaid, func(c *contracts.Contract) { c.Exempt = true }), day("2026-06-01"), &policy))
	yes, no := true, false
	s = sub(contracts.Postpaid, nil,
		contracts.Fact{ID: 1, Kind: contracts.SettingsChanged, At: at("2026-03-20 12:00"), Settings: &contracts.Settings{Exempt: &yes}},
		contracts.Fact{ID: 2, Kind: contracts.SettingsChanged, At: at("2026-04-25 12:00"), Settings: &contracts.Settings{Exempt: &no}})
	s.Billed = []Billed{{Period: Period{day("2026-01-15"), day("2026-03-10")}, Charged: 18387}}
	expect(t, "exempt for a while", Due(s, day("2026-04-30"), &policy),
		"2026-03-10..2026-04-10 due 2026-04-30: 32.26", "2026-04-10..2026-05-10 due 2026-05-10: 50.00")
}

func TestDueWhileBlockedForDebt(t *testing.T) {
	s := sub(contracts.Postpaid, nil,
		contracts.Fact{ID: 1, Kind: contracts.InvoiceIssued, At: at("2026-01-31 06:00"), InvoiceID: "F1", Amount: 8387, Due: day("2026-02-10")},
		contracts.Fact{ID: 2, Kind: contracts.NoticeSent, At: at("2026-02-11 08:00"), InvoiceID: "F1"})
	if st := s.Spans.At(at("2026-04-01 12:00")).Status; st != contracts.BlockedAuto {
		t.Fatalf("the contract is %s", st)
	}
	s.Billed = []Billed{{Period: Period{day("2026-01-15"), day("2026-03-10")}, Charged: 18387}}
	// Blocked since 12 March: the days gone by are free, those ahead may still be used and are charged.
	expect(t, "blocked", Due(s, day("2026-03-31"), &policy), "2026-03-10..2026-04-10 due 2026-04-10: 6.45 32.26")
	accrue := policy
	accrue.AccrueWhileBlocked = true
	expect(t, "blocked and charged", Due(s, day("2026-03-31"), &accrue), "2026-03-10..2026-04-10 due 2026-04-10: 100.00")
}

func TestDueCancelledInvoiceIsNotIssuedAgain(t *testing.T) {
	s := sub(contracts.Postpaid, nil)
	s.bill(Due(s, day("2026-01-31"), &policy))
	s.Billed[0].Cancelled = true
	expect(t, "after the cancellation", Due(s, day("2026-02-01"), &policy))
}

// However often the run runs, the days from the anchor on are charged once, gapless, and cost what they should.
func TestRunsChargeEveryDayOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timing := rapid.SampledFrom([]contracts.Timing{contracts.Postpaid, contracts.Prepaid}).Draw(t, "timing")
		s := sub(timing, func(c *contracts.Contract) {
			c.DueDay = rapid.IntRange(1, 31).Draw(t, "due day")
			c.BillingAnchor += contracts.Date(rapid.IntRange(-20, 40).Draw(t, "anchor"))
		})
		today := s.Contract.BillingAnchor
		id := int64(0)
		for range rapid.IntRange(1, 12).Draw(t, "runs") {
			today += contracts.Date(rapid.IntRange(0, 45).Draw(t, "days between"))
			if rapid.Bool().Draw(t, "plan change") {
				id++
				s.Facts = append(s.Facts, contracts.Fact{ID: id, Kind: contracts.PlanChanged, PlanID: contracts.PlanID(rapid.IntRange(1, 2).Draw(t, "plan")),
					At: max(today, day("2026-01-16")).At(12*60, saoPaulo)})
				s.Spans = contracts.Timeline(s.Contract, s.Facts, rules, contracts.Options{}).Spans
			}
			drafts := Due(s, today, &policy)
			for _, d := range drafts {
				if d.Due < today || Total(d.Lines) < 0 || d.Period.From < s.Contract.BillingAnchor {
					t.Fatalf("on %s: %q", today, show(drafts))
				}
			}
			s.bill(drafts)
			if again := Due(s, today, &policy); len(again) != 0 {
				t.Fatalf("on %s a second run issues %q", today, show(again))
			}
		}
		next := s.Contract.BillingAnchor
		for _, b := range s.Billed {
			if b.Period.From != next {
				t.Fatalf("%s..%s follows what ends on %s", b.Period.From, b.Period.Until, next)
			}
			next = b.Period.Until
		}
		if c := CycleAt(next, s.Contract.DueDay, timing); c.Due.AddDays(-policy.GenerateDaysBefore) <= today {
			t.Fatalf("on %s nothing charges the cycle due %s", today, c.Due)
		}
	})
}
