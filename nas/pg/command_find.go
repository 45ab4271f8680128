package pg

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
)

// Commands that were recorded, newest first.
func (s *Store) Commands(ctx context.Context, f nas.CommandFilter) ([]nas.CommandRecord, error) {
	var where []string
	args := []any{f.Limit}
	has := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprint("$", len(args)), 1)
		}
		where = append(where, condition)
	}
	if f.Limit <= 0 {
		args[0] = 100
	}
	if f.Device != 0 {
		has("device_id = ?", int64(f.Device))
	}
	if f.Login != "" {
		has("login = ?", nas.TextOf(f.Login))
	}
	if f.Method != nas.None {
		has("method = ?", string(f.Method))
	}
	if f.Answer != nas.Unanswered {
		has("answer = ?", string(f.Answer))
	}
	if f.Waiting {
		has("answer = ''")
	}
	if f.Confirmed {
		has("evidence not in ('', 'ignored')")
	}
	if f.Ignored {
		has("evidence = 'ignored'")
	}
	if !f.Before.IsZero() {
		has("(requested_at, id) < (?, ?)", f.Before, int64(f.BeforeID))
	}
	condition := ""
	if len(where) > 0 {
		condition = "where " + strings.Join(where, " and ")
	}
	rows, err := s.Pool.Query(ctx, `select `+commandColumns+` from network_command `+condition+`
		order by requested_at desc, id desc limit least($1::int, 1000)`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading commands: %w", err)
	}
	commands, err := pgx.CollectRows(rows, scanCommand)
	if err != nil {
		return nil, fmt.Errorf("reading commands: %w", err)
	}
	return commands, nil
}

// CommandTallies counts what was commanded from an instant on, by device. Devices that were told nothing are absent.
func (s *Store) CommandTallies(ctx context.Context, since time.Time) (map[nas.DeviceID]nas.CommandTally, error) {
	rows, err := s.Pool.Query(ctx, `
		select device_id, count(*) filter (where answer = 'ack'), count(*) filter (where answer = 'nak'),
			count(*) filter (where answer = 'timeout'), count(*) filter (where answer = 'unreachable'),
			count(*) filter (where answer = ''), count(*) filter (where evidence not in ('', 'ignored')),
			count(*) filter (where evidence = 'ignored')
		from network_command where requested_at >= $1 group by device_id`, since)
	if err != nil {
		return nil, fmt.Errorf("counting commands: %w", err)
	}
	tallies := map[nas.DeviceID]nas.CommandTally{}
	var id nas.DeviceID
	var t nas.CommandTally
	_, err = pgx.ForEachRow(rows, []any{&id, &t.Acked, &t.Naked, &t.TimedOut, &t.Unreachable, &t.Waiting, &t.Confirmed, &t.Ignored}, func() error {
		tallies[id] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting commands: %w", err)
	}
	return tallies, nil
}
