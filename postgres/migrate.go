package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/rs/zerolog"
)

//go:embed schema/*.sql
var schema embed.FS

// ErrNewerSchema: the database was migrated by a newer version of this program than the one running.
var ErrNewerSchema = errors.New("the database's schema is newer than this program")

// ErrOlderSchema: the database was not migrated to the version of this program yet.
var ErrOlderSchema = errors.New("the database's schema is older than this program")

// Schema holds the migrations, one NNNNN_name.sql file each.
func Schema() fs.FS {
	dir, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return dir
}

// Migrate brings the database at url to this program's schema and tells which version it found and which it left.
// Any number of nodes may do so at once: one works, the others wait and find it done. It never migrates down; a
// database that is newer than the program is ErrNewerSchema.
func Migrate(ctx context.Context, url string, log zerolog.Logger) (from, to int64, err error) {
	return migrate(ctx, url, Schema(), log)
}

// CheckSchema proves that the database at url has this program's schema, without changing anything. Errors:
// ErrNewerSchema, ErrOlderSchema, and others of the connection.
func CheckSchema(ctx context.Context, url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("reading the database's URL: %w", err)
	}
	tune(cfg, PoolOptions{Name: "enlace check"})
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	have, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	want, err := newestMigration(Schema())
	switch {
	case err != nil:
		return err
	case have > want:
		return fmt.Errorf("%w: it is at version %d, this program knows %d", ErrNewerSchema, have, want)
	case have < want:
		return fmt.Errorf("%w: it is at version %d, this program needs %d", ErrOlderSchema, have, want)
	}
	return nil
}

// newestMigration is the highest number among the migrations' names.
func newestMigration(migrations fs.FS) (int64, error) {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("reading the migrations: %w", err)
	}
	newest := int64(0)
	for _, name := range files {
		digits, _, _ := strings.Cut(name, "_")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("the migration %s has no number: %w", name, err)
		}
		newest = max(newest, n)
	}
	return newest, nil
}

func migrate(ctx context.Context, url string, migrations fs.FS, log zerolog.Logger) (from, to int64, err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the database's URL: %w", err)
	}
	tune(cfg, PoolOptions{Name: "enlace migrate"})
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	// Polling for the lock, not blocking in it: a blocked statement holds a snapshot, on which a migration that
	// builds an index concurrently would wait for ever.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
	if err != nil {
		return 0, 0, fmt.Errorf("migrating: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the migrations: %w", err)
	}
	from, err = schemaVersion(ctx, db)
	if err != nil {
		return 0, 0, err
	}
	newest := int64(0)
	for _, source := range provider.ListSources() {
		newest = max(newest, source.Version)
	}
	if from > newest {
		return from, from, fmt.Errorf("%w: it is at version %d, this program knows %d", ErrNewerSchema, from, newest)
	}
	if from == newest {
		return from, from, nil
	}
	done, err := provider.Up(ctx)
	for _, m := range done {
		log.Info().Int64("version", m.Source.Version).Str("file", m.Source.Path).Dur("took", m.Duration).Msg("migrated")
	}
	if err != nil {
		return from, from, fmt.Errorf("migrating: %w", err)
	}
	to, err = schemaVersion(ctx, db)
	if err != nil {
		return from, from, err
	}
	if to > newest { // a newer node took its turn in between
		return from, to, fmt.Errorf("%w: it is at version %d, this program knows %d", ErrNewerSchema, to, newest)
	}
	return from, to, nil
}

// schemaVersion reads the version without making anything: 0 for an empty database.
func schemaVersion(ctx context.Context, db *sql.DB) (int64, error) {
	var there bool
	err := db.QueryRowContext(ctx, `select to_regclass('goose_db_version') is not null`).Scan(&there)
	if err != nil {
		return 0, fmt.Errorf("connecting to the database: %w", err)
	}
	if !there {
		return 0, nil
	}
	var version int64
	err = db.QueryRowContext(ctx, `select coalesce(max(version_id), 0) from goose_db_version where is_applied`).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("reading the schema's version: %w", err)
	}
	return version, nil
}
