package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/radius"
)

// ensureMonths makes the partitions of session_history for the month in which the records were received and the one
// after it. Sessions that began in a month without one are in the default partition.
func (s *Store) ensureMonths(ctx context.Context, records []radius.Record) error {
	for i := range records {
		if records[i].Kind == 0 {
			continue
		}
		y, m, _ := records[i].Received.Date()
		for _, first := range []time.Time{
			time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC),
		} {
			if err := s.ensureMonth(ctx, first); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) ensureMonth(ctx context.Context, first time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.months[first] {
		return nil
	}
	name := pgx.Identifier{"session_history_" + first.Format("2006_01")}.Sanitize()
	from, to := first.Format(time.RFC3339), first.AddDate(0, 1, 0).Format(time.RFC3339)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Nodes take turns; what the default partition already holds of the month moves.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('enlace session_history'))`); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, `select to_regclass($1) is not null`, name).Scan(&there); err != nil || there {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			create table %[1]s (like session_history including defaults including constraints including indexes);
			lock table session_history_default in access exclusive mode;
			with moved as (delete from session_history_default where started_at >= '%[2]s' and started_at < '%[3]s' returning *)
			insert into %[1]s select * from moved;
			alter table session_history attach partition %[1]s for values from ('%[2]s') to ('%[3]s')`, name, from, to))
		return err
	})
	if err == nil {
		s.months[first] = true
	}
	return err
}
