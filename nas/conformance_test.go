package nas_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func saw(n int64, s nas.Sight) nas.Sightings { return nas.Sightings{s: {N: n, At: noon}} }

// TestSightsAreNamed: what is stored by name is found again, and people can read all of it.
func TestSightsAreNamed(t *testing.T) {
	names := map[string]bool{}
	for s := range nas.Sight(nas.Sights) {
		name := s.Name()
		if got, ok := nas.SightNamed(name); !ok || got != s || names[name] {
			t.Errorf("sight %d is named %q, which is %d", s, name, got)
		}
		names[name] = true
		check, form, _ := strings.Cut(name, "/")
		f := nas.Finding{Check: nas.Check(check), Result: nas.Good, Facts: []nas.Fact{{Form: nas.Form(form), N: 7, Value: "42"}}}
		for _, lang := range []contracts.Language{contracts.English, contracts.Portuguese} {
			if text := nas.ConformanceText(&f, lang); strings.Contains(text, "%") || len(text) < 8 || !strings.HasSuffix(text, "(7)") {
				t.Errorf("%s in %s: %q", name, lang, text)
			}
		}
	}
	if _, ok := nas.SightNamed("class/unheard_of"); ok {
		t.Error("a name that is none")
	}
	for _, check := range nas.Checks {
		en, pt := nas.CheckText(check, contracts.English), nas.CheckText(check, contracts.Portuguese)
		if en == "" || pt == "" {
			t.Errorf("%s has no text", check)
		}
	}
}

// TestARegressionAndItsEnd follows a device that begins to drop Class and is put right.
func TestARegressionAndItsEnd(t *testing.T) {
	var c nas.Conformance
	s := nas.Sightings{}
	at, model := noon, "7.15"
	step := func(n int64, sight nas.Sight) (bool, nas.Finding) {
		at = at.Add(time.Minute)
		s.Add(saw(n, sight))
		changed := c.Take(nas.Judge(s, &c, model, at))
		return changed, c.Of(nas.CheckClass)
	}
	if changed, f := step(9, nas.SawClassEcho); changed || f.Result != nas.Unseen {
		t.Fatalf("nine are too few: %+v", f)
	}
	if changed, f := step(1, nas.SawClassEcho); !changed || f.Result != nas.Good || !f.Since.Equal(at) {
		t.Fatalf("ten: %v %+v", changed, f)
	}
	since := at
	if changed, f := step(90, nas.SawClassEcho); changed || f.Result != nas.Good || !f.Since.Equal(since) || !f.At.Equal(at) {
		t.Fatalf("a hundred: %+v", f)
	}
	model = "7.16"
	if _, f := step(10, nas.SawClassNone); f.Result != nas.Good || f.GoodModel != "7.16" {
		t.Fatalf("a few without: %+v", f)
	}
	model = "7.17"
	changed, f := step(20, nas.SawClassNone)
	if !changed || f.Result != nas.Bad || f.Form != "none" || !f.Regressed() || f.GoodModel != "7.16" || f.Model != "7.17" || !f.RegressedAt.Equal(at) {
		t.Fatalf("a regression: %v %+v", changed, f)
	}
	when := at
	if changed, f = step(200, nas.SawClassNone); changed || !f.RegressedAt.Equal(when) || s[nas.SawClassEcho].N != 0 {
		t.Fatalf("it goes on: %v %+v, %v", changed, f, s)
	}
	c.Findings[0].AcknowledgedAt, c.Findings[0].AcknowledgedBy = at, "staff:ana"
	if _, f = step(5, nas.SawClassNone); f.Regressed() || f.RegressedAt.IsZero() || f.AcknowledgedBy != "staff:ana" {
		t.Fatalf("acknowledged: %+v", f)
	}
	if _, f = step(90, nas.SawClassEcho); f.Result != nas.Bad {
		t.Fatalf("between the two shares what is known stays: %+v", f)
	}
	if _, f = step(99, nas.SawClassEcho); f.Result != nas.Good || f.Regressed() || !f.RegressedAt.IsZero() || f.AcknowledgedBy != "" {
		t.Fatalf("good again: %+v, %v", f, s)
	}
}

// TestBadFromTheFirstIsNoRegression: nothing is lost that was never there.
func TestBadFromTheFirstIsNoRegression(t *testing.T) {
	var c nas.Conformance
	c.Take(nas.Judge(saw(50, nas.SawUnsigned), &c, "", noon))
	if f := c.Of(nas.CheckMA); f.Result != nas.Bad || f.Regressed() {
		t.Errorf("%+v", f)
	}
}

// TestTheLastClassCounts: of a probe and what came back after it, the later one is what is known.
func TestTheLastClassCounts(t *testing.T) {
	var c nas.Conformance
	at := noon
	now := func() time.Time { at = at.Add(time.Minute); return at }
	probe := func(r nas.Result, form nas.Form) {
		c.Take([]nas.Finding{{Check: nas.CheckCoAClass, Result: r, Form: form, At: now()}})
	}
	s := nas.Sightings{}
	judge := func(x nas.Sight, want nas.Form) {
		t.Helper()
		if x != nas.SawOn {
			s.Add(nas.Sightings{x: {N: 1, At: now()}})
		}
		c.Take(nas.Judge(s, &c, "", now()))
		if f := c.Of(nas.CheckCoAClass); f.Form != want {
			t.Errorf("%q, want %q: %+v", f.Form, want, s)
		}
	}
	judge(nas.SawOn, "")
	probe(nas.Noted, "acked")
	judge(nas.SawOn, "acked")
	judge(nas.SawClassTaken, "returned")
	judge(nas.SawOn, "returned")
	probe(nas.Noted, "refused")
	judge(nas.SawOn, "refused")
	probe(nas.Noted, "acked")
	judge(nas.SawClassKept, "kept")
	judge(nas.SawClassTaken, "returned")
}

func TestOnceIsEnoughForSomeChecks(t *testing.T) {
	for _, x := range []struct {
		s    nas.Sightings
		of   nas.Check
		want nas.Result
	}{
		{saw(1, nas.SawOn), nas.CheckBoot, nas.Good},
		{saw(1, nas.SawIPv6), nas.CheckIPv6, nas.Good},
		{saw(9, nas.SawNoIPv6), nas.CheckIPv6, nas.Unseen},
		{saw(10, nas.SawNoIPv6), nas.CheckIPv6, nas.Noted},
		{nas.Sightings{nas.SawNoPorts: {N: 99}, nas.SawPorts: {N: 1}}, nas.CheckPorts, nas.Good},
		{saw(1, nas.SawStopAgain), nas.CheckStop, nas.Noted},
		{saw(1, nas.SawIDAgain), nas.CheckReuse, nas.Noted},
		{saw(9, nas.SawStopOnce), nas.CheckStop, nas.Unseen},
		{saw(1, nas.SawWrap), nas.CheckGigawords, nas.Bad},
		{saw(1, nas.SawGigawords), nas.CheckGigawords, nas.Good},
		{saw(1, nas.SawNoEffect), nas.CheckEffect, nas.Unseen},
		{saw(2, nas.SawNoEffect), nas.CheckEffect, nas.Bad},
		{nas.Sightings{nas.SawStampNone: {N: 60}, nas.SawStampClose: {N: 40}}, nas.CheckClock, nas.Noted},
		{nas.Sightings{}, nas.CheckClass, nas.Unseen},
	} {
		got := nas.Unseen
		for _, f := range nas.Judge(x.s, &nas.Conformance{}, "", noon) {
			if f.Check == x.of {
				got = f.Result
			}
		}
		if got != x.want {
			t.Errorf("%v: %q, want %q", x.s, got, x.want)
		}
	}
}

// TestSightingsFade: however they come, no check remembers much more than a window, and what is wholly new decides.
func TestSightingsFade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := nas.Sightings{}
		forms := []nas.Sight{nas.SawClassEcho, nas.SawClassNone, nas.SawClassAltered}
		for range rapid.IntRange(1, 30).Draw(t, "batches") {
			more := nas.Sightings{nas.SawOn: {N: 1}}
			for _, f := range forms {
				if n := rapid.Int64Range(0, 100_000).Draw(t, "n"); n > 0 {
					more[f] = nas.Seen{N: n}
				}
			}
			s.Add(more)
			var sum int64
			for _, f := range forms {
				if s[f].N < 0 || more[f].N > 0 && s[f].N == 0 {
					t.Fatalf("%v after %v", s, more)
				}
				sum += s[f].N
			}
			if sum > 100+3 {
				t.Fatalf("%d are remembered: %v", sum, s)
			}
		}
		s.Add(saw(100, nas.SawClassNone))
		if s[nas.SawClassNone].N != 100 || s[nas.SawClassEcho].N+s[nas.SawClassAltered].N != 0 {
			t.Fatalf("%v", s)
		}
	})
}

func TestStrategyFollowsFindings(t *testing.T) {
	d := nas.NewDialects(nas.DefaultGarden()).Named("mikrotik")
	find := func(check nas.Check, r nas.Result, form nas.Form) nas.Finding {
		return nas.Finding{Check: check, Result: r, Form: form, At: noon}
	}
	full := nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 5e8, UpBps: 2e8}}
	reduced := nas.Service{Outcome: contracts.OutcomeReduced, Profile: contracts.Profile{DownBps: 5e7, UpBps: 2e7}}
	session := nas.Session{Key: nas.SessionKey{Device: 1, ID: "81a0"}, Login: "ana"}
	for _, x := range []struct {
		name     string
		found    []nas.Finding
		choice   nas.Choice
		want     [4]string // identify, rates, wall, class
		rates    nas.Method
		identify int
	}{
		{name: "nothing found", want: [4]string{"dialect", "coa", "disconnect", ""}, rates: nas.CoA, identify: 2},
		{name: "only the id is known", found: []nas.Finding{find(nas.CheckIdentify, nas.Noted, "session_id")},
			want: [4]string{"session_id", "coa", "disconnect", ""}, rates: nas.CoA, identify: 1},
		{name: "no way was found", found: []nas.Finding{find(nas.CheckIdentify, nas.Bad, "none")},
			want: [4]string{"dialect", "coa", "disconnect", ""}, rates: nas.CoA, identify: 2},
		{name: "without effect", found: []nas.Finding{find(nas.CheckEffect, nas.Bad, "missing")},
			want: [4]string{"dialect", "disconnect", "disconnect", ""}, rates: nas.Disconnect, identify: 2},
		{name: "Class is acknowledged", found: []nas.Finding{find(nas.CheckCoAClass, nas.Noted, "acked")},
			want: [4]string{"dialect", "coa", "disconnect", ""}, rates: nas.CoA, identify: 2},
		{name: "Class stays", found: []nas.Finding{find(nas.CheckCoAClass, nas.Noted, "kept")},
			want: [4]string{"dialect", "coa", "disconnect", "no"}, rates: nas.CoA, identify: 2},
		{name: "Class may go", found: []nas.Finding{find(nas.CheckCoAClass, nas.Good, "returned"), find(nas.CheckClass, nas.Good, "echoed")},
			want: [4]string{"dialect", "coa", "disconnect", "yes"}, rates: nas.CoA, identify: 2},
		{name: "Class does not come back", found: []nas.Finding{find(nas.CheckCoAClass, nas.Good, "acked"), find(nas.CheckClass, nas.Bad, "none")},
			want: [4]string{"dialect", "coa", "disconnect", "no"}, rates: nas.CoA, identify: 2},
		{name: "fixed", found: []nas.Finding{find(nas.CheckNoChange, nas.Bad, "refused")}, choice: nas.Choice{Identify: "login", Rates: "coa", Class: "no"},
			want: [4]string{"login", "coa", "disconnect", "no"}, rates: nas.CoA, identify: 1},
	} {
		c := nas.Conformance{Choice: x.choice}
		c.Take(x.found)
		s := c.Strategy(d)
		if got := [4]string{s.Identify.Value, s.Rates.Value, s.Wall.Value, s.Class.Value}; got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
		cmd, err := nas.Plan(d, full.Digest(), reduced)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Command(cmd, full.Digest(), reduced); got.Method != x.rates {
			t.Errorf("%s: rates by %q, want %q", x.name, got.Method, x.rates)
		}
		if got := s.Names(d, session); len(got) != x.identify {
			t.Errorf("%s: named by %v", x.name, nas.Describe(got))
		}
	}
	for _, c := range []nas.Choice{{Identify: "nas_port"}, {Rates: "api"}, {Wall: "yes"}, {Class: "coa"}} {
		if c.Validate() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	if c := (nas.Choice{Class: "yes"}); c.Validate() != nil || c != (nas.Choice{"auto", "auto", "auto", "yes"}) {
		t.Errorf("%+v", c)
	}
}
