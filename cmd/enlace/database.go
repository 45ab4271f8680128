package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"enlace/postgres"
)

// database is an open database with what keeps it running.
type database struct {
	url     string
	pool    *pgxpool.Pool
	cluster *postgres.Cluster // nil for the operator's own
}

// openDatabase uses the operator's PostgreSQL or brings up the private one, and migrates it.
func openDatabase(ctx context.Context, c *Config, log zerolog.Logger) (*database, error) {
	db := &database{url: c.DatabaseURL}
	if db.url == "" {
		cluster, err := postgres.Start(ctx, postgres.ClusterConfig{DataDir: c.clusterDir(), BinDir: c.BinDir, Log: log})
		if err != nil {
			return nil, fmt.Errorf("starting the private PostgreSQL: %w", err)
		}
		db.cluster = cluster
		if err := cluster.EnsureDatabase(ctx, privateDatabase); err != nil {
			db.close()
			return nil, err
		}
		db.url = cluster.URL(privateDatabase)
	}
	if _, _, err := postgres.Migrate(ctx, db.url, log); err != nil {
		db.close()
		return nil, err
	}
	pool, err := postgres.Open(ctx, db.url, postgres.PoolOptions{})
	if err != nil {
		db.close()
		return nil, err
	}
	db.pool = pool
	return db, nil
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
	if db.cluster != nil {
		db.cluster.Stop()
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
	return &database{url: url, pool: pool}, nil
}
