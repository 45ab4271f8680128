package pg

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/contracts"
)

func TestPlansAtAnInstant(t *testing.T) {
	h := newHouse(t)
	p := contracts.Plan{Name: "Fibra 900", Price: 15000, Full: contracts.Profile{DownBps: 900e6, UpBps: 450e6}, ReducedPercent: 10}
	h.must(h.CreatePlan(ctx, "test", at("2026-02-01 10:00"), &p))
	first := p
	p.Price, p.Full.DownBps = 17000, 1000e6
	h.must(h.UpdatePlan(ctx, "test", at("2026-03-01 10:00"), &p))
	second := p
	p.Name, p.Price, p.Reduced, p.ReducedPercent = "Fibra Giga", 18000, contracts.Profile{DownBps: 5e6, UpBps: 2e6}, 0
	h.must(h.UpdatePlan(ctx, "test", at("2026-04-01 10:00"), &p))
	third := p
	first.Name, second.Name = third.Name, third.Name // the name is corrected in place
	for when, want := range map[string]contracts.Plan{
		"2026-01-15 10:00": first, // before it was made it is shown as it began
		"2026-02-01 10:00": first, "2026-02-28 10:00": first,
		"2026-03-01 09:59": first, "2026-03-01 10:00": second, "2026-03-31 10:00": second,
		"2026-04-01 10:00": third, "2027-04-01 10:00": third,
	} {
		got, err := h.PlanAt(ctx, p.ID, at(when))
		h.must(err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("at %s: %+v, want %+v", when, got, want)
		}
		list, err := h.Plans(ctx, at(when))
		h.must(err)
		if len(list) != 2 || !reflect.DeepEqual(list[1], want) {
			t.Errorf("the plans at %s: %+v", when, list)
		}
	}
	_, err := h.PlanAt(ctx, 4711, at("2026-04-01 10:00"))
	refused(t, err, contracts.NotFound, "not_found")
	refused(t, h.UpdatePlan(ctx, "test", at("2026-04-01 10:00"), &p), contracts.Conflict, "too_fast")
	p.ID = 4711
	p.Name = "Other"
	refused(t, h.UpdatePlan(ctx, "test", at("2026-05-01 10:00"), &p), contracts.NotFound, "not_found")
	p.Name = "Fibra 500"
	refused(t, h.CreatePlan(ctx, "test", at("2026-05-01 10:00"), &p), contracts.Conflict, "duplicate_name")
	p.ID = third.ID
	refused(t, h.UpdatePlan(ctx, "test", at("2026-05-01 10:00"), &p), contracts.Conflict, "duplicate_name")
}

func TestPlansThatCannotBe(t *testing.T) {
	h := newHouse(t)
	for _, test := range []struct {
		field  string
		change func(*contracts.Plan)
	}{
		{"name", func(p *contracts.Plan) { p.Name = "" }},
		{"name", func(p *contracts.Plan) { p.Name = "a\x00" }},
		{"name", func(p *contracts.Plan) { p.Name = "\xff" }},
		{"name", func(p *contracts.Plan) { p.Name = strings.Repeat("long ", 2000) }},
		{"price", func(p *contracts.Plan) { p.Price = -1 }},
		{"price", func(p *contracts.Plan) { p.Price = contracts.MaxAmount + 1 }},
		{"down_bps", func(p *contracts.Plan) { p.Full.DownBps = 0 }},
		{"down_bps", func(p *contracts.Plan) { p.Full.UpBps = 1 << 63 }},
		{"reduced_percent", func(p *contracts.Plan) { p.ReducedPercent = 0 }},
		{"reduced_percent", func(p *contracts.Plan) { p.ReducedPercent = 101 }},
		{"reduced_percent", func(p *contracts.Plan) { p.Reduced, p.ReducedPercent = p.Full, 1<<40 }},
		{"reduced", func(p *contracts.Plan) { p.Reduced = contracts.Profile{DownBps: 1, UpBps: 1} }},
		{"profile_name", func(p *contracts.Plan) { p.Full.Name = "fibra 500" }},
		{"profile_name", func(p *contracts.Plan) { p.Full.Name = "fibra/500" }},
		{"profile_name", func(p *contracts.Plan) { p.Full.Name = "é" }},
		{"profile_name", func(p *contracts.Plan) { p.Full.Name = strings.Repeat("n", 65) }},
		{"profile_name", func(p *contracts.Plan) { p.Reduced = contracts.Profile{DownBps: 64e3, UpBps: 64e3, Name: "own"} }},
		{"reduced", func(p *contracts.Plan) { p.Reduced = contracts.Profile{DownBps: 200e6, UpBps: 50e6} }},
	} {
		p := contracts.Plan{Name: "New", Price: 100, Full: contracts.Profile{DownBps: 100e6, UpBps: 50e6}, ReducedPercent: 10}
		test.change(&p)
		refused(t, h.CreatePlan(ctx, "test", at("2026-05-01 10:00"), &p), contracts.Invalid, test.field)
		p.ID = h.plan
		refused(t, h.UpdatePlan(ctx, "test", at("2026-05-01 10:00"), &p), contracts.Invalid, test.field)
	}
}

func TestRulesComeBackAsTheyWere(t *testing.T) {
	h := newHouse(t)
	list, err := h.Rules(ctx)
	h.must(err)
	if len(list) != 1 || !reflect.DeepEqual(list[0], DefaultRules()) {
		t.Fatalf("before anything was recorded: %+v", list)
	}
	want := []contracts.Rules{DefaultRules()}
	now := at("2026-02-01 10:00")
	rapid.Check(t, func(t *rapid.T) {
		day := func(label string) *int { return rapid.Ptr(rapid.IntRange(1, 90), true).Draw(t, label) }
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"national", "bank", "chapeco", "são paulo"}), 1, 3, rapid.ID[string])
		r := contracts.Rules{Policy: contracts.DefaultPolicy(), Calendars: contracts.Calendars{}, Brake: rapid.Bool().Draw(t, "brake")}
		p := &r.Policy
		p.NoticeAt = contracts.ClockTime(rapid.IntRange(0, 1439).Draw(t, "notice at"))
		p.NoticeDay = rapid.IntRange(1, 30).Draw(t, "notice day")
		p.ReduceAfterDays, p.BlockAfterDays, p.RenegotiatedBlockAfterDays = day("reduce"), day("block"), day("renegotiated")
		p.NoRestrictWeekdays = rapid.SliceOfNDistinct(rapid.IntRange(1, 7), 1, 6, rapid.ID[int]).Draw(t, "weekdays")
		p.BankCalendars, p.HolidayCalendars = names.Draw(t, "bank"), names.Draw(t, "holidays")
		p.MinBlockingBalance = contracts.Cents(rapid.Int64Range(0, int64(contracts.MaxAmount)).Draw(t, "least"))
		p.UnblockPolicy = rapid.SampledFrom([]contracts.UnblockPolicy{contracts.UnblockThreshold, contracts.UnblockAllOverdue}).Draw(t, "unblock")
		p.BlockMode = rapid.SampledFrom([]contracts.BlockMode{contracts.BlockWalled, contracts.BlockReject}).Draw(t, "mode")
		p.Trust.AllowFrom = []contracts.Status{contracts.BlockedAuto, contracts.Reduced}
		p.Voluntary.MaxDays = rapid.IntRange(0, 3650).Draw(t, "suspension")
		for _, name := range names.Draw(t, "calendars") {
			r.Calendars[name] = map[contracts.Date]bool{}
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 70000), 0, 5).Draw(t, name) {
				r.Calendars[name][contracts.NewDate(1995, 1, 1).AddDays(n)] = true
			}
			if len(r.Calendars[name]) == 0 {
				r.Calendars[name][contracts.NewDate(2026, 1, 1)] = true
			}
		}
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "later")))
		if err := h.SaveRules(ctx, "test", "why", now, r); err != nil {
			t.Fatal(err)
		}
		r.Since, r.Policy.Version = now.UTC().Truncate(time.Microsecond), len(want)+1
		want = append(want, r)
		got, err := h.Rules(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || !reflect.DeepEqual(got[len(got)-1], r) {
			t.Fatalf("recorded\n%+v\nread\n%+v", r, got[len(got)-1])
		}
	})
	got, err := h.Rules(ctx)
	h.must(err)
	if !reflect.DeepEqual(got, want) {
		t.Fatal("an older version changed")
	}
	// The clock went back: the new version still comes after the others.
	h.must(h.SaveRules(ctx, "test", "why", at("2025-02-01 10:00"), DefaultRules()))
	got, err = h.Rules(ctx)
	h.must(err)
	if last := got[len(got)-1]; last.Since.Before(now.Truncate(time.Microsecond)) {
		t.Fatalf("the newest version holds from %s, the one before from %s", last.Since, now)
	}
}

func TestRulesThatCannotBe(t *testing.T) {
	h := newHouse(t)
	save := func(reason string, change func(*contracts.Rules)) error {
		r := DefaultRules()
		r.Calendars = maps.Clone(r.Calendars)
		change(&r)
		return h.SaveRules(ctx, "test", reason, at("2026-02-01 10:00"), r)
	}
	refused(t, save("", func(r *contracts.Rules) { r.Policy.NoticeMinDays = 3 }), contracts.Invalid, "notice_min_days")
	refused(t, save("", func(r *contracts.Rules) { r.Policy.NoticeDay = 1 << 40 }), contracts.Invalid, "notice_day")
	refused(t, save("", func(r *contracts.Rules) { r.Policy.Voluntary.MinDays = -1 }), contracts.Invalid, "vs.min_days")
	refused(t, save("", func(r *contracts.Rules) { r.Policy.BankCalendars = []string{"a\x00"} }), contracts.Invalid, "bank_calendars")
	refused(t, save("", func(r *contracts.Rules) { r.Calendars["a\x00"] = nil }), contracts.Invalid, "calendars")
	refused(t, save("", func(r *contracts.Rules) {
		r.Calendars["old"] = map[contracts.Date]bool{contracts.NewDate(1500, 1, 1): true}
	}), contracts.Invalid, "calendars")
	refused(t, save("a\x00", func(*contracts.Rules) {}), contracts.Invalid, "reason")
	if list, err := h.Rules(ctx); err != nil || len(list) != 1 {
		t.Fatalf("%d versions (%v)", len(list), err)
	}
}

// What was true of an instant stays true of it, whatever is recorded later.
func TestThePastStaysAsItWas(t *testing.T) {
	h := newHouse(t)
	c := h.debtor()
	changes := []struct {
		now string
		do  func(now time.Time)
	}{
		{"2026-03-20 10:00", func(now time.Time) { // a holiday on the day of the reduction and another on the due date
			r := DefaultRules()
			r.Calendars["national"] = maps.Clone(r.Calendars["national"])
			r.Calendars["national"][day("2026-03-26")], r.Calendars["national"][day("2026-03-10")] = true, true
			h.must(h.SaveRules(ctx, "test", "holiday", now, r))
		}},
		{"2026-03-30 10:00", func(now time.Time) { // a policy under which nothing would have been restricted
			r := DefaultRules()
			r.Policy.ReduceAfterDays, r.Policy.BlockAfterDays = nil, nil
			h.must(h.SaveRules(ctx, "test", "milder", now, r))
		}},
		{"2026-04-06 10:00", func(now time.Time) { // and one under which all would have been blocked long ago
			r := DefaultRules()
			r.Policy.BlockAfterDays, r.Policy.BlockMode = r.Policy.ReduceAfterDays, contracts.BlockReject
			h.must(h.SaveRules(ctx, "test", "stricter", now, r))
		}},
		{"2026-04-15 10:00", func(now time.Time) {
			r := DefaultRules()
			r.Brake = true
			h.must(h.SaveRules(ctx, "test", "brake", now, r))
		}},
		{"2026-04-16 10:00", func(now time.Time) { // the file says that it was paid on time
			h.record(now, contracts.Fact{ContractID: c.ID, Kind: contracts.PaymentReceived, InvoiceID: fmt.Sprintf("F%d", c.ID), Amount: 10000, PaidOn: day("2026-03-09")})
		}},
		{"2026-04-17 10:00", func(now time.Time) {
			h.must(h.UpdatePlan(ctx, "test", now, &contracts.Plan{ID: h.plan, Name: "Fibra 500", Price: 1, Full: contracts.Profile{DownBps: 1e6, UpBps: 1e6}, ReducedPercent: 1}))
			h.record(now, contracts.Fact{ContractID: c.ID, Kind: contracts.Cancelled})
		}},
		{"2026-04-18 10:00", func(time.Time) { // written down with a clock that went back
			h.record(at("2026-02-01 10:00"), contracts.Fact{ContractID: c.ID, Kind: contracts.ManualBlock})
		}},
	}
	picture := func(until time.Time) (out []string) {
		for x := at("2026-01-05 10:00"); x.Before(until); x = x.Add(13*time.Hour + 59*time.Minute) {
			d, err := h.Dossier(ctx, c.ID, x)
			h.must(err)
			life := d.Timeline(contracts.Options{})
			s := life.Spans.At(x)
			out = append(out, fmt.Sprintf("%s %s %s %d %+v %+v", x, s.Status, s.Outcome, s.PlanID, s.Why, d.Plans[s.PlanID]))
		}
		return out
	}
	for _, change := range changes {
		now := at(change.now)
		before := picture(now)
		change.do(now)
		if after := picture(now); !slices.Equal(before, after) {
			for i := range before {
				if before[i] != after[i] {
					t.Fatalf("what happened on %s changed the past:\n%s\n%s", change.now, before[i], after[i])
				}
			}
		}
	}
	for when, want := range map[string]contracts.Status{"2026-03-27 10:00": contracts.Overdue, "2026-03-30 09:59": contracts.Reduced,
		"2026-03-30 10:01": contracts.Overdue, "2026-04-07 10:00": contracts.BlockedAuto, "2026-04-16 10:01": contracts.Active, "2026-04-17 10:01": contracts.Terminated} {
		if got := h.statusAt(c.ID, at(when)); got != want {
			t.Errorf("at %s: %s, want %s", when, got, want)
		}
	}
}
