package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"enlace/postgres"
	"enlace/postgres/pgtest"
)

func start(t *testing.T, dir string) *postgres.Cluster {
	t.Helper()
	c, err := postgres.Start(context60(t), postgres.ClusterConfig{DataDir: dir, Fast: true, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestDataOutlivesTheServer(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	c := start(t, dir)
	if c.Moved || c.DataDir != dir {
		t.Errorf("the data went to %s", c.DataDir)
	}
	if err := c.EnsureDatabase(context60(t), "Quoted Name"); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureDatabase(context60(t), "Quoted Name"); err != nil {
		t.Fatalf("the second time: %v", err)
	}
	pool := open(t, c.URL("Quoted Name"))
	exec1(t, pool, `create table kept (n int)`)
	exec1(t, pool, `insert into kept values (7)`)

	_, err := postgres.Start(context60(t), postgres.ClusterConfig{DataDir: dir, Fast: true})
	if !errors.Is(err, postgres.ErrInUse) {
		t.Errorf("a second instance on the same folder: %v", err)
	}
	pid := c.PID()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if c.Err() != nil || c.PID() != 0 || alive(pid) {
		t.Errorf("after Stop: err %v, pid %d, alive %v", c.Err(), c.PID(), alive(pid))
	}

	c = start(t, dir)
	if n := number(t, open(t, c.URL("Quoted Name")), `select n from kept`); n != 7 {
		t.Errorf("read back %d", n)
	}
}

func TestKilledServerIsBroughtBack(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t)
	pool := open(t, c.URL("enlace"))
	exec1(t, pool, `create table kept (n int)`)
	for n := int64(1); n <= 2; n++ {
		exec1(t, pool, `insert into kept values ($1)`, n)
		killed := c.PID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the server is back", func() bool {
			return c.Restarts() == int(n) && c.PID() != killed && c.Err() == nil && pool.Ping(context60(t)) == nil
		})
		if have := number(t, pool, `select count(*) from kept`); have != n {
			t.Errorf("%d rows of %d are left", have, n)
		}
	}
	select {
	case <-c.Done():
		t.Error("Done though the server is back")
	default:
	}
}

func TestServerDoesNotOutliveItsParent(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	p := startHelper(t, dir, false)
	exec1(t, open(t, p.url), `create table kept as select 1 as n`)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	c := start(t, dir) // at once: the orphan may still be shutting down
	if c.PID() == p.pid {
		t.Errorf("took the orphan %d for its own", p.pid)
	}
	eventually(t, "the orphan is gone", func() bool { return !alive(p.pid) })
	number(t, open(t, c.URL("postgres")), `select n from kept`)
}

func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	p := startHelper(t, pgtest.Dir(t), true)
	if p.user == "root" {
		t.Error("PostgreSQL runs as root")
	}
	// Connecting proves that the socket is where the address says; as root it is another user's private folder.
	number(t, open(t, p.url), `select 1`)
	p.stdin.Close()
	if line := p.line(t); line != "stopped" {
		t.Errorf("the helper said %q", line)
	}
	if alive(p.pid) {
		t.Error("the server is still there")
	}
}

func TestUnreachableFolder(t *testing.T) {
	t.Parallel()
	private := filepath.Join(pgtest.Dir(t), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, "var", "db")
	var elsewhere string
	t.Cleanup(func() { os.RemoveAll(elsewhere) }) // after the clusters' own clean-up
	c := start(t, dir)
	root := os.Geteuid() == 0
	if root {
		if !strings.HasPrefix(c.DataDir, "/var/lib/enlace-") {
			t.Fatalf("the data is in %s", c.DataDir)
		}
		elsewhere = c.DataDir
	}
	if c.Moved != root || (c.DataDir == dir) == root {
		t.Errorf("root: %v, moved: %v, data in %s", root, c.Moved, c.DataDir)
	}
	exec1(t, open(t, c.URL("postgres")), `create table kept as select 1 as n`)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	// The folder becomes reachable later: the data is still where it was put.
	if err := os.Chmod(private, 0o755); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if again.DataDir != c.DataDir || again.Moved != root {
		t.Errorf("the second time in %s, moved: %v", again.DataDir, again.Moved)
	}
	number(t, open(t, again.URL("postgres")), `select n from kept`)
}

func TestDataNoLongerReachable(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(pgtest.Dir(t), "parent")
	c := start(t, filepath.Join(parent, "db"))
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	again, err := postgres.Start(context60(t), postgres.ClusterConfig{DataDir: filepath.Join(parent, "db"), Fast: true})
	if os.Geteuid() != 0 { // the parent is one's own
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Stop(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err == nil {
		again.Stop()
		t.Fatalf("an empty database was made in %s beside the one that is there", again.DataDir)
	}
	if !strings.Contains(err.Error(), "can no longer reach it") {
		t.Error(err)
	}
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	c := start(t, filepath.Join(pgtest.Dir(t), strings.Repeat("long/", 30)))
	address, err := url.Parse(c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(address.Query().Get("host"), ".s.PGSQL.5432")
	if len(socket) >= 107 {
		t.Errorf("socket %s", socket)
	}
	info, err := os.Stat(filepath.Dir(socket))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's folder: %v %v", info.Mode(), err)
	}
	number(t, open(t, c.URL("postgres")), `select 1`)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Errorf("the socket's folder stays behind: %v", err)
	}
}

func TestForeignVersionIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	if err := start(t, dir).Stop(); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(dir, "data", "PG_VERSION")
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = postgres.Start(context60(t), postgres.ClusterConfig{DataDir: dir, Fast: true})
	if !errors.Is(err, postgres.ErrVersion) || !strings.Contains(err.Error(), "PostgreSQL 9") {
		t.Errorf("a data directory of version 9: %v", err)
	}
	after, err := os.ReadDir(filepath.Join(dir, "data"))
	if err != nil || len(after) != len(before) {
		t.Errorf("%d files before, %d after, %v", len(before), len(after), err)
	}
}

func TestBareDataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.Start(context60(t), postgres.ClusterConfig{DataDir: dir, Fast: true})
	if err == nil || !strings.Contains(err.Error(), "bare PostgreSQL data directory") {
		t.Error(err)
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Parallel()
	_, err := postgres.Start(context60(t), postgres.ClusterConfig{DataDir: pgtest.Dir(t), BinDir: pgtest.Dir(t)})
	var missing *postgres.MissingBinariesError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "apt install postgresql") {
		t.Error(err)
	}
}

func TestInterruptedInitialisation(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	if err := os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	number(t, open(t, start(t, dir).URL("postgres")), `select 1`)
}

func TestStartIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := pgtest.Dir(t)
	if _, err := postgres.Start(ctx, postgres.ClusterConfig{DataDir: dir, Fast: true}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	start(t, dir)
}

func TestWrongSettingIsToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := postgres.Start(context60(t), postgres.ClusterConfig{
		DataDir: pgtest.Dir(t), Fast: true, Settings: map[string]string{"shared_buffers": "much"},
	})
	if err == nil || !strings.Contains(err.Error(), "shared_buffers") {
		t.Error(err)
	}
}

func TestVanishedDataEndsTheCluster(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t)
	if err := os.RemoveAll(filepath.Join(c.DataDir, "data")); err != nil {
		t.Logf("removing under a running server: %v", err)
		os.RemoveAll(filepath.Join(c.DataDir, "data"))
	}
	_ = syscall.Kill(c.PID(), syscall.SIGKILL)
	<-c.Done()
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Error(err)
	}
}
