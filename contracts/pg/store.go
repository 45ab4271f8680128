// Package pg keeps customers, plans, contracts, facts and rules in PostgreSQL, and performs the acts on a contract: each
// is one transaction that evaluates the guards under the contract's lock and appends the fact.
package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/contracts"
)

// Sealer encrypts what must be recoverable and yet unreadable in the database.
type Sealer interface {
	Seal(plain []byte) []byte
	Open(sealed []byte) ([]byte, error)
}

// Store is the contracts' part of the database.
type Store struct {
	Pool   *pgxpool.Pool
	Sealer Sealer
}

// Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Audit records who did what, in the caller's transaction. result is "done" or the code of the refusal.
func Audit(ctx context.Context, tx pgx.Tx, now time.Time, actor, act, subject, result string, detail any) error {
	b, err := json.Marshal(detail)
	if err != nil || detail == nil {
		b = []byte("{}")
	}
	_, err = tx.Exec(ctx, `insert into audit (at, actor, act, subject, result, detail) values ($1, $2, $3, $4, $5, $6)`,
		now, actor, act, subject, result, b)
	if err != nil {
		return fmt.Errorf("recording %s in the audit: %w", act, err)
	}
	return nil
}

// inTx runs do in a transaction of its own.
func (s *Store) inTx(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.Pool, do)
}

// conflictOn turns a violated unique constraint into a Conflict with the given code.
func conflictOn(err error, constraint, code, format string, args ...any) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == "23505" && pe.ConstraintName == constraint {
		return contracts.Conflictf(code, format, args...)
	}
	return err
}
