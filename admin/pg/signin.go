package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SignIns implements scs.CtxStore. Expiry goes by the database's own clock: a settable clock does not sign people out.
type SignIns struct {
	Pool *pgxpool.Pool
}

// patience bounds the calls that come without a context.
const patience = 10 * time.Second

// FindCtx gives the data of a token that has not expired.
func (s *SignIns) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var data []byte
	err := s.Pool.QueryRow(ctx, `select data from staff_session where token = $1 and expires > clock_timestamp()`, token).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading a sign-in: %w", err)
	}
	return data, true, nil
}

// CommitCtx keeps a token's data, and forgets whatever has expired.
func (s *SignIns) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	_, err := s.Pool.Exec(ctx, `insert into staff_session (token, data, expires) values ($1, $2, $3)
		on conflict (token) do update set data = excluded.data, expires = excluded.expires`, token, data, expires)
	if err != nil {
		return fmt.Errorf("keeping a sign-in: %w", err)
	}
	if _, err := s.Pool.Exec(ctx, `delete from staff_session where expires < clock_timestamp()`); err != nil {
		return fmt.Errorf("forgetting old sign-ins: %w", err)
	}
	return nil
}

// DeleteCtx forgets a token.
func (s *SignIns) DeleteCtx(ctx context.Context, token string) error {
	if _, err := s.Pool.Exec(ctx, `delete from staff_session where token = $1`, token); err != nil {
		return fmt.Errorf("forgetting a sign-in: %w", err)
	}
	return nil
}

// Find is FindCtx without a context.
func (s *SignIns) Find(token string) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.FindCtx(ctx, token)
}

// Commit is CommitCtx without a context.
func (s *SignIns) Commit(token string, data []byte, expires time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.CommitCtx(ctx, token, data, expires)
}

// Delete is DeleteCtx without a context.
func (s *SignIns) Delete(token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.DeleteCtx(ctx, token)
}
