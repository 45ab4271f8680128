package pg

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
)

// SaveCommands records commands, each under its ID: a new one is inserted, a known one gets what has become known since.
func (s *Store) SaveCommands(ctx context.Context, commands []nas.CommandRecord) error {
	newest := map[nas.CommandID]int{}
	for i, c := range commands {
		newest[c.ID] = i
	}
	batch := &pgx.Batch{}
	for i := range commands {
		c := &commands[i]
		if newest[c.ID] != i {
			continue
		}
		batch.Queue(`
			insert into network_command as c (id, device_id, session_id, login, method, want, reason, actor, requested_at,
				sent_at, attempts, answered_at, answer, error_cause, confirmed_at, evidence)
			overriding system value
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
			on conflict (id) do update set
				reason = excluded.reason,
				sent_at = coalesce(c.sent_at, excluded.sent_at),
				attempts = greatest(c.attempts, excluded.attempts),
				answered_at = coalesce(excluded.answered_at, c.answered_at),
				answer = coalesce(nullif(excluded.answer, ''), c.answer),
				error_cause = coalesce(nullif(excluded.error_cause, 0), c.error_cause),
				confirmed_at = coalesce(excluded.confirmed_at, c.confirmed_at),
				evidence = coalesce(nullif(excluded.evidence, ''), c.evidence)`,
			int64(c.ID), int64(c.Session.Device), nas.TextOf(c.Session.ID), nas.TextOf(c.Login), string(c.Method), plain(c.Want),
			plain(c.Reason), plain(c.Actor), c.RequestedAt, instant(c.SentAt), c.Attempts, instant(c.AnsweredAt), string(c.Answer),
			c.ErrorCause, instant(c.ConfirmedAt), string(c.Evidence))
	}
	if batch.Len() == 0 {
		return nil
	}
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("recording commands: %w", err)
	}
	return nil
}

// plain takes out what a text column cannot hold.
func plain(text string) string { return strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "") }

// instant is NULL for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// CommandsOf is what was commanded for a login's sessions, newest first. most is 1 to 1000; 100 when 0.
func (s *Store) CommandsOf(ctx context.Context, login string, most int) ([]nas.CommandRecord, error) {
	return s.Commands(ctx, nas.CommandFilter{Login: login, Limit: most})
}

const commandColumns = `id, device_id, session_id, login, method, want, reason, actor, requested_at,
	sent_at, attempts, answered_at, answer, error_cause, confirmed_at, evidence`

func scanCommand(row pgx.CollectableRow) (nas.CommandRecord, error) {
	var c nas.CommandRecord
	var sent, answered, confirmed *time.Time
	err := row.Scan(&c.ID, &c.Session.Device, &c.Session.ID, &c.Login, &c.Method, &c.Want, &c.Reason, &c.Actor,
		&c.RequestedAt, &sent, &c.Attempts, &answered, &c.Answer, &c.ErrorCause, &confirmed, &c.Evidence)
	c.Session.ID, c.Login = nas.RawOf(c.Session.ID), nas.RawOf(c.Login)
	c.RequestedAt = c.RequestedAt.UTC()
	c.SentAt, c.AnsweredAt, c.ConfirmedAt = orZero(sent), orZero(answered), orZero(confirmed)
	return c, err
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
