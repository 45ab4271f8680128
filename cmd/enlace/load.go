package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	adminpg "enlace/admin/pg"
	"enlace/postgres"
)

const (
	// openPatience is how long a start that has a snapshot waits for the database to open before it serves from that.
	openPatience = 5 * time.Second
	// loadPatience is the same for loading, and stallPatience for a load that does not get on.
	loadPatience  = time.Minute
	stallPatience = 10 * time.Second
)

// load fills directory and sessions, from the database. Where that cannot be had and there is a snapshot, from it: the
// database is then waited for in the background. Without a snapshot what is wrong with the database is the error.
func (n *node) load(ctx context.Context) error {
	opened := make(chan error, 1)
	go func() { opened <- n.db.open(ctx, true) }()
	patience := (<-chan time.Time)(nil) // for ever
	loading, cancel := ctx, context.CancelFunc(func() {})
	spare := n.snapshots.usable()
	if spare {
		patience = time.After(openPatience)
	}
	var err error
	select {
	case err = <-opened:
		if err == nil {
			if spare {
				loading, cancel = n.patiently(ctx)
			}
			err = n.loadFromDatabase(loading)
			cancel()
		}
	case <-patience:
		err = fmt.Errorf("the database did not open within %s", openPatience)
	}
	if err == nil || !spare || ctx.Err() != nil {
		return err
	}
	n.log.Error().Err(err).Msg("the database cannot be used at the start")
	if e := n.snapshots.restore(ctx); e != nil {
		return errors.Join(err, e)
	}
	return nil
}

// patiently is a context for loading that ends when that takes too long, or gets no further.
func (n *node) patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	go func() {
		last, since := int64(-1), time.Now()
		tick := time.NewTicker(stallPatience / 10)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if put := n.projection.built.Load(); put != last {
				last, since = put, time.Now()
			} else if time.Since(since) > stallPatience {
				cancel()
			}
		}
	}()
	return ctx, cancel
}

func (n *node) loadFromDatabase(ctx context.Context) (err error) {
	if n.password, _, err = adminpg.EnsureStaff(ctx, n.db.pool, staffName, n.clock.Now()); err != nil {
		return err
	}
	if err := n.loadDirectory(ctx); err != nil {
		return err
	}
	if err := n.accounting.Recover(ctx, n.stores.sessions); err != nil {
		return err
	}
	close(n.loaded)
	return nil
}

func (n *node) loadDirectory(ctx context.Context) (err error) {
	url, err := n.db.address()
	if err != nil {
		return err
	}
	if n.projection.start, err = n.projection.load(ctx); err != nil {
		return err
	}
	n.projection.feed.Store(postgres.NewFeed(url, n.log, time.Second))
	return nil
}

// fromSnapshot tells whether the directory still is the snapshot's.
func (n *node) fromSnapshot() bool {
	select {
	case <-n.loaded:
		return false
	default:
		return n.projection.directory.Len() > 0 || len(n.projection.devicesNow()) > 0
	}
}

// follow keeps the directory with the database until ctx ends: it first waits for a database that was away at the start.
func (n *node) follow(ctx context.Context) error {
	if err := n.join(ctx); err != nil {
		return err
	}
	go n.db.tend(ctx)
	return n.projection.follow(ctx, n.projection.start)
}

// join waits for the database and replaces what came from the snapshot, without a gap in service.
func (n *node) join(ctx context.Context) error {
	select {
	case <-n.loaded:
		return nil
	default:
	}
	for n.db.reopen(ctx) {
		err := n.loadDirectory(ctx)
		if err == nil {
			err = n.accounting.Join(ctx, n.stores.sessions)
		}
		if err == nil {
			close(n.loaded)
			n.reconciler.Kick()
			n.log.Info().Msg("the database is back: what is served is its state again")
			return nil
		}
		if ctx.Err() == nil {
			n.log.Error().Err(err).Msg("loading from the database failed; the snapshot goes on serving")
		}
		select {
		case <-ctx.Done():
		case <-time.After(reopenEvery):
		}
	}
	return ctx.Err()
}
