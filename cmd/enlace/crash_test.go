package main

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"enlace/nas/nastest"
)

// TestKillLosesNothing kills the program between answering accounting and storing it, and wants every answered record
// in the database once after a restart.
func TestKillLosesNothing(t *testing.T) {
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339))
	s := provide(t, p, "standard", "127.31.1.1")
	ctx := t.Context()
	conn := s.connect()
	defer conn.Close(context.Background())

	// The drain can store nothing from here on.
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `lock table session_live in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	const lines = 40
	open := make([]*nastest.Session, lines)
	octets := map[string][2]uint64{}
	for i := range open {
		s.eventually("a login is accepted", func() (err error) {
			open[i], err = s.nas.Login(ctx, storyLogin, storyPassword, nastest.CHAP)
			return err
		})
		in, out := uint64(i)<<33+1, uint64(i)<<32+7
		open[i].AddTraffic(in, out)
		if err := open[i].Interim(ctx); err != nil {
			t.Fatal(err)
		}
		octets[open[i].ID()] = [2]uint64{in, out}
	}
	stopped := open[:lines/2]
	for _, line := range stopped {
		if err := line.Leave(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	if backlog := p.metric("enlace_journal_backlog_bytes"); backlog == "0" || backlog == "" {
		t.Fatalf("the journal's backlog is %q: the drain was not held up, and the test shows nothing", backlog)
	}
	p.kill(syscall.SIGKILL)
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := conn.QueryRow(ctx, `select (select count(*) from session_live) + (select count(*) from session_history)`).Scan(&rows); err != nil || rows != 0 {
		t.Fatalf("%d sessions were stored before the kill, %v", rows, err)
	}

	// The same data folder and ports' numbers of the system's choice: what was answered is served again and stored.
	p.up(local("2026-01-15 10:05:00").Format(time.RFC3339))
	list := p.api("GET", "/api/v1/status", nil, 200)
	t.Logf("after the restart: %v", list["sessions"])
	s.eventually("everything answered is stored once", func() error {
		found, err := conn.Query(ctx, `select session_id, input_octets, output_octets, true as open from session_live
			union all select session_id, input_octets, output_octets, false from session_history`)
		if err != nil {
			return err
		}
		defer found.Close()
		live, history := 0, 0
		for found.Next() {
			var id string
			var in, out int64
			var open bool
			if err := found.Scan(&id, &in, &out, &open); err != nil {
				return err
			}
			if want := octets[id]; uint64(in) < want[0] || uint64(out) < want[1] {
				return fmt.Errorf("session %s has %d and %d octets, answered were %d", id, in, out, want)
			}
			if open {
				live++
			} else {
				history++
			}
		}
		if live != lines-len(stopped) || history != len(stopped) {
			return fmt.Errorf("%d sessions are live and %d in history", live, history)
		}
		return found.Err()
	})
	if n := p.metric(`enlace_sessions_open{device="bras-1"}`); n != fmt.Sprint(lines-len(stopped)) {
		t.Errorf("after the restart %s sessions are open in memory", n)
	}
}

// TestBadInput sends what no client should, and wants a clear error or silence, and the program unharmed.
func TestBadInput(t *testing.T) {
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339))
	s := provide(t, p, "standard", "127.31.2.1")
	s.eventually("the device is known", func() error {
		ok, out := radclient(t, p.auth, "auth", storySecret, `User-Name = "`+storyLogin+`", User-Password = "`+storyPassword+`", Message-Authenticator = 0x00`)
		if !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	datagrams(t, p)
	if ok, out := radclient(t, p.auth, "auth", "wrong-secret", `User-Name = "`+storyLogin+`", User-Password = "x", Message-Authenticator = 0x00`); ok {
		t.Errorf("a wrong secret was answered:\n%s", out)
	}
	if ok, out := radclient(t, p.acct, "acct", "wrong-secret", `User-Name = "x", Acct-Status-Type = Start, Acct-Session-Id = "1"`); ok {
		t.Errorf("accounting with a wrong secret was answered:\n%s", out)
	}
	for _, attributes := range []string{ // absurd, but authentic: answered, made safe
		`User-Name = "x", Acct-Status-Type = Stop, Acct-Session-Id = "big", Acct-Session-Time = 4294967295, Acct-Input-Octets = 4294967295, Acct-Input-Gigawords = 4294967295, Acct-Delay-Time = 4294967295`,
		`User-Name = "x\000y%s'; drop table session_live; --", Acct-Status-Type = Start, Acct-Session-Id = "\377\376%n", Event-Timestamp = "Jan 1 1971 00:00:00 UTC"`,
		`User-Name = "x", Acct-Status-Type = 99, Acct-Session-Id = "odd", Attr-250 = 0x00ff`,
	} {
		if ok, out := radclient(t, p.acct, "acct", storySecret, attributes); !ok {
			t.Errorf("was not answered: %s\n%s", attributes, out)
		}
	}
	s.eventually("what was answered is stored", func() error {
		if backlog := p.metric("enlace_journal_backlog_bytes"); backlog != "0" {
			return fmt.Errorf("the backlog is %s", backlog)
		}
		return nil
	})
	if n := p.metric("enlace_drain_refused_total"); n != "0" {
		t.Errorf("%s records were refused by the database", n)
	}
	requests(t, s)
	s.quiet()
}
