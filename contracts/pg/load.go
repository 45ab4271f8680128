package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"enlace/contracts"
)

// Loaded is a contract with what decides its timeline and what its accesses log in with.
type Loaded struct {
	Contract  contracts.Contract
	Facts     []contracts.Fact
	Passwords [][]byte // opened, parallel to Contract.Accesses
}

// unreadMost is how many contracts in a row, from the first on, may be unreadable before the fault is taken to lie not in
// them.
const unreadMost = 100

// pagePatience is far more than a page takes.
const pagePatience = time.Minute

// pageSize bounds how many contracts are in memory at once while loading.
const pageSize = 5000

// LoadAll hands over every contract, in the order of numbers, within the caller's transaction (REPEATABLE READ, so that
// the pages belong together). A contract that cannot be read is told to skip, with the reason, and the others go on;
// only where nothing at all can be read, as with another key, that is an error.
func (s *Store) LoadAll(ctx context.Context, tx pgx.Tx, take func(*Loaded) error, skip func(contracts.ContractID, error)) error {
	var after contracts.ContractID
	taken := 0
	for {
		var ids []int64
		rows, err := tx.Query(ctx, `select id from contract where id > $1 order by id limit $2`, after, pageSize)
		if err != nil {
			return fmt.Errorf("loading contracts: %w", err)
		}
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return fmt.Errorf("loading contracts: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		unread := 0
		var last error
		err = s.loadReadable(ctx, tx, ids, func(l *Loaded) error { taken++; return take(l) }, func(id contracts.ContractID, err error) error {
			unread, last = unread+1, err
			if taken == 0 && unread >= unreadMost {
				return fmt.Errorf("none of the first %d contracts can be read: %w", unread, err)
			}
			skip(id, err)
			return nil
		})
		if err != nil {
			return err
		}
		if taken == 0 && unread > 0 {
			return fmt.Errorf("none of the first %d contracts can be read: %w", unread, last)
		}
		after = contracts.ContractID(ids[len(ids)-1])
	}
}

// loadReadable finds what cannot be read by halving.
func (s *Store) loadReadable(ctx context.Context, tx pgx.Tx, ids []int64, take func(*Loaded) error, skip func(contracts.ContractID, error) error) error {
	page, err := s.loadPage(ctx, tx, `id = any($1) order by id`, ids)
	if err == nil {
		for i := range page {
			if err := take(&page[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var refused *pgconn.PgError
	if ctx.Err() != nil || tx.Conn().IsClosed() || errors.As(err, &refused) { // not what is stored in one row
		return err
	}
	if len(ids) == 1 {
		return skip(contracts.ContractID(ids[0]), err)
	}
	half := len(ids) / 2
	if err := s.loadReadable(ctx, tx, ids[:half], take, skip); err != nil {
		return err
	}
	return s.loadReadable(ctx, tx, ids[half:], take, skip)
}

// Load hands back the contracts named; those that do not exist are left out.
func (s *Store) Load(ctx context.Context, ids []int64) ([]Loaded, error) {
	var page []Loaded
	err := pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		page, err = s.loadPage(ctx, tx, `id = any($1) order by id`, ids)
		return err
	})
	return page, err
}

func (s *Store) loadPage(ctx context.Context, q Querier, where string, args ...any) ([]Loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, pagePatience)
	defer cancel()
	rows, err := q.Query(ctx, `select `+contractColumns+` from contract where `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("loading contracts: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanContract)
	if err != nil {
		return nil, fmt.Errorf("loading contracts: %w", err)
	}
	page := make([]Loaded, len(list))
	at := make(map[contracts.ContractID]*Loaded, len(list))
	ids := make([]int64, len(list))
	for i := range list {
		page[i].Contract = list[i]
		at[list[i].ID], ids[i] = &page[i], int64(list[i].ID)
	}
	if err := s.loadAccesses(ctx, q, ids, at); err != nil {
		return nil, err
	}
	rows, err = q.Query(ctx, `select `+factColumns+` from fact where contract_id = any($1) order by contract_id, at, id`, ids)
	if err != nil {
		return nil, fmt.Errorf("loading facts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		f, err := scanFact(rows)
		if err != nil {
			return nil, fmt.Errorf("loading facts: %w", err)
		}
		l := at[f.ContractID]
		l.Facts = append(l.Facts, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("loading facts: %w", err)
	}
	return page, nil
}

func (s *Store) loadAccesses(ctx context.Context, q Querier, ids []int64, at map[contracts.ContractID]*Loaded) error {
	rows, err := q.Query(ctx, `select contract_id, id, login, password_sealed from access where contract_id = any($1) order by id`, ids)
	if err != nil {
		return fmt.Errorf("loading accesses: %w", err)
	}
	var id contracts.ContractID
	var a contracts.Access
	var sealed []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &a.ID, &a.Login, &sealed}, func() error {
		password, err := s.Sealer.Open(sealed)
		if err != nil {
			return fmt.Errorf("opening the password of access %d: %w", a.ID, err)
		}
		l := at[id]
		l.Contract.Accesses = append(l.Contract.Accesses, a)
		l.Passwords = append(l.Passwords, password)
		return nil
	})
	if err != nil {
		return fmt.Errorf("loading accesses: %w", err)
	}
	return readLines(ctx, q, ids, func(id contracts.ContractID, access contracts.AccessID) *contracts.Access {
		if l := at[id]; l != nil {
			return accessOf(&l.Contract, access)
		}
		return nil
	})
}
