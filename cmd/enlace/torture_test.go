package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"layeh.com/radius/rfc2865"
)

// victim is a running program with its own PostgreSQL, under the load of access servers.
type victim struct {
	*lonely
	*reporters
	began time.Time
}

const victimAddress = "127.31.9.1"

func newVictim(t *testing.T, ports int, pause time.Duration) *victim {
	t.Helper()
	v := &victim{lonely: lonelyStory(t, victimAddress), began: time.Now()}
	var class []byte
	v.story.eventually("a login is accepted", func() error {
		accept, err := papLogin(v.auth)
		if err == nil {
			class = rfc2865.Class_Get(accept)
		}
		return err
	})
	v.reporters = report(t, victimAddress, v.acct, class, ports, pause)
	return v
}

// some waits until some more records were answered.
func (v *victim) some(n int64) {
	v.story.t.Helper()
	n += v.answered.Load()
	v.story.eventually("records are answered", func() error {
		if have := v.answered.Load(); have < n {
			return fmt.Errorf("%d of %d", have, n)
		}
		return nil
	})
}

// clockNow is the program's clock, which goes on through its restarts.
func (v *victim) clockNow() string {
	return local("2026-01-15 10:00:00").Add(time.Since(v.began)).Format(time.RFC3339)
}

// faults are what may happen at any time; each lasts about as long as told, and leaves everything working.
var faults = []struct {
	name string
	do   func(v *victim, random *rand.Rand, lasting time.Duration)
}{
	{"the database is stopped", func(v *victim, _ *rand.Rand, lasting time.Duration) {
		if err := v.cluster.Stop(); err != nil {
			v.story.t.Fatal(err)
		}
		time.Sleep(lasting)
		v.raise(v.story.t)
	}},
	{"the database is killed", func(v *victim, _ *rand.Rand, lasting time.Duration) {
		_ = syscall.Kill(v.cluster.PID(), syscall.SIGKILL) // it is started again, with recovery
		time.Sleep(lasting)
		v.story.eventually("the database is back", func() error { return v.cluster.Err() })
	}},
	{"the database neither answers nor refuses", func(v *victim, _ *rand.Rand, lasting time.Duration) {
		thaw := freeze(v.story.t, v.cluster.PID())
		time.Sleep(lasting)
		thaw()
	}},
	{"a lock is held", func(v *victim, _ *rand.Rand, lasting time.Duration) {
		conn := v.connect()
		defer conn.Close(context.Background())
		tx, err := conn.Begin(context.Background())
		if err == nil {
			_, err = tx.Exec(context.Background(), `lock table session_live in access exclusive mode`)
		}
		if err != nil {
			v.story.t.Fatal(err)
		}
		time.Sleep(lasting)
		if err := tx.Rollback(context.Background()); err != nil {
			v.story.t.Fatal(err)
		}
	}},
	{"the database is slow", func(v *victim, _ *rand.Rand, lasting time.Duration) {
		conn := v.connect()
		defer conn.Close(context.Background())
		for _, statement := range []string{
			`create or replace function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return new; end $$`,
			`create trigger slow before insert or update on session_live for each row execute function slow()`,
			fmt.Sprintf(`select pg_sleep(%f)`, lasting.Seconds()),
			`drop trigger slow on session_live`,
		} {
			if _, err := conn.Exec(context.Background(), statement); err != nil {
				v.story.t.Fatal(err)
			}
		}
	}},
	{"the database's disk is full", fillDatabase},
	{"the journal's disk is full", fillJournal},
	{"the program is killed", func(v *victim, random *rand.Rand, _ time.Duration) {
		v.kill(syscall.SIGKILL)
		v.garble(random)
		v.up(v.clockNow())
	}},
}

// fillDatabase lets none of PostgreSQL's files grow beyond what the sessions' table has nearly reached, which is more than a
// segment of its log: whatever needs another page fails as it does on a full disk.
func fillDatabase(v *victim, _ *rand.Rand, lasting time.Duration) {
	t := v.story.t
	conn := v.connect()
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `insert into session_live (device_id, session_id, login, started_at, last_seen_at, nas_identifier)
		select -1, g, '', now(), now(), (select string_agg(md5(g::text || i), '') from generate_series(1, 8) i) from generate_series(1, 45000) g`); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := conn.Exec(context.Background(), `delete from session_live where device_id = -1`); err != nil {
			t.Fatal(err)
		}
	}()
	var size uint64
	if err := conn.QueryRow(context.Background(), `select pg_relation_size('session_live')`).Scan(&size); err != nil || size < 17<<20 {
		t.Fatalf("the table has %d bytes, %v", size, err)
	}
	before := metricOf(v, "enlace_drain_errors_total")
	pids := append([]int{v.cluster.PID()}, childrenOf(t, v.cluster.PID())...)
	limitFiles(t, strconv.FormatUint(size, 10), pids...)
	defer limitFiles(t, "unlimited", pids...)
	time.Sleep(lasting)
	v.story.eventually("the database cannot store", func() error {
		if now := metricOf(v, "enlace_drain_errors_total"); now == before {
			return fmt.Errorf("no batch has failed")
		}
		return nil
	})
}

// fillJournal lets the program write to no file. It must fall silent to access servers and say so once, go on answering
// logins, and recover by itself.
func fillJournal(v *victim, _ *rand.Rand, lasting time.Duration) {
	t := v.story.t
	cannot, again := `"the journal cannot write`, `"the journal writes again`
	before := strings.Count(v.log.String(), cannot)
	limitFiles(t, "1", v.cmd.Process.Pid)
	v.story.eventually("the alarm is raised", func() error {
		if metricOf(v, "enlace_journal_failed") != 1 {
			return fmt.Errorf("no alarm")
		}
		return nil
	})
	if status, body := v.call("GET", "/healthz", nil); status != http.StatusServiceUnavailable || !strings.Contains(string(body), `"journal_failed":true`) {
		t.Errorf("/healthz answers %d: %s", status, body)
	}
	answered := v.answered.Load()
	if _, err := papLogin(v.auth); err != nil {
		t.Errorf("a login with the journal's disk full: %v", err)
	}
	time.Sleep(lasting)
	if now := v.answered.Load(); now != answered {
		t.Errorf("%d records were answered with the journal's disk full", now-answered)
	}
	limitFiles(t, "unlimited", v.cmd.Process.Pid)
	v.some(20)
	v.story.eventually("the alarm is over", func() error {
		if metricOf(v, "enlace_journal_failed") != 0 {
			return fmt.Errorf("still raised")
		}
		return nil
	})
	if log := v.log.String(); strings.Count(log, cannot) != before+1 || strings.Count(log, again) != before+1 {
		t.Errorf("of the failure the log says %d times that it is, %d times that it is over", strings.Count(log, cannot)-before, strings.Count(log, again)-before)
	}
}

// limitFiles has the kernel refuse to let files of processes grow beyond a size, "unlimited" for none. Unlike a small file
// system it needs no privilege beyond being the processes' user.
func limitFiles(t *testing.T, size string, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		cmd := exec.Command("prlimit", "--pid", strconv.Itoa(pid), "--fsize="+size+":")
		if int(owner.Uid) != os.Geteuid() {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
		}
		if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "No such process") {
			t.Fatalf("limiting the files of process %d: %v\n%s", pid, err, out)
		}
	}
}

func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(out)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, child)
	}
	return pids
}

func metricOf(v *victim, name string) float64 {
	n, _ := strconv.ParseFloat(v.metric(name), 64)
	return n
}

// garble adds to the journal what a torn write leaves behind the last durable record.
func (v *victim) garble(random *rand.Rand) {
	t := v.story.t
	segments, err := filepath.Glob(filepath.Join(v.dir, "journal", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("the journal's segments: %v, %v", segments, err)
	}
	f, err := os.OpenFile(segments[len(segments)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tail := make([]byte, random.IntN(300))
	for i := range tail {
		tail[i] = byte(random.Uint32())
	}
	if random.IntN(2) == 0 && len(tail) > 8 { // a record that is cut off
		copy(tail, []byte{0, 0, 2, 0})
	}
	if _, err := f.Write(tail); err != nil {
		t.Fatal(err)
	}
}

// TestFaults has each fault happen under load, and wants every answered record stored once afterwards.
func TestFaults(t *testing.T) {
	v := newVictim(t, 6, 5*time.Millisecond)
	random := rand.New(rand.NewPCG(1, 2))
	for _, fault := range faults {
		v.some(100)
		answered := v.answered.Load()
		fault.do(v, random, time.Second)
		t.Logf("while %s %d records were answered", fault.name, v.answered.Load()-answered)
	}
	v.some(100)
	v.end()
	v.stored(v.story)
	if n := metricOf(v, "enlace_drain_refused_total"); n != 0 {
		t.Errorf("the database has refused %v records", n)
	}
}

// TestTorture has faults happen at random for as long as TORTURE says, such as 10m (make torture).
func TestTorture(t *testing.T) {
	lasting, err := time.ParseDuration(os.Getenv("TORTURE"))
	if err != nil {
		lasting = 0 // one round; TestFaults has been through them all
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("the seed is %d", seed)
	v := newVictim(t, 12, 2*time.Millisecond)
	for end, round := time.Now().Add(lasting), 1; ; round++ {
		for range 1 + random.IntN(5) {
			fault := faults[random.IntN(len(faults))]
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			answered := v.answered.Load()
			fault.do(v, random, time.Duration(random.IntN(3000))*time.Millisecond)
			t.Logf("round %d: while %s %d records were answered", round, fault.name, v.answered.Load()-answered)
		}
		v.some(200)
		v.end()
		v.stored(v.story)
		if t.Failed() || time.Now().After(end) {
			return
		}
		v.again()
	}
}

// again begins a round: with nothing stored, and the load anew.
func (v *victim) again() {
	t := v.story.t
	conn := v.connect()
	defer conn.Close(context.Background())
	v.story.eventually("the journal is drained", func() error {
		if n := metricOf(v, "enlace_journal_backlog_bytes"); n != 0 {
			return fmt.Errorf("%v bytes are left", n)
		}
		return nil
	})
	if _, err := conn.Exec(context.Background(), `truncate session_live, session_history, usage_day`); err != nil {
		t.Fatal(err)
	}
	old := v.reporters
	v.reporters = report(t, victimAddress, v.acct, old.class, 12, old.pause)
}

// TestTheDatabaseIsAwayUnderLoad is an outage with 200 logins and 200 records a second. No login is rejected or goes
// without an answer, every record is answered, and all of them are stored.
func TestTheDatabaseIsAwayUnderLoad(t *testing.T) {
	away := 3 * time.Second
	if os.Getenv("TORTURE") != "" {
		away = 12 * time.Second
	}
	v := newVictim(t, 8, 40*time.Millisecond)
	stop, logins, slowest := make(chan struct{}), 0, time.Duration(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			began := time.Now()
			if _, err := papLogin(v.auth); err != nil {
				t.Errorf("login %d: %v", logins, err)
				return
			}
			logins, slowest = logins+1, max(slowest, time.Since(began))
		}
	}()
	v.some(50)
	if err := v.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	answered := v.answered.Load()
	time.Sleep(away)
	t.Logf("%d records were answered while the database was away", v.answered.Load()-answered)
	v.raise(t)
	back := time.Now()
	v.story.eventually("the journal is drained", func() error {
		if lag, n := metricOf(v, "enlace_drain_lag_seconds"), metricOf(v, "enlace_journal_backlog_bytes"); lag > 1 || n > 1<<16 {
			return fmt.Errorf("%v bytes are left, the oldest %v s old", n, lag)
		}
		return nil
	})
	t.Logf("the journal was drained %v after the database's return", time.Since(back).Round(time.Millisecond))
	close(stop)
	<-done
	t.Logf("%d logins, the slowest took %v", logins, slowest.Round(time.Millisecond))
	v.end()
	v.stored(v.story)
	if n := v.resent.Load(); n > 0 {
		t.Logf("%d records were sent again", n)
	}
}
