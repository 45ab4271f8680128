package pg

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

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

// LoadAll hands over every contract as the caller's transaction sees them (REPEATABLE READ), in no order: several
// connections read at once, and take and skip are called from several goroutines at once. A contract that cannot be read
// is told to skip, with the reason, and the others go on; only where nothing at all can be read, as with another key, is
// that an error.
func (s *Store) LoadAll(ctx context.Context, tx pgx.Tx, take func(*Loaded) error, skip func(contracts.ContractID, error)) error {
	rows, err := tx.Query(ctx, `select min(id), max(id) from
		(select id, (row_number() over (order by id) - 1) / $1 as page from contract) pages group by page order by page`, pageSize)
	if err != nil {
		return fmt.Errorf("loading contracts: %w", err)
	}
	pages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pageRange])
	if err != nil {
		return fmt.Errorf("loading contracts: %w", err)
	}
	var sees string
	if err := tx.QueryRow(ctx, `select pg_export_snapshot()`).Scan(&sees); err != nil {
		return fmt.Errorf("loading contracts: %w", err)
	}
	l := &loader{store: s, take: take, skip: skip, pages: pages}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.work(ctx, tx) })
	for range min(runtime.GOMAXPROCS(0), loadersMost, len(pages)) - 1 {
		group.Go(func() error {
			return pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
				// The name comes from the server and is hexadecimal and dashes; SET takes no parameters.
				if _, err := tx.Exec(ctx, `set transaction snapshot '`+sees+`'`); err != nil {
					return fmt.Errorf("loading contracts: %w", err)
				}
				return l.work(ctx, tx)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if l.taken.Load() == 0 && l.unread.Load() > 0 {
		return fmt.Errorf("none of the %d contracts can be read: %w", l.unread.Load(), *l.why.Load())
	}
	return nil
}

// loadersMost bounds the connections that load at once.
const loadersMost = 4

// pageRange is the numbers of a page's first and last contracts.
type pageRange struct{ First, Last int64 }

// loader shares pages out.
type loader struct {
	store         *Store
	take          func(*Loaded) error
	skip          func(contracts.ContractID, error)
	pages         []pageRange
	next          atomic.Int64
	taken, unread atomic.Int64
	why           atomic.Pointer[error] // the first that could not be read could not
}

// work loads pages until there are none left.
func (l *loader) work(ctx context.Context, tx pgx.Tx) error {
	for {
		i := l.next.Add(1) - 1
		if i >= int64(len(l.pages)) {
			return nil
		}
		if err := l.load(ctx, tx, l.pages[i].First, l.pages[i].Last); err != nil {
			return err
		}
	}
}

// load takes the contracts in a range of numbers, and finds those that cannot be read by halving it.
func (l *loader) load(ctx context.Context, tx pgx.Tx, first, last int64) error {
	page, err := l.store.loadPage(ctx, tx, `id between $1 and $2 order by id`, first, last)
	if err == nil {
		l.taken.Add(int64(len(page)))
		for i := range page {
			if err := l.take(&page[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var refused *pgconn.PgError
	if ctx.Err() != nil || tx.Conn().IsClosed() || errors.As(err, &refused) { // not what is stored in one row
		return err
	}
	if first == last {
		if n := l.unread.Add(1); n >= unreadMost && l.taken.Load() == 0 {
			return fmt.Errorf("none of the first %d contracts can be read: %w", n, err)
		}
		l.why.CompareAndSwap(nil, &err)
		l.skip(contracts.ContractID(first), err)
		return nil
	}
	middle := first + (last-first)/2
	if err := l.load(ctx, tx, first, middle); err != nil {
		return err
	}
	return l.load(ctx, tx, middle+1, last)
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
