package main

import (
	"fmt"
	"testing"
	"time"

	"enlace/nas/nastest"
)

// TestNetworkStory makes a plan faster for all who are online: what that changes is said beforehand, held back by a pause,
// and seen to its end once it goes on.
func TestNetworkStory(t *testing.T) {
	const n = 6
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339), "--wave-sessions", "4")
	s := provide(t, p, "mikrotik", "127.31.33.1")
	lines := []*nastest.Session{s.nas.Dial(storyLogin, storyPassword, nastest.CHAP)}
	for i := 1; i < n; i++ {
		login := fmt.Sprintf("vizinho%d@isp", i)
		p.api("POST", "/api/v1/contracts", object{"customer_id": 1, "plan_id": 1, "due_day": 10, "accesses": []object{{"login": login, "password": storyPassword}}}, 201)
		lines = append(lines, s.nas.Dial(login, storyPassword, nastest.PAP))
	}
	p.api("POST", "/api/v1/plans", object{"name": "Outro", "price": "50.00", "full": object{"down_bps": 100_000_000, "up_bps": 50_000_000}, "reduced_percent": 10}, 201)
	p.api("POST", "/api/v1/contracts", object{"customer_id": 1, "plan_id": 2, "due_day": 10, "accesses": []object{{"login": "outro@isp", "password": storyPassword}}}, 201)
	other := s.nas.Dial("outro@isp", storyPassword, nastest.PAP)
	for _, line := range lines {
		s.rates(line, 500_000_000, 250_000_000, false)
	}
	s.rates(other, 100_000_000, 50_000_000, false)
	network := func(what string, is func(object) bool) object {
		t.Helper()
		var v object
		p.eventually(what, func() error {
			if v = p.api("GET", "/api/v1/network", nil, 200); !is(v) {
				return fmt.Errorf("%v", v)
			}
			return nil
		})
		return v
	}
	device := func(v object) map[string]any { return v["devices"].([]any)[0].(map[string]any) }
	wave := func(v object) map[string]any {
		if waves := v["waves"].([]any); len(waves) > 0 {
			return waves[0].(map[string]any)
		}
		return map[string]any{}
	}
	network("all are online and as they should be", func(v object) bool { return device(v)["sessions"] == float64(n+1) && device(v)["differences"] == 0.0 })

	plan := object{"name": "Fibra 500", "price": "100.00", "full": object{"down_bps": 600_000_000, "up_bps": 300_000_000}, "reduced_percent": 10}
	dearer := object{"name": "Fibra 500", "price": "110.00", "full": object{"down_bps": 500_000_000, "up_bps": 250_000_000}, "reduced_percent": 10}
	if v := p.api("POST", "/api/v1/plans/1/impact", dearer, 200); v["sessions"] != 0.0 {
		t.Errorf("another price changes sessions: %v", v)
	}
	v := p.api("POST", "/api/v1/plans/1/impact", plan, 200)
	if d := v["devices"].([]any); v["sessions"] != float64(n) || len(d) != 1 || d[0].(map[string]any)["device"] != "bras-1" || v["takes_seconds"] != float64(n)/50 {
		t.Errorf("faster rates change %v", v)
	}
	s.rates(lines[0], 500_000_000, 250_000_000, false) // nothing was saved

	p.api("POST", "/api/v1/network/pause", object{}, 204)
	network("the network is paused", func(v object) bool { return v["paused"] != nil })
	p.api("PUT", "/api/v1/plans/1", plan, 200)
	held := network("the mass change waits", func(v object) bool { return wave(v)["waiting"] == float64(n) })
	if wave(held)["total"] != float64(n) || device(held)["waiting"] != float64(n) || device(held)["differences"] != float64(n) || held["paused"].(map[string]any)["actor"] != "token:story" {
		t.Errorf("while paused the network is %v", held)
	}
	for _, line := range lines {
		if r := line.Rates(); r.DownBps != 500_000_000 {
			t.Errorf("while paused a session was given %+v", r)
		}
	}
	p.api("POST", "/api/v1/network/resume", object{}, 204)
	for _, line := range lines {
		s.rates(line, 600_000_000, 300_000_000, false)
	}
	network("the mass change has ended", func(v object) bool {
		return wave(v)["ended"] != nil && wave(v)["done"] == float64(n) && device(v)["differences"] == 0.0
	})
	s.rates(other, 100_000_000, 50_000_000, false)
	p.eventually("every command is on record", func() error {
		items := p.api("GET", fmt.Sprint("/api/v1/network/commands?answer=ack&method=coa&device_id=", s.device), nil, 200)["items"].([]any)
		if len(items) != n {
			return fmt.Errorf("%d commands: %v", len(items), items)
		}
		return nil
	})
}
