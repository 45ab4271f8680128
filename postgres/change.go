package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Change says that the row of table Tbl with key Key was inserted, updated or deleted. Whoever reads it looks up the
// row as it now is.
type Change struct {
	ID  int64 // identifies the change; says nothing of order
	Tbl string
	Key int64
	At  time.Time // when it was written, by the database's clock; it became visible at the commit after that
}

// Snapshot is a position in the feed of changes: the transactions that a reader at some moment could see. Its zero
// value is the position before everything.
type Snapshot struct {
	text string // of PostgreSQL's pg_snapshot: xmin:xmax:xip,xip,...
	// newest is a committed transaction, at or above all those whose changes were read. Above it the text proves
	// nothing: a crash loses the numbers of transactions that were rolled back, and the server gives them out again.
	newest int64
}

func (s Snapshot) String() string {
	if s.text == "" {
		return "1:1:"
	}
	return s.text
}

// changeChannel carries an empty notification after commits that wrote changes: a hint to read the table now.
const changeChannel = "enlace_change"

// trimMark is the id of the row of `change` that records the newest transaction of which changes were trimmed.
// Identity columns count from 1, so it is nobody else's.
const trimMark = 0

// MarkChanged writes into the transaction that changes rows of tbl which rows they are.
func MarkChanged(ctx context.Context, tx pgx.Tx, tbl string, keys ...int64) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `insert into change (tbl, key) select $1, unnest($2::bigint[])`, tbl, keys)
	if err != nil {
		return fmt.Errorf("marking %s changed: %w", tbl, err)
	}
	return nil
}

// NotifyChange wakes the feeds as soon as the transaction commits, instead of at their next poll. Committing
// transactions that notify take turns in PostgreSQL: call it for a person's act, never for accounting or bulk work.
func NotifyChange(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `notify `+changeChannel); err != nil {
		return fmt.Errorf("notifying of changes: %w", err)
	}
	return nil
}

// SnapshotOf is the position from which a feed continues what tx has read. tx must be REPEATABLE READ or
// SERIALIZABLE and be the one that loads, so that what it loads is exactly what the position says.
func SnapshotOf(ctx context.Context, tx pgx.Tx) (Snapshot, error) {
	var s Snapshot
	var isolation string
	err := tx.QueryRow(ctx, `
		select pg_current_snapshot()::text, current_setting('transaction_isolation'), greatest(
			(select xid::text::bigint from change order by xid desc limit 1),
			(select key from change where id = $1), 0)`, trimMark).Scan(&s.text, &isolation, &s.newest)
	if err != nil {
		return Snapshot{}, fmt.Errorf("reading the snapshot: %w", err)
	}
	if isolation != "repeatable read" && isolation != "serializable" {
		return Snapshot{}, errors.New("reading the snapshot: the transaction is " + isolation + ", not repeatable read")
	}
	return s, nil
}

// Trim deletes changes written longer than olderThan ago, by the database's clock, and tells how many. A feed that
// had not read them yet gets ErrBehind, so olderThan is to be more than the longest outage that a node should catch
// up from by reading changes.
func Trim(ctx context.Context, pool *pgxpool.Pool, olderThan time.Duration) (int64, error) {
	// Changes at or above the snapshot's xmin stay: with a long transaction open, feeds that have kept up still stand
	// there, and would take their removal for changes they missed.
	var n int64
	err := pool.QueryRow(ctx, `
		with gone as (
			delete from change
			where id <> $1 and at < clock_timestamp() - $2::interval and xid < pg_snapshot_xmin(pg_current_snapshot())
			returning xid
		), mark as (
			insert into change (id, tbl, key) overriding system value
			select $1, 'change', max(xid::text::bigint) from gone having count(*) > 0
			on conflict (id) do update set key = greatest(change.key, excluded.key), at = excluded.at
		)
		select count(*) from gone`, trimMark, olderThan).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("trimming changes: %w", err)
	}
	return n, nil
}
