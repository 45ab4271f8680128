package postgres

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolOptions shape a connection pool. The zero value is good for a server's general work.
type PoolOptions struct {
	// MaxConns bounds the connections; 0 takes the URL's pool_max_conns, else four per processor and at least 8.
	MaxConns int32
	// Name is what pg_stat_activity shows; empty: enlace.
	Name string
	// StatementTimeout ends any single statement that takes longer; 0: no limit. A connection pooler in front of the
	// server may refuse this parameter.
	StatementTimeout time.Duration
	// LockTimeout ends a wait for a lock; 0: no limit.
	LockTimeout time.Duration
}

// Open connects a pool to the database at url and proves that it answers. Times are read as UTC instants.
func Open(ctx context.Context, url string, opts PoolOptions) (*pgxpool.Pool, error) {
	pool, err := newPool(ctx, url, opts, nil)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return pool, nil
}

// Later is a pool on a database that need not be there yet, nor its address be known. Before each connection locate
// gives the address; its error is what whoever wanted the connection gets, at once. url, which may be empty, is where
// the pool's own settings are taken from.
func Later(ctx context.Context, url string, opts PoolOptions, locate func() (string, error)) (*pgxpool.Pool, error) {
	return newPool(ctx, url, opts, func(_ context.Context, to *pgx.ConnConfig) error {
		at, err := locate()
		if err != nil {
			return err
		}
		cfg, err := pgx.ParseConfig(at)
		if err != nil {
			return fmt.Errorf("reading the database's URL: %w", err)
		}
		tune(cfg, opts)
		*to = *cfg
		return nil
	})
}

func newPool(ctx context.Context, url string, opts PoolOptions, before func(context.Context, *pgx.ConnConfig) error) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the database's URL: %w", err)
	}
	switch {
	case opts.MaxConns > 0:
		cfg.MaxConns = opts.MaxConns
	case !strings.Contains(url, "pool_max_conns"):
		cfg.MaxConns = int32(max(8, 4*runtime.GOMAXPROCS(0)))
	}
	tune(cfg.ConnConfig, opts)
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		readTimesAsUTC(conn)
		return nil
	}
	cfg.BeforeConnect = before
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	return pool, nil
}

func tune(cfg *pgx.ConnConfig, opts PoolOptions) {
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	params := cfg.RuntimeParams
	maps.DeleteFunc(params, func(name, _ string) bool { return strings.HasPrefix(name, "pool_") }) // not the server's settings
	params["timezone"] = "UTC"
	if opts.Name != "" {
		params["application_name"] = opts.Name
	} else if params["application_name"] == "" {
		params["application_name"] = "enlace"
	}
	if opts.StatementTimeout > 0 {
		params["statement_timeout"] = strconv.FormatInt(opts.StatementTimeout.Milliseconds(), 10)
	}
	if opts.LockTimeout > 0 {
		params["lock_timeout"] = strconv.FormatInt(opts.LockTimeout.Milliseconds(), 10)
	}
}

// readTimesAsUTC makes timestamptz scan as UTC: pgx would give the process's own zone, and an instant's zone must
// never depend on the machine.
func readTimesAsUTC(conn *pgx.Conn) {
	types := conn.TypeMap()
	types.RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	instant, _ := types.TypeForOID(pgtype.TimestamptzOID)
	types.RegisterType(&pgtype.Type{
		Name: "_timestamptz", OID: pgtype.TimestamptzArrayOID, Codec: &pgtype.ArrayCodec{ElementType: instant},
	})
}
