package pg

import (
	"strings"
	"testing"
	"time"
	"enlace/billing"
	"enlace/contracts"
)

func TestExplain(t *testing.T) {
	f := found(t)
	grow(f, 100000)
	if _, err := f.store.Pool.Exec(f.ctx, `insert into invoice (number, contract_id, kind, period, issued_at, due, principal_cents)
		select 'X' || id || '-' || m, id, 'monthly', daterange('2026-01-15'::date + 30*m, '2026-01-15'::date + 30*(m+1)), now(), '2026-01-15'::date + 30*(m+1), 100 from contract, generate_series(0, 5) m`); err != nil {
		t.Fatal(err)
	}
	f.store.Pool.Exec(f.ctx, `vacuum analyze`)
	var st, en [31]time.Time
	for i := range st {
		c := billing.CycleAt(day("2026-07-15"), i+1, contracts.Postpaid)
		st[i], en[i] = *sqlDate(c.From), *sqlDate(c.Until)
	}
	for range 2 {
		rows, err := f.store.Pool.Query(f.ctx, "explain (analyze, buffers) "+candidateQuery, st[:], en[:], sqlDate(day("2026-07-05")))
		f.must(err)
		var out []string
		for rows.Next() {
			var s string
			rows.Scan(&s)
			out = append(out, s)
		}
		f.must(rows.Err())
		t.Log("\n" + strings.Join(out, "\n"))
	}
}
