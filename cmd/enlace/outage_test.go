package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"enlace/nas/nastest"
	"enlace/postgres"
	"enlace/postgres/pgtest"
)

// startOn is start on a database of the caller's.
func startOn(t *testing.T, database, clock string, more ...string) *program {
	t.Helper()
	p := &program{t: t, database: database, dir: t.TempDir()}
	p.args = append([]string{"--auth-listen", "127.0.0.1:0", "--acct-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		"--reject-delay", "0s", "--session-limit", "0", "--coa-retry", "300ms,600ms,1200ms", "--notice-log", filepath.Join(p.dir, "notices.jsonl"),
		"--log-format", "json", "--log-level", "debug"}, more...)
	p.up(clock)
	p.token = strings.TrimSpace(p.run("token", "create", "story"))
	return p
}

// TestTheDatabaseIsAwayForAWhile wants logins and accounting to go on, everything stored once afterwards, and what bills
// and notices to go on too.
func TestTheDatabaseIsAwayForAWhile(t *testing.T) {
	cfg := postgres.ClusterConfig{DataDir: pgtest.Dir(t), Fast: true, Log: zerolog.Nop()}
	up := func() *postgres.Cluster {
		t.Helper()
		c, err := postgres.Start(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	cluster := up()
	t.Cleanup(func() { cluster.Stop() })
	if err := cluster.EnsureDatabase(t.Context(), "enlace"); err != nil {
		t.Fatal(err)
	}
	p := startOn(t, cluster.URL("enlace"), local("2026-01-15 10:00:00").Format(time.RFC3339))
	s := provide(t, p, "standard", "127.31.3.1")
	var before *nastest.Session
	s.eventually("a login is accepted", func() (err error) {
		before, err = s.nas.Login(t.Context(), storyLogin, storyPassword, nastest.CHAP)
		return err
	})
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}

	octets := map[string]uint64{}
	lines := []*nastest.Session{before}
	for range 30 {
		line, err := s.nas.Login(t.Context(), storyLogin, storyPassword, nastest.CHAP)
		if err != nil {
			t.Fatalf("a login with the database away: %v", err)
		}
		lines = append(lines, line)
	}
	for i, line := range lines {
		line.AddTraffic(uint64(i)<<33+5, 0)
		octets[line.ID()] = uint64(i)<<33 + 5
		if err := line.Interim(t.Context()); err != nil {
			t.Fatalf("an Interim-Update with the database away: %v", err)
		}
	}
	for _, line := range lines[:10] {
		if err := line.Leave(t.Context(), 1); err != nil {
			t.Fatalf("a Stop with the database away: %v", err)
		}
	}

	cluster = up()
	conn := s.connect()
	defer conn.Close(context.Background())
	s.eventually("everything is stored once", func() error {
		var live, history, wrong int
		rows, err := conn.Query(t.Context(), `select session_id, input_octets, true from session_live union all select session_id, input_octets, false from session_history`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var in uint64
			var open bool
			if err := rows.Scan(&id, &in, &open); err != nil {
				return err
			}
			if in < octets[id] || in > octets[id]+1<<32 { // the line has traffic of its own
				wrong++
			}
			if open {
				live++
			} else {
				history++
			}
		}
		if live != len(lines)-10 || history != 10 || wrong != 0 {
			return fmt.Errorf("%d live, %d in history, %d with other counters", live, history, wrong)
		}
		return rows.Err()
	})
	s.now("2026-02-05 10:00:00")
	number := s.invoices(1)[0]["number"]
	s.now("2026-03-05 10:00:00")
	s.noticed(number)
}

// TestTheEndDoesNotWaitForAFrozenDatabase ends the program while the drain, a job and a browser wait for a database that
// neither answers nor refuses, and wants what was answered after a restart.
func TestTheEndDoesNotWaitForAFrozenDatabase(t *testing.T) {
	cluster := pgtest.NewCluster(t)
	p := startOn(t, cluster.URL("enlace"), local("2026-01-15 10:00:00").Format(time.RFC3339))
	s := provide(t, p, "standard", "127.31.3.2")
	s.eventually("a login is accepted", func() error {
		_, err := s.nas.Login(t.Context(), storyLogin, storyPassword, nastest.CHAP)
		return err
	})
	thaw := freeze(t, cluster.PID())
	line, err := s.nas.Login(t.Context(), storyLogin, storyPassword, nastest.PAP)
	if err != nil {
		t.Fatal(err)
	}
	line.AddTraffic(7, 7)
	if err := line.Interim(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}) // closed when a request whose handler waits for the database has ended
	arrived := make(chan struct{})
	go func() {
		defer close(asked)
		trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(arrived) }}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", p.panel+"/api/v1/contracts/"+s.contract, nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+p.token)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("a request was answered by a database that is frozen: %s", resp.Status)
		}
	}()
	<-arrived
	began := time.Now()
	p.kill(syscall.SIGTERM)
	t.Logf("the end took %v", time.Since(began))
	<-asked
	thaw()
	p.up(local("2026-01-15 10:05:00").Format(time.RFC3339))
	conn := s.connect()
	defer conn.Close(context.Background())
	s.eventually("what was answered is stored", func() error {
		var in int
		return conn.QueryRow(t.Context(), `select input_octets from session_live where session_id = $1 and input_octets >= 7`, line.ID()).Scan(&in)
	})
}

// freeze stops a postmaster and its children as they are, until thaw.
func freeze(t *testing.T, postmaster int) (thaw func()) {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(postmaster)).Output()
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{postmaster}
	for _, field := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	thaw = func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	t.Cleanup(thaw)
	return thaw
}
