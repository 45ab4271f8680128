package contracts_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/contracts"
)

const gb = 1_000_000_000

func capped(gigabytes uint64, beyond contracts.Beyond) *contracts.Plan {
	return &contracts.Plan{Name: "Fibra", Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10,
		Allowance: &contracts.Allowance{Bytes: gigabytes * gb, Counts: contracts.CountDownload, Beyond: beyond, Percent: 2}}
}

func TestWhatIsStricterWins(t *testing.T) {
	fast := contracts.Profile{DownBps: 1000e6, UpBps: 500e6}
	night := []contracts.Hours{{From: 0, Until: 6 * 60, Percent: 200}}
	at := when("2026-03-15 03:00") // in the night, in the cycle from 10 March to 9 April
	for _, c := range []struct {
		name    string
		span    contracts.Outcome
		beyond  contracts.Beyond
		down    uint64
		extra   uint64
		outcome contracts.Outcome
		rates   contracts.Profile
		rule    contracts.Rule
		until   string
	}{
		{"an octet is left", contracts.OutcomeFull, contracts.BeyondReduce, 100*gb - 1, 0, contracts.OutcomeFull, fast, contracts.RuleHours, "2026-03-15 06:00"},
		{"exactly at the limit", contracts.OutcomeFull, contracts.BeyondReduce, 100 * gb, 0, contracts.OutcomeReduced, contracts.Profile{DownBps: 10e6, UpBps: 5e6}, contracts.RuleAllowance, "2026-04-10 00:00"},
		{"topped up", contracts.OutcomeFull, contracts.BeyondReduce, 120 * gb, 20*gb + 1, contracts.OutcomeFull, fast, contracts.RuleHours, "2026-03-15 06:00"},
		{"the top-up is used too", contracts.OutcomeFull, contracts.BeyondReduce, 120 * gb, 20 * gb, contracts.OutcomeReduced, contracts.Profile{DownBps: 10e6, UpBps: 5e6}, contracts.RuleAllowance, "2026-04-10 00:00"},
		{"walled when used up", contracts.OutcomeFull, contracts.BeyondWall, 100 * gb, 0, contracts.OutcomeWalled, contracts.Profile{}, contracts.RuleAllowance, "2026-04-10 00:00"},
		{"reduced for debt, below the allowance", contracts.OutcomeReduced, contracts.BeyondReduce, 0, 0, contracts.OutcomeReduced, contracts.Profile{DownBps: 50e6, UpBps: 25e6}, contracts.RuleContract, ""},
		{"reduced for debt, beyond the allowance", contracts.OutcomeReduced, contracts.BeyondReduce, 900 * gb, 0, contracts.OutcomeReduced, contracts.Profile{DownBps: 50e6, UpBps: 25e6}, contracts.RuleContract, ""},
		{"reduced for debt, walled by the allowance", contracts.OutcomeReduced, contracts.BeyondWall, 900 * gb, 0, contracts.OutcomeWalled, contracts.Profile{}, contracts.RuleAllowance, "2026-04-10 00:00"},
		{"walled for debt", contracts.OutcomeWalled, contracts.BeyondReduce, 900 * gb, 0, contracts.OutcomeWalled, contracts.Profile{}, contracts.RuleContract, ""},
		{"refused", contracts.OutcomeReject, contracts.BeyondWall, 900 * gb, 0, contracts.OutcomeReject, contracts.Profile{}, contracts.RuleContract, ""},
	} {
		p := capped(100, c.beyond)
		p.Hours = night
		from, until := contracts.CycleOf(on("2026-03-15"), 10)
		v := p.Decide(c.span, saoPaulo, contracts.Tally{From: from, Until: until, Counted: contracts.Traffic{Up: 5000 * gb, Down: c.down}, Extra: c.extra}, at)
		ends := ""
		if !v.Until.IsZero() {
			ends = v.Until.In(saoPaulo).Format("2006-01-02 15:04")
		}
		if v.Outcome != c.outcome || v.Profile != c.rates || v.Rule != c.rule || ends != c.until {
			t.Errorf("%s: %s %+v by %s until %q", c.name, v.Outcome, v.Profile, v.Rule, ends)
		}
	}
}

func TestAnAllowanceOfNothingIsUsedUp(t *testing.T) {
	p := capped(0, contracts.BeyondWall)
	if v := p.Decide(contracts.OutcomeFull, saoPaulo, contracts.Tally{}, when("2026-03-15 12:00")); v.Outcome != contracts.OutcomeWalled {
		t.Errorf("with nothing: %s", v.Outcome)
	}
	if v := p.Decide(contracts.OutcomeFull, saoPaulo, contracts.Tally{Extra: 1}, when("2026-03-15 12:00")); v.Outcome != contracts.OutcomeFull {
		t.Errorf("with a top-up: %s", v.Outcome)
	}
}

func TestRatesBeyondAnAllowance(t *testing.T) {
	p := capped(1, contracts.BeyondReduce)
	p.Allowance.Percent = 0
	if got := p.BeyondProfile(); got != p.ReducedProfile() {
		t.Errorf("without rates of its own: %+v", got)
	}
	p.Allowance.Profile = contracts.Profile{DownBps: 3e6, UpBps: 1e6}
	if got := p.BeyondProfile(); got.DownBps != 3e6 {
		t.Errorf("with rates of its own: %+v", got)
	}
}

// A cycle is the contract's own: what was used before it, what is free, and a top-up of the one before do not count.
func TestTallyOfACycle(t *testing.T) {
	c := &contracts.Contract{Zone: saoPaulo, DueDay: 31}
	facts := []contracts.Fact{
		{Kind: contracts.ToppedUp, At: when("2026-02-27 23:59"), Bytes: 1},
		{Kind: contracts.ToppedUp, At: when("2026-02-28 00:00"), Bytes: 20},
		{Kind: contracts.ToppedUp, At: when("2026-03-30 23:59"), Bytes: 300},
		{Kind: contracts.ToppedUp, At: when("2026-03-31 00:00"), Bytes: 4000},
	}
	days := []contracts.DayUsage{
		{Day: on("2026-02-27"), Total: contracts.Traffic{Up: 1, Down: 1}},
		{Day: on("2026-02-28"), Total: contracts.Traffic{Up: 10, Down: 20}, Free: contracts.Traffic{Up: 2, Down: 5}},
		{Day: on("2026-03-30"), Total: contracts.Traffic{Up: 100, Down: 200}},
		{Day: on("2026-03-31"), Total: contracts.Traffic{Up: 1000, Down: 2000}},
	}
	for at, want := range map[string]contracts.Tally{
		"2026-02-27 23:59": {From: on("2026-01-31"), Until: on("2026-02-28"), Counted: contracts.Traffic{Up: 1, Down: 1}, Extra: 1},
		"2026-02-28 00:00": {From: on("2026-02-28"), Until: on("2026-03-31"), Counted: contracts.Traffic{Up: 8, Down: 15}, Extra: 20},
		"2026-03-30 23:58": {From: on("2026-02-28"), Until: on("2026-03-31"), Counted: contracts.Traffic{Up: 108, Down: 215}, Extra: 20},
		"2026-03-30 23:59": {From: on("2026-02-28"), Until: on("2026-03-31"), Counted: contracts.Traffic{Up: 108, Down: 215}, Extra: 320},
		"2026-03-31 00:00": {From: on("2026-03-31"), Until: on("2026-04-30"), Counted: contracts.Traffic{Up: 1000, Down: 2000}, Extra: 4000},
	} {
		if got := contracts.TallyAt(c, facts, days, when(at)); got != want {
			t.Errorf("at %s: %+v, want %+v", at, got, want)
		}
	}
}

// A top-up changes nothing in the timeline: it is an argument, not a state.
func TestATopUpLeavesTheTimelineAlone(t *testing.T) {
	s := tell(t)
	s.invoice("F1", "2026-03-10")
	s.notice("F1", "2026-03-11 08:00")
	before := fmt.Sprint(contracts.Timeline(s.contract, s.facts, s.rules, contracts.Options{}).Spans)
	s.fact("2026-03-26 09:00", contracts.Fact{Kind: contracts.ToppedUp, ID: 99, Bytes: gb, Actor: "staff:ana"}) // at the instant of the reduction
	s.fact("2026-03-20 09:00", contracts.Fact{Kind: contracts.ToppedUp, ID: 98, Bytes: gb})
	if after := fmt.Sprint(contracts.Timeline(s.contract, s.facts, s.rules, contracts.Options{}).Spans); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestHoursOnTheClock(t *testing.T) {
	full := contracts.Profile{DownBps: 100e6, UpBps: 100e6}
	plan := func(hours ...contracts.Hours) *contracts.Plan { return &contracts.Plan{Full: full, Hours: hours} }
	night := contracts.Hours{From: 22 * 60, Until: 6 * 60, Percent: 200}
	for _, c := range []struct {
		name  string
		plan  *contracts.Plan
		at    string
		down  uint64
		until string
	}{
		{"before midnight", plan(night), "2026-03-10 22:00", 200e6, "2026-03-11 06:00"},
		{"just before they begin", plan(night), "2026-03-10 21:59", 100e6, "2026-03-10 22:00"},
		{"after midnight", plan(night), "2026-03-11 05:59", 200e6, "2026-03-11 06:00"},
		{"as they end", plan(night), "2026-03-11 06:00", 100e6, "2026-03-11 22:00"},
		{"a Saturday's night lasts into Sunday", plan(contracts.Hours{Days: []int{6}, From: 22 * 60, Until: 6 * 60, Percent: 200}), "2026-03-15 05:00", 200e6, "2026-03-15 06:00"},
		{"a Sunday's has not begun", plan(contracts.Hours{Days: []int{7}, From: 22 * 60, Until: 6 * 60, Percent: 200}), "2026-03-15 05:00", 100e6, "2026-03-15 22:00"},
		{"all day long on Mondays", plan(contracts.Hours{Days: []int{1}, From: 0, Until: 0, Percent: 50}), "2026-03-16 23:59", 50e6, "2026-03-17 00:00"},
		{"two meet without a step", plan(night, contracts.Hours{From: 6 * 60, Until: 8 * 60, Percent: 200}), "2026-03-11 01:00", 200e6, "2026-03-11 08:00"},
		{"the first of the list decides", plan(contracts.Hours{From: 60, Until: 120, Percent: 300}, night), "2026-03-11 00:30", 200e6, "2026-03-11 01:00"},
		{"every hour of every day", plan(contracts.Hours{From: 0, Until: 0, Percent: 50}), "2026-03-11 00:30", 50e6, ""},
		{"free, and of no other speed", plan(contracts.Hours{From: 0, Until: 6 * 60, Free: true}), "2026-03-11 00:30", 100e6, ""},
		// On 2018-11-04 the clocks went from 00:00 to 01:00, on 2018-02-18 from 24:00 back to 23:00.
		{"they begin with the gap", plan(contracts.Hours{From: 0, Until: 6 * 60, Percent: 200}), "2018-11-04 01:00", 200e6, "2018-11-04 06:00"},
		{"they would lie within the gap", plan(contracts.Hours{From: 0, Until: 30, Percent: 200}), "2018-11-04 01:00", 100e6, "2018-11-05 00:00"},
		{"until midnight of the gap", plan(contracts.Hours{From: 20 * 60, Until: 0, Percent: 200}), "2018-11-03 23:59", 200e6, "2018-11-04 01:00"},
		{"through the repeated hour", plan(contracts.Hours{From: 20 * 60, Until: 0, Percent: 200}), "2018-02-17 22:59", 200e6, "2018-02-18 00:00"},
	} {
		v := c.plan.Decide(contracts.OutcomeFull, saoPaulo, contracts.Tally{}, when(c.at))
		ends := ""
		if !v.Until.IsZero() {
			ends = v.Until.In(saoPaulo).Format("2006-01-02 15:04")
		}
		if v.Outcome != contracts.OutcomeFull || v.Profile.DownBps != c.down || ends != c.until {
			t.Errorf("%s: %s %d until %q, want %d until %q", c.name, v.Outcome, v.Profile.DownBps, ends, c.down, c.until)
		}
	}
	twice := when("2018-02-17 20:30").Add(3 * time.Hour) // 23:30 summer time, and an hour later 23:30 again
	p := plan(contracts.Hours{From: 20 * 60, Until: 0, Percent: 200})
	for _, at := range []time.Time{twice, twice.Add(time.Hour)} {
		if v := p.Decide(contracts.OutcomeFull, saoPaulo, contracts.Tally{}, at); v.Profile.DownBps != 200e6 || !v.Until.Equal(twice.Add(90*time.Minute)) {
			t.Errorf("at %s: %d until %s", at.In(saoPaulo), v.Profile.DownBps, v.Until.In(saoPaulo))
		}
	}
}

// Whatever the hours and the zone's history: rates are constant until the instant that a verdict names, and other rates
// hold from there on.
func TestAVerdictHoldsUntilItEnds(t *testing.T) {
	zones := []*time.Location{saoPaulo, mustZone("America/Santiago"), mustZone("Europe/Lisbon"), mustZone("Pacific/Apia"), time.UTC}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		p := &contracts.Plan{Full: contracts.Profile{DownBps: 100e6, UpBps: 100e6}}
		minute := rapid.SampledFrom([]int{0, 0, 1, 30, 60, 90, 6 * 60, 12 * 60, 22 * 60, 23 * 60, 23*60 + 59})
		for range rapid.IntRange(1, 3).Draw(t, "hours") {
			h := contracts.Hours{From: contracts.ClockTime(minute.Draw(t, "from")), Until: contracts.ClockTime(minute.Draw(t, "until")),
				Percent: rapid.SampledFrom([]int{50, 200, 200, 0}).Draw(t, "percent"), Free: true}
			if rapid.Bool().Draw(t, "some days") {
				h.Days = rapid.SliceOfNDistinct(rapid.IntRange(1, 7), 1, 6, rapid.ID[int]).Draw(t, "days")
			}
			p.Hours = append(p.Hours, h)
		}
		around := rapid.SampledFrom([]string{"2018-11-04", "2018-02-18", "2026-03-29", "2026-10-25", "2011-12-30", "2026-05-05"}).Draw(t, "around")
		start := on(around).Start(zone).Add(time.Duration(rapid.IntRange(-3*1440, 3*1440).Draw(t, "minute")) * time.Minute)
		v := p.Decide(contracts.OutcomeFull, zone, contracts.Tally{}, start)
		rates := func(at time.Time) contracts.Profile { return p.HoursProfile(p.HoursAt(at, zone)) }
		last := v.Until
		if last.IsZero() {
			last = start.Add(7 * 24 * time.Hour)
		} else if !last.After(start) || rates(last) == v.Profile {
			t.Fatalf("from %s the rates %+v end at %s, where %+v hold", start.In(zone), v.Profile, last.In(zone), rates(last))
		}
		for at := start; at.Before(last); at = at.Add(7 * time.Minute) {
			if rates(at) != v.Profile {
				t.Fatalf("from %s until %s the rates are said to be %+v, at %s they are %+v", start.In(zone), v.Until.In(zone), v.Profile, at.In(zone), rates(at))
			}
		}
		if at := last.Add(-time.Nanosecond); rates(at) != v.Profile {
			t.Fatalf("just before %s the rates are %+v", last.In(zone), rates(at))
		}
	})
}

func TestPlansThatCannotBe(t *testing.T) {
	for field, change := range map[string]func(*contracts.Plan){
		"allowance":         func(p *contracts.Plan) { p.Allowance.Bytes = contracts.MaxAllowance + 1 },
		"allowance_counts":  func(p *contracts.Plan) { p.Allowance.Counts = "some" },
		"allowance_beyond":  func(p *contracts.Plan) { p.Allowance.Beyond = "" },
		"allowance_percent": func(p *contracts.Plan) { p.Allowance.Percent = 101 },
		"allowance_down":    func(p *contracts.Plan) { p.Allowance.Profile = contracts.Profile{DownBps: 600e6, UpBps: 1e6} },
		"hours":             func(p *contracts.Plan) { p.Hours = []contracts.Hours{{From: 0, Until: 60}} },
		"hours ":            func(p *contracts.Plan) { p.Hours = []contracts.Hours{{From: 24 * 60, Free: true}} },
		"hours  ":           func(p *contracts.Plan) { p.Hours = []contracts.Hours{{Days: []int{1, 1}, Free: true}} },
		"hours   ":          func(p *contracts.Plan) { p.Hours = []contracts.Hours{{Percent: 1001}} },
	} {
		p := capped(1, contracts.BeyondReduce)
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		change(p)
		if err := p.Validate(); err == nil {
			t.Errorf("%s was accepted: %+v %+v", field, p.Allowance, p.Hours)
		}
	}
}
