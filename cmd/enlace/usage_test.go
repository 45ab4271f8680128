package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas/nastest"
)

const gb = 1_000_000_000

// say wants a sentence in what the program's own tool says of a local instant.
func (s *story) say(at, sentence string) {
	s.t.Helper()
	e := s.explained(at)
	if !slices.ContainsFunc(e.Details, func(l string) bool { return strings.Contains(l, sentence) }) {
		s.t.Fatalf("at %s nothing says %q: %q", at, sentence, e.Details)
	}
}

// about allows for the line's own few octets.
func about(got any, want float64) bool {
	n, ok := got.(float64)
	return ok && n >= want && n < want+gb/10
}

// TestUsageStory follows a subscriber whose plan has an allowance and hours: everything happens on the live session.
func TestUsageStory(t *testing.T) {
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339))
	s := provide(t, p, "mikrotik", "127.31.12.1")
	ctx := t.Context()
	line := s.nas.Dial(storyLogin, storyPassword, nastest.CHAP)
	s.rates(line, 500_000_000, 250_000_000, false)
	first := line.ID()

	// The plan gets 100 GB of download, twice the speed at night, and nights that are free.
	fields := object{"name": "Fibra 500", "price": "100.00", "full": object{"down_bps": 500_000_000, "up_bps": 250_000_000}, "reduced_percent": 10,
		"allowance": object{"bytes": 100 * gb, "counts": "download", "percent": 2},
		"hours":     []object{{"from": "22:00", "until": "06:00", "percent": 200, "free": true}}}
	p.api("PUT", "/api/v1/plans/1", fields, 200)
	s.rates(line, 500_000_000, 250_000_000, false)

	// Just below the allowance nothing happens; at it, the live session is reduced.
	download := func(octets uint64) {
		t.Helper()
		line.AddTraffic(7*gb, octets)
		if err := line.Interim(ctx); err != nil {
			t.Fatal(err)
		}
	}
	used := func(want float64) {
		t.Helper()
		s.eventually(fmt.Sprintf("%.0f octets are stored as used", want), func() error {
			if u := s.api("GET", "/api/v1/contracts/"+s.contract+"/usage", nil, 200); !about(u["used"], want) {
				return fmt.Errorf("%v", u)
			}
			return nil
		})
	}
	download(99 * gb)
	used(99 * gb)
	s.rates(line, 500_000_000, 250_000_000, false)
	download(1 * gb)
	s.rates(line, 10_000_000, 5_000_000, false)
	s.agreed("REDUCED 10M/5M")
	s.status(contracts.Active)
	used(100 * gb)
	s.say("2026-01-15 10:05:00", "100 GB of 100 GB of download used in the cycle 2026-01-10 to 2026-02-09")
	s.say("2026-01-15 10:05:00", "Reduced to 10/5 Mbit/s because the allowance is used up, until it begins anew on 2026-02-10")
	if n := p.metric(`enlace_usage_crossings_total{to="beyond"}`); n != "1" {
		t.Errorf("%s crossings are counted", n)
	}

	// A login beyond the allowance is answered the same way.
	other, err := s.nas.Login(ctx, storyLogin, storyPassword, nastest.PAP)
	if err != nil {
		t.Fatal(err)
	}
	if r := other.Rates(); r.DownBps != 10_000_000 {
		t.Errorf("a new login runs at %+v", r)
	}
	if err := other.Leave(ctx, 1); err != nil {
		t.Fatal(err)
	}

	// Twenty more gigabytes: at once, on the same session; used up again, reduced again.
	p.api("POST", "/api/v1/contracts/"+s.contract+"/acts/top-up", object{"bytes": 20 * gb, "reason": "pediu por telefone"}, 200)
	s.rates(line, 500_000_000, 250_000_000, false)
	if u := s.api("GET", "/api/v1/contracts/"+s.contract+"/usage", nil, 200); u["allowed"] != float64(120*gb) || u["rule"] != "plan" || u["outcome"] != "FULL" {
		t.Errorf("after the top-up: %v", u)
	}
	p.api("POST", "/api/v1/contracts/"+s.contract+"/acts/top-up", object{"bytes": 0}, 422)
	download(20 * gb)
	s.rates(line, 10_000_000, 5_000_000, false)

	if line.ID() != first || line.Logins() != 1 {
		t.Errorf("it took a new login: session %s after %s, %d logins", line.ID(), first, line.Logins())
	}

	// It outlives a restart, though the last record may not have been stored before it.
	p.kill(9)
	p.up(local("2026-01-15 10:30:00").Format(time.RFC3339))
	used(120 * gb)
	e := s.explained("2026-01-15 10:31:00")
	if e.Service != "REDUCED 10M/5M" {
		t.Errorf("after the restart: %s %q", e.Service, e.Details)
	}
	if u := s.api("GET", "/api/v1/contracts/"+s.contract+"/usage", nil, 200); !about(u["used"], 120*gb) || u["outcome"] != "REDUCED" {
		t.Errorf("after the restart: %v", u)
	}
	conn := s.connect()
	defer conn.Close(ctx)
	var detail string
	if err := conn.QueryRow(ctx, `select detail::text from audit where act = 'top_up' and result = 'done'`).Scan(&detail); err != nil || !strings.Contains(detail, "telefone") {
		t.Errorf("the audit of the top-up says %q, %v", detail, err)
	}
}

// TestHoursStory lets the night begin and end on a live session, and the cycle begin anew.
func TestHoursStory(t *testing.T) {
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339))
	s := provide(t, p, "accel-ppp", "127.31.12.2")
	ctx := t.Context()
	p.api("PUT", "/api/v1/plans/1", object{"name": "Fibra 500", "price": "100.00", "full": object{"down_bps": 500_000_000, "up_bps": 250_000_000}, "reduced_percent": 10,
		"allowance": object{"bytes": 100 * gb, "beyond": "wall"},
		"hours":     []object{{"from": "22:00", "until": "06:00", "percent": 200, "free": true}}}, 200)
	line := s.nas.Dial(storyLogin, storyPassword, nastest.MSCHAPv2)
	s.rates(line, 500_000_000, 250_000_000, false)
	first := line.ID()
	s.now("2026-01-15 22:00:00")
	s.rates(line, 1_000_000_000, 500_000_000, false)
	s.agreed("FULL 1G/500M")
	s.say("2026-01-15 23:30:00", "From 22:00 to 06:00 the plan runs at 1000/500 Mbit/s")
	line.AddTraffic(300*gb, 300*gb) // free
	if err := line.Interim(ctx); err != nil {
		t.Fatal(err)
	}
	s.eventually("the night's traffic is booked as free", func() error {
		u := s.api("GET", "/api/v1/contracts/"+s.contract+"/usage", nil, 200)
		if u["used"] != float64(0) || !about(u["total"].(map[string]any)["download"], 300*gb) {
			return fmt.Errorf("%v", u)
		}
		return nil
	})
	s.now("2026-01-16 05:59:59")
	s.rates(line, 1_000_000_000, 500_000_000, false)
	s.now("2026-01-16 06:00:00")
	s.rates(line, 500_000_000, 250_000_000, false)

	// By day it counts, both ways together; used up, it is the walled garden until the cycle begins anew.
	s.now("2026-02-09 12:00:00")
	line.AddTraffic(50*gb, 50*gb)
	if err := line.Interim(ctx); err != nil {
		t.Fatal(err)
	}
	s.rates(line, 1_000_000, 1_000_000, true)
	s.agreed("WALLED 1M/1M")
	s.say("2026-02-09 12:05:00", "In the walled garden because the allowance is used up, until it begins anew on 2026-02-10")
	s.now("2026-02-10 00:00:00")
	s.rates(line, 1_000_000_000, 500_000_000, false) // a new cycle, by night
	s.now("2026-02-10 06:00:00")
	s.rates(line, 500_000_000, 250_000_000, false)
	if line.ID() != first || line.Logins() != 1 {
		t.Errorf("it took a new login: session %s after %s, %d logins", line.ID(), first, line.Logins())
	}
	s.quiet()
	var e explained
	if err := json.Unmarshal([]byte(s.run("explain", storyLogin, "--lang", "pt", "--output", "json", "--at", local("2026-02-09 23:00:00").Format(time.RFC3339))), &e); err != nil || !slices.ContainsFunc(e.Details, func(l string) bool { return strings.Contains(l, "No jardim murado porque a franquia foi usada") }) {
		t.Errorf("in Portuguese: %q, %v", e.Details, err)
	}
}
