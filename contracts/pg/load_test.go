package pg

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
)

func TestLoadingIsTheDossier(t *testing.T) {
	h := newHouse(t)
	var ids []int64
	for i := range 7 {
		c := h.debtor()
		ids = append(ids, int64(c.ID))
		if i%2 == 0 {
			err := h.AddAccess(ctx, "test", at("2026-03-12 10:00"), c.ID, &contracts.Access{Login: c.Accesses[0].Login + ".b"}, "b")
			h.must(err)
			d := day("2026-05-01")
			h.record(at("2026-03-12 10:00"), contracts.Fact{ContractID: c.ID, Kind: contracts.SettingsChanged, Settings: &contracts.Settings{NoBlockUntil: &d}})
		}
	}
	same := func(list []Loaded) {
		t.Helper()
		for _, l := range list {
			d, err := h.Dossier(ctx, l.Contract.ID, at("2026-03-12 10:00"))
			h.must(err)
			if !reflect.DeepEqual(l.Contract, *d.Contract) || !reflect.DeepEqual(l.Facts, d.Facts) {
				t.Fatalf("loaded\n%+v\n%+v\ndossier\n%+v\n%+v", l.Contract, l.Facts, *d.Contract, d.Facts)
			}
			if len(l.Passwords) != len(l.Contract.Accesses) || string(l.Passwords[0]) != "secret-"+l.Contract.Accesses[0].Login {
				t.Fatalf("passwords %q", l.Passwords)
			}
		}
	}
	some, err := h.Load(ctx, []int64{ids[5], 4711, ids[1], ids[1]})
	h.must(err)
	if len(some) != 2 || int64(some[0].Contract.ID) != ids[1] || int64(some[1].Contract.ID) != ids[5] {
		t.Fatalf("loaded %d contracts", len(some))
	}
	same(some)
	if none, err := h.Load(ctx, nil); err != nil || len(none) != 0 {
		t.Fatalf("nothing named: %d (%v)", len(none), err)
	}

	var all []Loaded
	h.must(pgx.BeginTxFunc(ctx, h.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select 1`); err != nil {
			return err
		}
		h.sign("2026-03-13 10:00")                                                                         // after the snapshot
		return h.LoadAll(ctx, tx, func(l *Loaded) error { all = append(all, *l); return nil }, h.readable) // one page: one goroutine
	}))
	var got []int64
	for _, l := range all {
		got = append(got, int64(l.Contract.ID))
	}
	if !slices.Equal(got, ids) {
		t.Fatalf("loaded %v, want %v", got, ids)
	}
	same(all)

	other := &Store{Pool: h.Pool, Sealer: mask{0x11}}
	if _, err := other.Load(ctx, ids); err == nil {
		t.Fatal("passwords were opened with another key")
	}
}

// More contracts than a page holds, read over several connections: none is left out, none comes twice, and all are as the
// caller's transaction sees them.
func TestLoadingManyPages(t *testing.T) {
	h := newHouse(t)
	const n = 2*pageSize + 1
	_, err := h.Pool.Exec(ctx, `insert into contract (customer_id, plan_id, zone, created_at, due_day, billing_anchor)
		select $1, $2, 'America/Sao_Paulo', now(), 10, '2026-01-01' from generate_series(1, $3)`, h.customer, h.plan, n)
	h.must(err)
	_, err = h.Pool.Exec(ctx, `insert into access (contract_id, login, password_sealed, created_at) select id, 'many' || id, '\x5a3b', now() from contract`)
	h.must(err)
	var mu sync.Mutex
	seen := map[contracts.ContractID]bool{}
	h.must(pgx.BeginTxFunc(ctx, h.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select 1`); err != nil {
			return err
		}
		if _, err := h.Pool.Exec(ctx, `update contract set due_day = 11 where id = (select max(id) from contract)`); err != nil { // after the snapshot
			return err
		}
		return h.LoadAll(ctx, tx, func(l *Loaded) error {
			mu.Lock()
			defer mu.Unlock()
			if seen[l.Contract.ID] || l.Contract.DueDay != 10 || len(l.Contract.Accesses) != 1 || string(l.Passwords[0]) != "a" {
				t.Errorf("contract %d: %+v", l.Contract.ID, l)
			}
			seen[l.Contract.ID] = true
			return nil
		}, h.readable)
	}))
	if len(seen) != n {
		t.Fatalf("%d contracts, want %d", len(seen), n)
	}
}

// readable is told of contracts that cannot be read where all can.
func (h *house) readable(id contracts.ContractID, err error) {
	h.Errorf("contract %d cannot be read: %v", id, err)
}

// What cannot be read is named, and keeps nothing else from being loaded; a key that opens nothing is an error.
func TestLoadingPassesOverWhatCannotBeRead(t *testing.T) {
	h := newHouse(t)
	var ids []contracts.ContractID
	for range 9 {
		ids = append(ids, h.sign("2026-03-13 10:00").ID)
	}
	_, err := h.Pool.Exec(ctx, `update access set password_sealed = '\x' where contract_id = any($1)`, []int64{int64(ids[0]), int64(ids[5])})
	h.must(err)
	_, err = h.Pool.Exec(ctx, `update contract set zone = 'Nowhere/Land' where id = $1`, ids[8])
	h.must(err)
	load := func(s *Store) (read, unread []contracts.ContractID, err error) {
		err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
			return s.LoadAll(ctx, tx, func(l *Loaded) error { read = append(read, l.Contract.ID); return nil },
				func(id contracts.ContractID, _ error) { unread = append(unread, id) })
		})
		return read, unread, err
	}
	read, unread, err := load(h.Store)
	h.must(err)
	if want := []contracts.ContractID{ids[0], ids[5], ids[8]}; !slices.Equal(unread, want) || len(read) != 6 {
		t.Errorf("unreadable are %v, want %v; read %v", unread, want, read)
	}
	if read, _, err := load(&Store{Pool: h.Pool, Sealer: mask{0x11}}); err == nil || len(read) != 0 {
		t.Errorf("with another key: %v, %v", read, err)
	}
}
