package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"enlace/postgres"
	"enlace/postgres/pgtest"
)

func TestPool(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(context60(t), pgtest.URL(t), postgres.PoolOptions{
		MaxConns: 3, Name: "a test", StatementTimeout: 50 * time.Millisecond, LockTimeout: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var at time.Time
	var several []time.Time
	var zone, name, lock string
	err = pool.QueryRow(context60(t), `select timestamptz '2026-11-22 10:00-03', array[timestamptz '2026-11-22 10:00-03'],
		current_setting('timezone'), current_setting('application_name'), current_setting('lock_timeout')`).
		Scan(&at, &several, &zone, &name, &lock)
	want := time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)
	if err != nil || at != want || several[0] != want || zone != "UTC" || name != "a test" || lock != "1s" {
		t.Errorf("%v %v %v %q %q %v", at, several, zone, name, lock, err)
	}
	_, err = pool.Exec(context60(t), `select pg_sleep(30)`)
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != "57014" {
		t.Errorf("a statement beyond its time: %v", err)
	}
}

func TestPoolTellsNoPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://user:hush@127.0.0.1:1/db?connect_timeout=1",
		"postgres://user:hush@127.0.0.1:notaport/db",
		"postgres://user:hush@127.0.0.1/db?sslmode=sometimes",
	} {
		_, err := postgres.Open(context60(t), url, postgres.PoolOptions{})
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v", err)
		}
	}
}
