package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwoNodes has an access server begin sessions with one node and end some with the other: the first comes to know.
func TestTwoNodes(t *testing.T) {
	one := start(t, "2026-01-15T10:00:00-03:00")
	provide(t, one, "mikrotik", "127.31.12.1")
	two := startOn(t, one.database, "2026-01-15T10:00:00-03:00", "--key-file", filepath.Join(one.dir, "key"))
	record := func(p *program, kind, id string, seconds int) {
		t.Helper()
		attributes := fmt.Sprintf("User-Name = %s, Acct-Status-Type = %s, Acct-Session-Id = %s, Acct-Session-Time = %d", storyLogin, kind, id, seconds)
		if ok, out := radclient(t, p.acct, "acct", storySecret, attributes); !ok {
			t.Fatal(out)
		}
	}
	open := func(p *program, want int) {
		t.Helper()
		p.eventually(fmt.Sprint(want, " sessions are open"), func() error {
			if got := p.metric(`enlace_sessions_open{device="radclient"}`); got != fmt.Sprint(want) {
				return fmt.Errorf("%s are", got)
			}
			return nil
		})
	}
	for i := range 3 {
		record(one, "Start", fmt.Sprint("s", i), 0)
	}
	open(one, 3)
	one.eventually("they are stored", func() error {
		if n := len(one.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any)); n != 3 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	record(two, "Stop", "s0", 60)
	record(two, "Stop", "s1", 60)
	one.eventually("two have ended in the database", func() error {
		if n := len(one.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any)); n != 1 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
	open(one, 3)
	one.api("PUT", "/api/v1/clock", object{"now": "2026-01-15T10:20:00-03:00"}, 200) // it should have heard of them
	open(one, 1)
	if !strings.Contains(one.log.String(), "sessions have ended on other nodes") {
		t.Error("the log does not say why")
	}
}
