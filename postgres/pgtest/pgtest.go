// Package pgtest gives every test a real PostgreSQL database of its own: migrated once per test binary into a
// template, then cloned in tens of milliseconds. The server is private to the test binary, lives in memory where the
// machine allows, and is gone with all its files when the binary ends, however it ends.
package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"enlace/postgres"
)

// patience bounds each step here: far more than any takes on a slow machine.
const patience = 2 * time.Minute

// New is a pool on the test's own database. It is closed when the test ends.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool, err := postgres.Open(ctx, URL(t), postgres.PoolOptions{MaxConns: 8, Name: "test"})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(patience): // it would wait for ever, and hide why the test failed
			t.Error("pgtest: a connection is still in use")
		}
	})
	return pool
}

var (
	urlsMu sync.Mutex
	urls   = map[testing.TB]string{}
	serial atomic.Int64
)

// URL is the address of the test's own database: the same one for every call of the same test, and for New. It is
// dropped when the test ends.
func URL(t testing.TB) string {
	t.Helper()
	urlsMu.Lock()
	defer urlsMu.Unlock()
	if url, ok := urls[t]; ok {
		return url
	}
	url := create(t, true)
	urls[t] = url
	t.Cleanup(func() {
		urlsMu.Lock()
		delete(urls, t)
		urlsMu.Unlock()
	})
	return url
}

// Empty is the address of another new database for the test, one that was never migrated.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, false)
}

func create(t testing.TB, migrated bool) string {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	template := "template0"
	if migrated {
		template = c.template
	}
	name := fmt.Sprintf("test_%d", serial.Add(1))
	if err := admin(c.Cluster, "create database "+name+" template "+template); err != nil {
		t.Fatalf("pgtest: making the test's database: %v", err)
	}
	t.Cleanup(func() {
		if err := admin(c.Cluster, "drop database if exists "+name+" with (force)"); err != nil {
			t.Errorf("pgtest: dropping the test's database: %v", err)
		}
	})
	return c.URL(name)
}

// NewCluster is a server for this test alone, with an empty database "enlace", for a test that stops or kills it.
// Its postgres.ClusterConfig can be changed by the functions given.
func NewCluster(t testing.TB, change ...func(*postgres.ClusterConfig)) *postgres.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := postgres.ClusterConfig{DataDir: Dir(t), Fast: true, Log: zerolog.Nop()}
	for _, f := range change {
		f(&cfg)
	}
	c, err := postgres.Start(ctx, cfg)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	if err := c.EnsureDatabase(ctx, "enlace"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return c
}

// Dir is a new folder for a cluster's data, reachable by the user that PostgreSQL will run as, in memory where the
// machine allows; it is removed when the test ends. t.TempDir is not reachable when the test runs as root.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := newDir()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := removeAll(dir); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return dir
}

// server is this binary's cluster and the name of the migrated database in it.
type server struct {
	*postgres.Cluster
	template string
}

// shared starts this binary's server and makes the migrated template, once.
var shared = sync.OnceValues(func() (server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := newDir()
	if err != nil {
		return server{}, err
	}
	c, err := postgres.Start(ctx, postgres.ClusterConfig{
		DataDir: dir, Fast: true, Log: zerolog.Nop(), Settings: map[string]string{"max_connections": "400"},
	})
	if err != nil {
		return server{}, err
	}
	template, err := templateName(postgres.Schema())
	if err != nil {
		return server{}, err
	}
	if err := c.EnsureDatabase(ctx, template); err != nil {
		return server{}, err
	}
	if _, _, err := postgres.Migrate(ctx, c.URL(template), zerolog.Nop()); err != nil {
		return server{}, err
	}
	return server{c, template}, nil
})

// admin runs one statement in the server's own database.
func admin(c *postgres.Cluster, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// templateName follows from the text of every migration.
func templateName(migrations fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the migrations: %w", err)
	}
	return "template_" + hex.EncodeToString(sum.Sum(nil)[:6]), nil
}
