package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/postgres"
	"enlace/postgres/pgtest"
)

func TestSeed(t *testing.T) {
	url, dir := pgtest.URL(t), t.TempDir()
	seed := func(more ...string) (int, string, string) {
		return command(t, append([]string{"seed", "--database-url", url, "--data-dir", dir, "--clock", "2026-03-01T09:00:00-03:00"}, more...)...)
	}
	if code, out, errOut := seed("--subscribers", "1000"); code != 0 || !strings.HasPrefix(out, "1000 subscribers in ") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := seed("--subscribers", "10", "--login", "x%d", "--password", "secret-%d", "--zone", "America/Manaus"); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := seed("--subscribers", "5", "--login", "y%d", "--plan-down", "1G", "--plan-up", "512k", "--plan-price", "149.00"); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	// The same logins again: nothing is half done.
	if code, _, errOut := seed("--subscribers", "1001"); code != 1 || !strings.Contains(errOut, "taken") {
		t.Fatalf("exit %d\n%s", code, errOut)
	}

	ctx := context.Background()
	pool, err := postgres.Open(ctx, url, postgres.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	key, err := openSealer(&Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	store := &contractspg.Store{Pool: pool, Sealer: key}
	logins := map[string]string{}
	plans, zones := map[contracts.PlanID]int{}, map[string]int{}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		var mu sync.Mutex
		return store.LoadAll(ctx, tx, func(l *contractspg.Loaded) error {
			mu.Lock()
			defer mu.Unlock()
			logins[l.Contract.Accesses[0].Login] = string(l.Passwords[0])
			plans[l.Contract.PlanID]++
			zones[l.Contract.Zone.String()]++
			life := contracts.Timeline(&l.Contract, l.Facts, []contracts.Rules{contractspg.DefaultRules()}, contracts.Options{})
			if s := life.Spans.At(saoPaulo("2026-06-01 10:00")); s.Status != contracts.Active {
				return fmt.Errorf("%s is %s", l.Contract.Accesses[0].Login, s.Status)
			}
			return l.Contract.Validate()
		}, func(id contracts.ContractID, err error) { t.Errorf("contract %d cannot be read: %v", id, err) })
	})
	if err != nil {
		t.Fatal(err)
	}
	for login, password := range map[string]string{"user0000001@isp": "pw0000001", "user0001000@isp": "pw0001000", "x10": "secret-10", "y5": "pw0000005"} {
		if logins[login] != password {
			t.Errorf("%s logs in with %q, want %q", login, logins[login], password)
		}
	}
	if zones["America/Manaus"] != 10 || zones["America/Sao_Paulo"] != 1005 {
		t.Errorf("the contracts are in %v", zones)
	}
	list, err := store.Plans(ctx, saoPaulo("2026-06-01 10:00"))
	if err != nil || len(logins) != 1015 || len(list) != 2 || plans[list[0].ID] != 1010 || plans[list[1].ID] != 5 {
		t.Fatalf("%d logins, plans %+v (%v) with %v contracts", len(logins), list, err, plans)
	}
	if p := list[1]; p.Full != (contracts.Profile{DownBps: 1e9, UpBps: 512e3}) || p.Price != 14900 {
		t.Errorf("the second plan is %+v", p)
	}
	var marked []int64
	rows, err := pool.Query(ctx, `select distinct key from change where tbl = 'contract'`)
	if err != nil {
		t.Fatal(err)
	}
	if marked, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil || len(marked) != 1015 {
		t.Errorf("%d contracts are marked as changed (%v), want 1015", len(marked), err)
	}
}

func TestSeedThatCannotBe(t *testing.T) {
	for _, args := range [][]string{
		{"--subscribers", "0"}, {"--subscribers", "10000001"}, {"--subscribers", "-1"}, {},
		{"--subscribers", "1", "--login", "always the same"}, {"--subscribers", "1", "--login", "%s"}, {"--subscribers", "1", "--login", "%d%d"},
		{"--subscribers", "1", "--login", " %d"}, {"--subscribers", "1", "--login", "%d\t"}, {"--subscribers", "1", "--password", "pw"},
		{"--subscribers", "1", "--login", strings.Repeat("x", 200) + "%d"}, {"--subscribers", "1", "--password", strings.Repeat("x", 128) + "%d"},
		{"--subscribers", "1", "--plan-down", "fast"}, {"--subscribers", "1", "--plan-up", "0"}, {"--subscribers", "1", "--plan-price", "1.234"},
		{"--subscribers", "1", "--zone", "Mars/Olympus"}, {"--subscribers", "1", "--plan-down", "11000G"},
	} {
		// None of these gets as far as the database, which is not there.
		code, out, errOut := command(t, append([]string{"seed", "--database-url", "postgres://127.0.0.1:1/none", "--data-dir", t.TempDir()}, args...)...)
		if code == 0 || out != "" || errOut == "" || strings.Contains(errOut, "127.0.0.1") {
			t.Errorf("%q: exit %d\n%s%s", args, code, out, errOut)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]uint64{"64k": 64e3, "500M": 500e6, "10G": 10e9, "1234567": 1234567, "10000G": contracts.MaxBps} {
		if got, err := parseRate(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "M", "0", "0k", "-1M", "1.5G", "500m", "10001G", "99999999999999999999", "18446744073709551615G", "5 M"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
