package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas/nastest"
	"enlace/postgres"
	"enlace/postgres/pgtest"
)

// lonely is a story on a PostgreSQL that the test stops and starts.
type lonely struct {
	*story
	cfg     postgres.ClusterConfig
	cluster *postgres.Cluster
}

func lonelyStory(t *testing.T, source string, more ...string) *lonely {
	t.Helper()
	l := &lonely{cfg: postgres.ClusterConfig{DataDir: pgtest.Dir(t), Fast: true, Log: zerolog.Nop()}}
	l.raise(t)
	t.Cleanup(func() { l.cluster.Stop() })
	if err := l.cluster.EnsureDatabase(t.Context(), "enlace"); err != nil {
		t.Fatal(err)
	}
	p := startOn(t, l.cluster.URL("enlace"), local("2026-01-15 10:00:00").Format(time.RFC3339), append([]string{"--snapshot-interval", "50ms"}, more...)...)
	p.args[1], p.args[3] = p.auth, p.acct // a restart takes the same ports: the access server stays
	l.story = provide(t, p, "standard", source)
	return l
}

func (l *lonely) raise(t *testing.T) {
	t.Helper()
	var err error
	if l.cluster, err = postgres.Start(context.Background(), l.cfg); err != nil {
		t.Fatal(err)
	}
}

// kept waits until a snapshot that began after now is on disk.
func (l *lonely) kept() {
	l.t.Helper()
	path := filepath.Join(l.dir, "snapshot")
	changed := func() time.Time {
		if info, err := os.Stat(path); err == nil {
			return info.ModTime()
		}
		return time.Time{}
	}
	for range 2 { // the first may have begun before
		before := changed()
		l.eventually("a snapshot is written", func() error {
			if !changed().After(before) {
				return fmt.Errorf("the last one is of %s", before)
			}
			return nil
		})
	}
}

// open waits until so many sessions are known to be open: a record is answered before it is folded.
func (l *lonely) open(want string) {
	l.t.Helper()
	l.eventually(want+" sessions are open", func() error {
		if n := l.metric(`enlace_sessions_open{device="bras-1"}`); n != want {
			return fmt.Errorf("%s are", n)
		}
		return nil
	})
}

// login wants an accept.
func (l *lonely) login(t *testing.T) *nastest.Session {
	t.Helper()
	line, err := l.nas.Login(t.Context(), storyLogin, storyPassword, nastest.CHAP)
	if err != nil {
		t.Fatalf("a login: %v", err)
	}
	return line
}

// TestANodeStartsWithoutItsDatabase kills a node whose database is away, and wants it to serve after its restart what
// it last knew, to lose no record, and to follow the database once that is back.
func TestANodeStartsWithoutItsDatabase(t *testing.T) {
	l := lonelyStory(t, "127.31.4.1")
	var lines []*nastest.Session
	l.eventually("a login is accepted", func() error {
		line, err := l.nas.Login(t.Context(), storyLogin, storyPassword, nastest.CHAP)
		lines = append(lines, line)
		return err
	})
	lines = lines[len(lines)-1:]
	l.rates(lines[0], 500_000_000, 250_000_000, false)
	l.kept()

	// The node dies; then somebody else blocks the contract, and the database is gone too.
	l.kill(syscall.SIGKILL)
	l.blockElsewhere(t)
	if err := l.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l.up(local("2026-01-15 10:05:00").Format(time.RFC3339))
	t.Logf("serving after %v", time.Since(began))
	if !strings.Contains(l.log.String(), "serving from the snapshot") {
		t.Fatalf("the log does not say that a snapshot is served from:\n%s", tail(l.log.String(), 20))
	}

	// What it knew is what holds, and accounting is answered.
	for range 5 {
		lines = append(lines, l.login(t))
	}
	octets := map[string]uint64{}
	for i, line := range lines {
		line.AddTraffic(uint64(i+1)<<33, 0)
		octets[line.ID()] = uint64(i+1) << 33
		if err := line.Interim(t.Context()); err != nil {
			t.Fatalf("an Interim-Update: %v", err)
		}
	}
	if err := lines[1].Leave(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	l.open("5") // the one of the snapshot, and four new ones
	if n := l.metric("enlace_directory_from_snapshot"); n != "1" {
		t.Errorf("enlace_directory_from_snapshot is %s", n)
	}
	health, body := l.call("GET", "/healthz", nil)
	if text := string(body); health != 503 || !strings.Contains(text, "serving_snapshot_of") || !strings.Contains(text, "database_away_since") {
		t.Errorf("/healthz answers %d %s", health, text)
	}
	if status, body := l.call("GET", "/api/v1/plans", nil); status != 503 || !strings.Contains(string(body), `"unavailable"`) || strings.Contains(string(body), "connect") {
		t.Errorf("the API answers %d %s", status, body)
	}
	if status, body := l.call("GET", "/signin", nil); status != 200 && status != 503 {
		t.Errorf("the panel answers %d %s", status, body)
	}

	// A second death with the database away all the time, records in the journal only.
	l.kept()
	early, err := os.ReadFile(filepath.Join(l.dir, "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	lines = append(lines, l.login(t))
	lines[len(lines)-1].AddTraffic(1<<40, 0)
	octets[lines[len(lines)-1].ID()] = 1 << 40
	if err := lines[len(lines)-1].Interim(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.kill(syscall.SIGKILL)
	if err := os.WriteFile(filepath.Join(l.dir, "snapshot"), early, 0o600); err != nil { // what came after it is in the journal only
		t.Fatal(err)
	}
	l.up(local("2026-01-15 10:10:00").Format(time.RFC3339))
	l.open("6")

	l.raise(t)
	conn := l.connect()
	defer conn.Close(context.Background())
	l.eventually("everything is stored once", func() error {
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
			if want, ok := octets[id]; !ok || in < want || in > want+1<<32 {
				wrong++
			}
			if open {
				live++
			} else {
				history++
			}
		}
		if live != 6 || history != 1 || wrong != 0 {
			return fmt.Errorf("%d live, %d in history, %d with other counters", live, history, wrong)
		}
		return rows.Err()
	})
	l.rates(lines[0], 1_000_000, 1_000_000, true) // what was done elsewhere takes effect
	l.eventually("the panel works again", func() error {
		if status, _ := l.call("GET", "/healthz", nil); status != 200 {
			return fmt.Errorf("health is %d", status)
		}
		if n := l.metric("enlace_directory_from_snapshot"); n != "0" {
			return fmt.Errorf("enlace_directory_from_snapshot is %s", n)
		}
		return nil
	})
	l.api("GET", "/api/v1/plans", nil, http.StatusOK)
	// And what changes from now on is followed.
	l.api("POST", "/api/v1/contracts/"+l.contract+"/acts/manual-unblock", object{"reason": "mistaken"}, http.StatusOK)
	l.rates(lines[0], 500_000_000, 250_000_000, false)
}

// blockElsewhere records a block as another node would.
func (l *lonely) blockElsewhere(t *testing.T) {
	t.Helper()
	conn := l.connect()
	defer conn.Close(context.Background())
	id, err := strconv.ParseInt(l.contract, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		return contractspg.Append(t.Context(), tx, local("2026-01-15 10:02:00"), &contracts.Fact{ContractID: contracts.ContractID(id), Kind: contracts.ManualBlock, Actor: "staff:bia", Reason: "moved out"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A snapshot that is older than the bound answers no login; accounting goes on.
func TestAStaleSnapshotIsSilent(t *testing.T) {
	l := lonelyStory(t, "127.31.4.2", "--max-staleness", "1h")
	l.eventually("a login is accepted", func() error {
		_, err := l.nas.Login(t.Context(), storyLogin, storyPassword, nastest.PAP)
		return err
	})
	l.kept()
	l.kill(syscall.SIGTERM) // an orderly end writes one too
	if err := l.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	l.up(local("2026-01-15 10:30:00").Format(time.RFC3339))
	l.login(t)
	l.kill(syscall.SIGKILL)
	l.up(local("2026-01-15 12:30:00").Format(time.RFC3339))
	if ok, out := radclient(t, l.auth, "auth", storySecret, `User-Name = "`+storyLogin+`", User-Password = "`+storyPassword+`", Message-Authenticator = 0x00`); ok || strings.Contains(out, "Received") {
		t.Errorf("a login was answered:\n%s", out)
	}
	if n := l.metric(`enlace_radius_dropped_total{device="radclient",reason="backend"}`); n == "" || n == "0" {
		t.Errorf("the silence is not counted: %q", n)
	}
	if ok, out := radclient(t, l.acct, "acct", storySecret, `User-Name = "`+storyLogin+`", Acct-Status-Type = Start, Acct-Session-Id = "s1"`); !ok {
		t.Errorf("accounting is not answered:\n%s", out)
	}
	l.raise(t)
	l.eventually("logins are answered again", func() error {
		if ok, out := radclient(t, l.auth, "auth", storySecret, `User-Name = "`+storyLogin+`", User-Password = "`+storyPassword+`", Message-Authenticator = 0x00`); !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// A snapshot that is not this node's, whole, is not served from: the start fails, and says why.
func TestAForeignSnapshotIsRefused(t *testing.T) {
	l := lonelyStory(t, "127.31.4.3")
	l.kept()
	l.kill(syscall.SIGTERM)
	if err := l.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.dir, "snapshot")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, says string) {
		t.Helper()
		program, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, program, append([]string{"serve", "--database-url", l.database, "--data-dir", l.dir}, l.args...)...).CombinedOutput()
		if err == nil || ctx.Err() != nil || strings.Contains(string(out), "serving") || !strings.Contains(string(out), says) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	put := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed := append([]byte(nil), whole...)
	changed[len(changed)-1] ^= 1
	put(changed)
	refused("a changed snapshot", "it is damaged")
	put(whole[:len(whole)-1])
	refused("a snapshot that was cut", "its end is missing")
	put(whole)
	key := filepath.Join(l.dir, "key")
	ours, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("another key", "it was sealed with another key")
	if err := os.WriteFile(key, ours, 0o600); err != nil {
		t.Fatal(err)
	}
	l.up(local("2026-01-15 10:30:00").Format(time.RFC3339))
	l.login(t)
}

// A database that comes back with the schema of a newer program is left alone, and the node goes on serving.
func TestADatabaseThatIsNewerIsNotTouched(t *testing.T) {
	l := lonelyStory(t, "127.31.4.4")
	l.kept()
	l.kill(syscall.SIGTERM)
	conn := l.connect()
	if _, err := conn.Exec(t.Context(), `insert into goose_db_version (version_id, is_applied) values (99999, true)`); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	if err := l.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	l.up(local("2026-01-15 10:30:00").Format(time.RFC3339))
	l.raise(t)
	l.eventually("the log says what is wrong", func() error {
		if !strings.Contains(l.log.String(), "schema is newer than this program") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	l.login(t)
	if status, body := l.call("GET", "/healthz", nil); status != 503 || !strings.Contains(string(body), `"database":"newer than this program"`) {
		t.Errorf("/healthz answers %d %s", status, body)
	}
	conn = l.connect()
	defer conn.Close(context.Background())
	var n int
	if err := conn.QueryRow(t.Context(), `select count(*) from session_live`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d sessions were stored, %v", n, err)
	}
	if _, err := conn.Exec(t.Context(), `delete from goose_db_version where version_id = 99999`); err != nil {
		t.Fatal(err)
	}
	l.eventually("the accounting is stored", func() error {
		if err := conn.QueryRow(t.Context(), `select count(*) from session_live`).Scan(&n); err != nil || n != 1 {
			return fmt.Errorf("%d sessions, %v", n, err)
		}
		return nil
	})
}

// A private PostgreSQL that does not start does not keep a node with a snapshot from serving, nor does one that dies and
// does not come up again end it; without a snapshot the start fails, as there is nothing to serve.
func TestThePrivateDatabaseDoesNotStart(t *testing.T) {
	l := &lonely{story: &story{program: &program{t: t, dir: pgtest.Dir(t)}}}
	l.args = []string{"--auth-listen", "127.0.0.1:0", "--acct-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--snapshot-interval", "50ms",
		"--reject-delay", "0s", "--session-limit", "0", "--notice-log", filepath.Join(l.dir, "notices.jsonl"), "--log-format", "json", "--log-level", "info"}
	l.up(local("2026-01-15 10:00:00").Format(time.RFC3339))
	l.args[1], l.args[3] = l.auth, l.acct
	l.token = strings.TrimSpace(l.run("token", "create", "story"))
	l.story = provide(t, l.program, "standard", "127.31.4.5")
	l.eventually("a login is accepted", func() error {
		_, err := l.nas.Login(t.Context(), storyLogin, storyPassword, nastest.PAP)
		return err
	})
	l.kept()
	l.kill(syscall.SIGTERM)

	settings := filepath.Join(l.dir, "postgres", "data", "postgresql.conf")
	good, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	put := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(settings, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put([]byte("there is no such setting = 1\n"))
	l.up(local("2026-01-15 10:30:00").Format(time.RFC3339))
	l.login(t)
	if status, body := l.call("GET", "/healthz", nil); status != 503 || !strings.Contains(string(body), "serving_snapshot_of") {
		t.Errorf("/healthz answers %d %s", status, body)
	}
	put(good)
	back := func() error {
		if status, body := l.call("GET", "/api/v1/plans", nil); status != 200 {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	}
	l.eventually("the database is back", back)

	put([]byte("there is no such setting = 1\n"))
	lock, err := os.ReadFile(filepath.Join(l.dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	postmaster, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(lock), "\n", 2)[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(postmaster, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.eventually("the private database is missed", func() error {
		if !strings.Contains(l.log.String(), "PostgreSQL died") {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	l.login(t)
	put(good)
	l.eventually("the database is back again", back)
	l.kill(syscall.SIGTERM)

	put([]byte("there is no such setting = 1\n"))
	if err := os.Remove(filepath.Join(l.dir, "snapshot")); err != nil {
		t.Fatal(err)
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, append([]string{"serve", "--data-dir", l.dir}, l.args...)...).CombinedOutput()
	if err == nil || ctx.Err() != nil || !strings.Contains(string(out), "private PostgreSQL") {
		t.Errorf("without a snapshot: %v\n%s", err, out)
	}
}
