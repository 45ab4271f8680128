package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// LoadOpenSessions implements radius.SessionStore; with a nil f it only gives the cursor.
func (s *Store) LoadOpenSessions(ctx context.Context, node string, f func(radius.Session)) (radius.Cursor, error) {
	var c radius.Cursor
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `select segment, position from journal_cursor where node = $1`, node).Scan(&c.Segment, &c.Offset)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("reading the journal's cursor: %w", err)
		}
		if f == nil {
			return nil
		}
		rows, err := tx.Query(ctx, `select `+listed("l.", liveColumns)+` from session_live l`)
		if err != nil {
			return fmt.Errorf("reading the open sessions: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			session, err := scanLive(rows)
			if err != nil {
				return fmt.Errorf("reading the open sessions: %w", err)
			}
			f(session)
		}
		return rows.Err()
	})
	return c, err
}

// Filter selects open sessions; zero fields select all.
type Filter struct {
	Login  string             // exactly
	Access contracts.AccessID // beside Login: also sessions that bear another name and are this access's
	Device nas.DeviceID
	// Query is found in the login, the calling station, or at the start of an address.
	Query      string
	AfterLogin string // only logins after this one: the last of the page before
	Limit      int    // 1 to 1000; 100 when 0
}

// OpenSessions is a page of open sessions by login. A login's sessions are never torn apart: a page may have more than
// Limit.
func (s *Store) OpenSessions(ctx context.Context, f Filter) ([]radius.Session, error) {
	rows, err := s.pool.Query(ctx, `select `+listed("l.", liveColumns)+` from session_live l
		where ($1 = '' or login = $1 or ($6 <> 0 and access_id = $6))
			and ($2 = 0 or device_id = $2)
			and ($3 = '' or login ilike '%' || $3 || '%' or calling_station ilike '%' || $3 || '%'
				or host(framed_ip) like $3 || '%' or array_to_string(framed_ipv6, ' ') like '%' || $3 || '%')
			and ($4 = '' or login > $4 collate "C")
		order by login collate "C" fetch first $5 rows with ties`,
		nas.TextOf(f.Login), int64(f.Device), likeText(f.Query), nas.TextOf(f.AfterLogin), limit(f.Limit), int64(f.Access))
	if err != nil {
		return nil, fmt.Errorf("listing open sessions: %w", err)
	}
	sessions, err := pgx.CollectRows(rows, scanLive)
	if err != nil {
		return nil, fmt.Errorf("listing open sessions: %w", err)
	}
	return sessions, nil
}

// History is a login's ended sessions, newest first.
func (s *Store) History(ctx context.Context, login string, most int) ([]radius.Session, error) {
	rows, err := s.pool.Query(ctx, `select `+listed("h.", historyColumns)+` from session_history h
		where login = $1 order by started_at desc limit $2`, nas.TextOf(login), limit(most))
	if err != nil {
		return nil, fmt.Errorf("reading the history of sessions: %w", err)
	}
	sessions, err := pgx.CollectRows(rows, scanHistory)
	if err != nil {
		return nil, fmt.Errorf("reading the history of sessions: %w", err)
	}
	return sessions, nil
}

// Counts is how many sessions are open on each device.
func (s *Store) Counts(ctx context.Context) (map[nas.DeviceID]int, error) {
	rows, err := s.pool.Query(ctx, `select device_id, count(*) from session_live group by device_id`)
	if err != nil {
		return nil, fmt.Errorf("counting open sessions: %w", err)
	}
	counts := map[nas.DeviceID]int{}
	var device int64
	var n int
	if _, err = pgx.ForEachRow(rows, []any{&device, &n}, func() error {
		counts[nas.DeviceID(device)] = n
		return nil
	}); err != nil {
		return nil, fmt.Errorf("counting open sessions: %w", err)
	}
	return counts, nil
}

func limit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

// likeText takes the meaning from the characters that LIKE gives one, and what a text column cannot hold.
func likeText(q string) string {
	q = strings.ToValidUTF8(strings.ReplaceAll(q, "\x00", ""), "")
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(q)
}
