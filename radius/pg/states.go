package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
	"enlace/radius"
)

// LoadStates implements radius.SessionStore.
func (s *Store) LoadStates(ctx context.Context, of []radius.Session) (found []radius.Session, err error) {
	devices, ids, since := make([]int64, len(of)), make([]string, len(of)), make([]time.Time, len(of))
	oldest := time.Time{}
	for i := range of {
		devices[i], ids[i], since[i] = int64(of[i].Key.Device), nas.TextOf(of[i].Key.ID), of[i].StartedAt.Add(-lookBack)
		if i == 0 || since[i].Before(oldest) {
			oldest = since[i]
		}
	}
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		for _, q := range []struct {
			sql  string
			more []any
			scan func(pgx.CollectableRow) (radius.Session, error)
		}{
			{`select l.* from unnest($1::bigint[], $2::text[]) as k (device_id, session_id)
				cross join lateral (select ` + listed("", liveColumns) + ` from session_live
					where device_id = k.device_id and session_id = k.session_id offset 0) l`, nil, scanLive},
			{`select h.* from unnest($1::bigint[], $2::text[], $3::timestamptz[]) as k (device_id, session_id, since)
				cross join lateral (select ` + listed("", historyColumns) + ` from session_history
					where device_id = k.device_id and session_id = k.session_id and started_at >= k.since and started_at >= $4::timestamptz
					offset 0) h`, []any{since, oldest}, scanHistory},
		} {
			rows, err := tx.Query(ctx, q.sql, append([]any{devices, ids}, q.more...)...)
			if err != nil {
				return err
			}
			sessions, err := pgx.CollectRows(rows, q.scan)
			if err != nil {
				return err
			}
			found = append(found, sessions...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is stored of sessions: %w", err)
	}
	return found, nil
}
