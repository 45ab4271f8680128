package pg

import "testing"

// BenchmarkIssue issues one invoice per operation.
func BenchmarkIssue(b *testing.B) {
	f := found(b)
	grow(f, b.N)
	b.ResetTimer()
	f.run("2026-01-31 06:00", b.N)
}

// BenchmarkIdleRun looks at 20,000 contracts of which none is due.
func BenchmarkIdleRun(b *testing.B) {
	f := found(b)
	grow(f, 20000)
	for b.Loop() {
		f.run("2026-01-20 06:00", 0)
	}
}

func grow(f *company, n int) {
	f.Helper()
	_, err := f.store.Pool.Exec(f.ctx, `insert into contract (customer_id, plan_id, zone, created_at, due_day, timing, billing_anchor)
		select $1, $2, 'America/Sao_Paulo', $3, 10, 'postpaid', '2026-01-15' from generate_series(1, $4)`,
		f.customer, f.basic, at("2026-01-15 10:00"), n)
	f.must(err)
	_, err = f.store.Pool.Exec(f.ctx, `analyze contract`)
	f.must(err)
}
