package pg_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"enlace/contracts"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// BenchmarkStore stores batches as large as the drain's: sessions of different subscribers that start, go on, and stop.
func BenchmarkStore(b *testing.B) {
	const size = 5000
	for _, kind := range []struct {
		name string
		kind radius.Kind
	}{{"Start", radius.KindStart}, {"Interim", radius.KindInterim}, {"Stop", radius.KindStop}} {
		b.Run(kind.name, func(b *testing.B) {
			pool := pgtest.New(b)
			logins := make([]string, b.N*size)
			for i := range logins {
				logins[i] = fmt.Sprintf("user%d", i)
			}
			signed(b, pool, "America/Sao_Paulo", logins...)
			if _, err := pool.Exec(context.Background(), `analyze`); err != nil {
				b.Fatal(err)
			}
			s := pg.NewStore(pool)
			store := func(kind radius.Kind, n, step int) {
				records := make([]radius.Record, size)
				for i := range records {
					who := (n*size + i) * 7919 % len(logins)
					r := rec(kind, fmt.Sprintf("%026d", who), step, step, uint64(step)*1000)
					r.Login, r.Cookie.Access = logins[who], contracts.AccessID(who+1)
					r.FramedIP, r.FramedIPv6 = netip.AddrFrom4([4]byte{100, byte(64 + who>>16), byte(who >> 8), byte(who)}), nil
					records[i] = r
				}
				if _, err := s.Store(context.Background(), radius.Batch{Node: "n", Records: records}); err != nil {
					b.Fatal(err)
				}
			}
			for step, before := range []radius.Kind{radius.KindStart, radius.KindInterim} {
				if before == kind.kind {
					break
				}
				for n := range b.N {
					store(before, n, step*300)
				}
			}
			b.ResetTimer()
			for n := range b.N {
				store(kind.kind, n, int(kind.kind)*300)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/record")
		})
	}
}
