package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/rs/zerolog"

	"enlace/postgres"
	"enlace/postgres/pgtest"
)

func migrations(texts ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i, text := range texts {
		name := "0000" + string(rune('1'+i)) + "_step.sql"
		files[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text + "\n")}
	}
	return files
}

func TestSchema(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	from, to, err := postgres.Migrate(context60(t), url, zerolog.Nop())
	if err != nil || from != 0 || to == 0 {
		t.Fatalf("from %d to %d, %v", from, to, err)
	}
	again, still, err := postgres.Migrate(context60(t), url, zerolog.Nop())
	if err != nil || again != to || still != to {
		t.Errorf("the second time from %d to %d, %v", again, still, err)
	}
	exec1(t, open(t, url), `insert into goose_db_version (version_id, is_applied) values ($1, true)`, to+1)
	_, _, err = postgres.Migrate(context60(t), url, zerolog.Nop())
	if !errors.Is(err, postgres.ErrNewerSchema) {
		t.Errorf("a newer database: %v", err)
	}
}

func TestNodesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	steps := migrations(`create table a (n int);`, `select pg_sleep(0.2);`, `create table b (n int);`)
	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() {
			_, to, err := postgres.MigrateFrom(context60(t), url, steps, zerolog.Nop())
			if err != nil || to != 3 {
				t.Errorf("to %d, %v", to, err)
			}
		})
	}
	nodes.Wait()
	if n := number(t, open(t, url), `select count(*) from goose_db_version where version_id > 0`); n != 3 {
		t.Errorf("%d steps were recorded", n)
	}
}

func TestFailedMigrationKeepsWhatCameBefore(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	_, _, err := postgres.MigrateFrom(context60(t), url,
		migrations(`create table a (n int);`, `create table b (n int); create table a (n int);`), zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), `"a" already exists`) {
		t.Errorf("a failing step: %v", err)
	}
	from, to, err := postgres.MigrateFrom(context60(t), url,
		migrations(`create table a (n int);`, `create table b (n int);`), zerolog.Nop())
	if err != nil || from != 1 || to != 2 {
		t.Errorf("mended: from %d to %d, %v", from, to, err)
	}
}
