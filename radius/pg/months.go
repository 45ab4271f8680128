package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/radius"
)

// monthly are the tables with a partition for every month, by the column that decides.
var monthly = []struct {
	table, column string
	storage       string // of a partition
}{
	{"session_history", "started_at", "fillfactor = 100"},
	{"connection_record", "until_at", "fillfactor = 100"},
	{"usage_day", "day", "fillfactor = 70"}, // a day's row is updated all day
}

// month of a table, by its first instant.
type month struct {
	table string
	first time.Time
}

// ensureMonths makes the partitions for the month in which the records were received and the one after it. What
// belongs to a month without one is in the default partition.
func (s *Store) ensureMonths(ctx context.Context, records []radius.Record) error {
	var until time.Time
	for i := range records {
		at := records[i].Received
		if records[i].Kind == 0 || at.Before(until) && !at.Before(until.AddDate(0, -1, 0)) {
			continue
		}
		y, m, _ := at.Date()
		until = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
		for _, first := range []time.Time{
			time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC),
		} {
			for _, p := range monthly {
				if err := s.ensureMonth(ctx, month{p.table, first}, p.column, p.storage); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Store) ensureMonth(ctx context.Context, of month, column, storage string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.months[of] {
		return nil
	}
	name := pgx.Identifier{of.table + "_" + of.first.Format("2006_01")}.Sanitize()
	from, to := of.first.Format(time.RFC3339), of.first.AddDate(0, 1, 0).Format(time.RFC3339)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Nodes take turns; what the default partition already holds of the month moves.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('enlace ' || $1))`, of.table); err != nil {
			return err
		}
		// Bounds of a date column are read as dates: the time of day and the zone are cut off.
		var there bool
		if err := tx.QueryRow(ctx, `select to_regclass($1) is not null`, name).Scan(&there); err != nil || there {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			create table %[1]s (like %[4]s including defaults including constraints including indexes) with (%[6]s);
			lock table %[4]s_default in access exclusive mode;
			with moved as (delete from %[4]s_default where %[5]s >= '%[2]s' and %[5]s < '%[3]s' returning *)
			insert into %[1]s select * from moved;
			alter table %[4]s attach partition %[1]s for values from ('%[2]s') to ('%[3]s')`, name, from, to, of.table, column, storage))
		return err
	})
	if err == nil {
		s.months[of] = true
	}
	return err
}
