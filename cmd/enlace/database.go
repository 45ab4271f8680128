package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"enlace/postgres"
)

// database is the database with what keeps it running. It need not be there: until open succeeded, whoever asks the
// pool for a connection gets an error at once.
type database struct {
	cfg  *Config
	log  zerolog.Logger
	pool *pgxpool.Pool

	opening sync.Mutex // one open at a time

	mu      sync.Mutex
	url     string            // "" until its schema was seen to be ours
	cluster *postgres.Cluster // nil for the operator's own
	away    error             // why it is not open; nil once it is
	since   time.Time         // when it was first tried in vain, by the machine's clock
	closed  bool
}

var errNotOpened = errors.New("the database has not been opened yet")

// newDatabase makes no connection yet.
func newDatabase(ctx context.Context, c *Config, log zerolog.Logger) (*database, error) {
	db := &database{cfg: c, log: log, away: errNotOpened}
	settings := c.DatabaseURL
	if settings == "" {
		settings = "postgres:///" + privateDatabase + "?sslmode=disable"
	}
	pool, err := postgres.Later(ctx, settings, postgres.PoolOptions{}, db.address)
	if err != nil {
		return nil, err
	}
	db.pool = pool
	return db, nil
}

// openDatabase uses the operator's PostgreSQL or brings up the private one, and migrates it.
func openDatabase(ctx context.Context, c *Config, log zerolog.Logger) (*database, error) {
	db, err := newDatabase(ctx, c, log)
	if err != nil {
		return nil, err
	}
	if err := db.open(ctx, true); err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

// address is where the database is, once it may be used.
func (db *database) address() (string, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.url, db.away
}

// open finds the database, starting the private one unless it runs, and lets connections through once its schema is this
// program's. With migrate it is brought there first; a node that already serves must not, because another version of the
// program may be at work on it.
func (db *database) open(ctx context.Context, migrate bool) error {
	db.opening.Lock()
	defer db.opening.Unlock()
	url, err := db.reach(ctx)
	if err == nil && migrate {
		_, _, err = postgres.Migrate(ctx, url, db.log)
	} else if err == nil {
		if err = postgres.CheckSchema(ctx, url); errors.Is(err, postgres.ErrOlderSchema) {
			err = fmt.Errorf("%w: start this node again to migrate it", err)
		}
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if err != nil {
		if db.away = err; db.since.IsZero() {
			db.since = time.Now()
		}
		return err
	}
	db.url, db.away, db.since = url, nil, time.Time{}
	return nil
}

// reach gives the database's address, and starts the private one.
func (db *database) reach(ctx context.Context) (string, error) {
	if db.cfg.DatabaseURL != "" {
		return db.cfg.DatabaseURL, nil
	}
	cluster := db.running()
	if cluster == nil {
		var err error
		cluster, err = postgres.Start(ctx, postgres.ClusterConfig{DataDir: db.cfg.clusterDir(), BinDir: db.cfg.BinDir, Log: db.log})
		if err != nil {
			return "", fmt.Errorf("starting the private PostgreSQL: %w", err)
		}
		db.mu.Lock()
		db.cluster = cluster
		closed := db.closed
		db.mu.Unlock()
		if closed {
			return "", errors.Join(errNotOpened, cluster.Stop())
		}
	}
	if err := cluster.EnsureDatabase(ctx, privateDatabase); err != nil {
		return "", err
	}
	return cluster.URL(privateDatabase), nil
}

// running is the private cluster, unless there is none or it is gone for good.
func (db *database) running() *postgres.Cluster {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.cluster == nil {
		return nil
	}
	select {
	case <-db.cluster.Done():
		return nil
	default:
		return db.cluster
	}
}

// tend brings the private cluster back when it is gone for good, until ctx ends.
func (db *database) tend(ctx context.Context) {
	cluster := db.running()
	for cluster != nil {
		select {
		case <-ctx.Done():
			return
		case <-cluster.Done():
		}
		if ctx.Err() != nil {
			return
		}
		db.log.Error().Err(cluster.Err()).Msg("the private PostgreSQL has ended; starting it again")
		if !db.reopen(ctx) {
			return
		}
		cluster = db.running()
	}
}

// reopen tries until the database is open, without migrating it, or ctx ends.
func (db *database) reopen(ctx context.Context) bool {
	said := ""
	for {
		err := db.open(ctx, false)
		if err == nil {
			return true
		}
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			db.log.Error().Err(err).Msg("the database cannot be used; what is in memory goes on serving")
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(reopenEvery):
		}
	}
}

const reopenEvery = 2 * time.Second

// state says how the database is, in words fit for strangers, and since when it has been away.
func (db *database) state() (text string, since time.Time) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.since.IsZero() {
		db.since = time.Now()
	}
	switch {
	case db.away == nil:
		db.since = time.Time{}
		return "ok", time.Time{}
	case errors.Is(db.away, postgres.ErrNewerSchema):
		return "newer than this program", db.since
	case errors.Is(db.away, postgres.ErrOlderSchema):
		return "older than this program", db.since
	}
	return "unreachable", db.since
}

// closePatience is how long connections that are in use are waited for.
const closePatience = 3 * time.Second

func (db *database) close() {
	if db.pool != nil {
		closed := make(chan struct{})
		go func() { db.pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(closePatience): // a database that does not answer: what is under way is rolled back by it
		}
	}
	db.mu.Lock()
	cluster := db.cluster
	db.closed = true
	db.mu.Unlock()
	if cluster != nil {
		cluster.Stop()
	}
}

// privateDatabase is the name of our database in the private cluster.
const privateDatabase = "enlace"

// openExisting is openDatabase for a tool that may run beside the server: where that runs the private PostgreSQL, the
// tool uses it.
func openExisting(ctx context.Context, c *Config, log zerolog.Logger) (*database, error) {
	db, err := openDatabase(ctx, c, log)
	if !errors.Is(err, postgres.ErrInUse) {
		return db, err
	}
	url, err := postgres.Attach(c.clusterDir(), "", privateDatabase)
	if err != nil {
		return nil, err
	}
	pool, err := postgres.Open(ctx, url, postgres.PoolOptions{})
	if err != nil {
		return nil, err
	}
	return &database{cfg: c, log: log, url: url, pool: pool}, nil
}
