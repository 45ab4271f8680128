package pg

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Retain drops the months of connection_record that are older than so many months at now, and deletes what is as old in
// the default partition. It returns the partitions dropped. A month stays, however old, while fewer than that many later
// months hold anything: a clock that jumps ahead does not destroy what the law wants kept.
func (s *Store) Retain(ctx context.Context, now time.Time, months int) (dropped []string, err error) {
	y, m, _ := now.UTC().Date()
	before := time.Date(y, m-time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	kept := 0
	partitions, err := s.connectionMonths(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Backward(partitions) {
		var some bool
		if err := s.pool.QueryRow(ctx, `select exists (select from `+p.name+`)`).Scan(&some); err != nil {
			return dropped, fmt.Errorf("looking at %s: %w", p.name, err)
		}
		switch {
		case p.first.Before(before) && kept >= months:
			if err := s.dropMonth(ctx, p.name); err != nil {
				return dropped, err
			}
			dropped = append(dropped, p.name)
		case some:
			kept++
		}
	}
	if kept < months {
		return dropped, nil
	}
	if _, err := s.pool.Exec(ctx, `delete from connection_record_default where until_at < $1`, before); err != nil {
		return dropped, fmt.Errorf("deleting old connection records: %w", err)
	}
	return dropped, nil
}

type connectionMonth struct {
	name  string
	first time.Time
}

// connectionMonths are the partitions of connection_record, oldest first.
func (s *Store) connectionMonths(ctx context.Context) ([]connectionMonth, error) {
	rows, err := s.pool.Query(ctx, `select inhrelid::regclass::text from pg_inherits where inhparent = 'connection_record'::regclass`)
	if err != nil {
		return nil, fmt.Errorf("listing the months of connection records: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing the months of connection records: %w", err)
	}
	var out []connectionMonth
	for _, n := range names {
		if first, err := time.Parse("2006_01", strings.TrimPrefix(n, "connection_record_")); err == nil {
			out = append(out, connectionMonth{n, first})
		}
	}
	slices.SortFunc(out, func(a, b connectionMonth) int { return a.first.Compare(b.first) })
	return out, nil
}

// dropMonth waits for nobody for long: whoever would wait behind it is answering for accounting.
func (s *Store) dropMonth(ctx context.Context, name string) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `set local lock_timeout = '2s'; drop table `+name)
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.months)
	return nil
}
