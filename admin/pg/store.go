// Package pg keeps the panel's own things in PostgreSQL: staff accounts, signed-in browsers, API tokens, the audit.
package pg

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/admin"
	"enlace/contracts"
)

// Store implements admin.Staff.
type Store struct {
	Pool *pgxpool.Pool
}

// Account by name; NotFound when there is none or it is disabled.
func (s *Store) Account(ctx context.Context, username string) (admin.Account, error) {
	var a admin.Account
	if strings.ContainsRune(username, 0) {
		return a, contracts.NotFoundf("there is no such account")
	}
	err := s.Pool.QueryRow(ctx, `select id, username, password_hash from staff where username = $1 and disabled_at is null`, strings.ToValidUTF8(username, "?")).
		Scan(&a.ID, &a.Username, &a.PasswordHash)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, contracts.NotFoundf("there is no such account")
	}
	if err != nil {
		return a, fmt.Errorf("reading an account: %w", err)
	}
	return a, nil
}

// CreateAccount of a member of staff.
func (s *Store) CreateAccount(ctx context.Context, actor, username, password string, now time.Time) error {
	if username == "" || len(username) > 60 || strings.TrimSpace(username) != username || strings.ContainsFunc(username, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return contracts.Invalidf("username", "a user name has 1 to 60 printable bytes, and neither begins nor ends with a space")
	}
	hash, err := admin.HashPassword(password)
	if err != nil {
		return err
	}
	_, err = s.Pool.Exec(ctx, `insert into staff (username, password_hash, created_at) values ($1, $2, $3)`, username, hash, now)
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == "23505" {
		return contracts.Conflictf("duplicate_username", "there is already an account %q", username)
	}
	if err != nil {
		return fmt.Errorf("creating an account: %w", err)
	}
	return s.Audit(ctx, now, actor, "staff.create", "staff:"+username, "done")
}

// SetPassword of a member of staff. Browsers that are signed in with the old one are out.
func (s *Store) SetPassword(ctx context.Context, actor, username, password string, now time.Time) error {
	hash, err := admin.HashPassword(password)
	if err != nil {
		return err
	}
	tag, err := s.Pool.Exec(ctx, `update staff set password_hash = $2 where username = $1`, username, hash)
	if err != nil {
		return fmt.Errorf("changing a password: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return contracts.NotFoundf("there is no account %q", username)
	}
	return s.Audit(ctx, now, actor, "staff.password", "staff:"+username, "done")
}

// EnsureStaff makes the first account, with a password made up for it, when there is no account at all. The password is
// returned once and kept nowhere.
func EnsureStaff(ctx context.Context, pool *pgxpool.Pool, username string, now time.Time) (password string, created bool, err error) {
	var any bool
	if err := pool.QueryRow(ctx, `select exists (select from staff)`).Scan(&any); err != nil {
		return "", false, fmt.Errorf("looking for staff: %w", err)
	}
	if any {
		return "", false, nil
	}
	password = admin.GeneratePassword()
	if err := (&Store{pool}).CreateAccount(ctx, "system", username, password, now); err != nil {
		return "", false, err
	}
	return password, true, nil
}

// Token finds an API token by the SHA-256 of its text and notes that it was used, to the minute.
func (s *Store) Token(ctx context.Context, hash []byte, now time.Time) (string, error) {
	var name string
	var used *time.Time
	err := s.Pool.QueryRow(ctx, `select name, last_used_at from api_token where token_hash = $1 and revoked_at is null`, hash).Scan(&name, &used)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", contracts.NotFoundf("there is no such token")
	}
	if err != nil {
		return "", fmt.Errorf("reading a token: %w", err)
	}
	if used == nil || now.Sub(*used).Abs() >= time.Minute {
		if _, err := s.Pool.Exec(ctx, `update api_token set last_used_at = $2 where token_hash = $1`, hash, now); err != nil {
			return "", fmt.Errorf("noting the use of a token: %w", err)
		}
	}
	return name, nil
}

// CreateToken makes an API token. Its text is returned once; what is kept is its SHA-256.
func (s *Store) CreateToken(ctx context.Context, actor, name string, now time.Time) (string, error) {
	if name == "" || len(name) > 60 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", contracts.Invalidf("name", "a token has a name of 1 to 60 bytes without spaces")
	}
	var secret [32]byte
	rand.Read(secret[:])
	token := "enlace_" + base64.RawURLEncoding.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(token))
	_, err := s.Pool.Exec(ctx, `insert into api_token (name, token_hash, created_at) values ($1, $2, $3)`, name, hash[:], now)
	if err != nil {
		return "", fmt.Errorf("creating a token: %w", err)
	}
	return token, s.Audit(ctx, now, actor, "token.create", "token:"+name, "done")
}

// RevokeTokens of a name, and tell how many there were.
func (s *Store) RevokeTokens(ctx context.Context, actor, name string, now time.Time) (int, error) {
	tag, err := s.Pool.Exec(ctx, `update api_token set revoked_at = $2 where name = $1 and revoked_at is null`, name, now)
	if err != nil {
		return 0, fmt.Errorf("revoking tokens: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return 0, contracts.NotFoundf("there is no token named %q", name)
	}
	return int(tag.RowsAffected()), s.Audit(ctx, now, actor, "token.revoke", "token:"+name, "done")
}

// TokenInfo is what may be told of a token.
type TokenInfo struct {
	Name                           string
	CreatedAt, LastUsed, RevokedAt time.Time // zero: never
}

// Tokens in the order of their making.
func (s *Store) Tokens(ctx context.Context) ([]TokenInfo, error) {
	rows, err := s.Pool.Query(ctx, `select name, created_at, last_used_at, revoked_at from api_token order by id`)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (t TokenInfo, err error) {
		var used, revoked *time.Time
		err = r.Scan(&t.Name, &t.CreatedAt, &used, &revoked)
		if used != nil {
			t.LastUsed = used.UTC()
		}
		if revoked != nil {
			t.RevokedAt = revoked.UTC()
		}
		t.CreatedAt = t.CreatedAt.UTC()
		return t, err
	})
}

// Audit records what leaves no other trace.
func (s *Store) Audit(ctx context.Context, now time.Time, actor, act, subject, result string) error {
	_, err := s.Pool.Exec(ctx, `insert into audit (at, actor, act, subject, result) values ($1, $2, $3, $4, $5)`, now, actor, act, subject, result)
	if err != nil {
		return fmt.Errorf("recording %s in the audit: %w", act, err)
	}
	return nil
}

// AuditSearch records who looked into connection records, for what, and why.
func (s *Store) AuditSearch(ctx context.Context, now time.Time, actor string, q admin.Search) error {
	_, err := s.Pool.Exec(ctx, `insert into audit (at, actor, act, subject, result, detail)
		values ($1, $2, 'connections.search', $3, 'done', jsonb_build_object('reason', $4::text, 'found', $5::int))`,
		now, actor, q.Subject, q.Reason, q.Found)
	if err != nil {
		return fmt.Errorf("recording a search in the audit: %w", err)
	}
	return nil
}

// Searches of connection records, the latest first.
func (s *Store) Searches(ctx context.Context, limit int) ([]admin.Search, error) {
	rows, err := s.Pool.Query(ctx, `select at, actor, subject, coalesce(detail->>'reason', ''), coalesce((detail->>'found')::int, 0)
		from audit where act = 'connections.search' order by id desc limit $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading searches: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (q admin.Search, err error) {
		err = r.Scan(&q.At, &q.Actor, &q.Subject, &q.Reason, &q.Found)
		q.At = q.At.UTC()
		return q, err
	})
}
