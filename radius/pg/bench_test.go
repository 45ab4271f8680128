package pg_test

import (
	"context"
	"fmt"
	"testing"

	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// BenchmarkStore stores batches of 1,000 records: sessions that start, go on, and stop.
func BenchmarkStore(b *testing.B) {
	for _, kind := range []struct {
		name string
		kind radius.Kind
	}{{"Start", radius.KindStart}, {"Interim", radius.KindInterim}, {"Stop", radius.KindStop}} {
		b.Run(kind.name, func(b *testing.B) {
			s := pg.NewStore(pgtest.New(b))
			batch := func(kind radius.Kind, n, step int) []radius.Record {
				records := make([]radius.Record, 1000)
				for i := range records {
					records[i] = rec(kind, fmt.Sprint((n*1000+i)*7919%1_000_003), step, step, uint64(step))
				}
				return records
			}
			store := func(records []radius.Record) {
				if _, err := s.Store(context.Background(), radius.Batch{Node: "n", Records: records}); err != nil {
					b.Fatal(err)
				}
			}
			if kind.kind != radius.KindStart {
				for n := range b.N {
					store(batch(radius.KindStart, n, 0))
				}
			}
			b.ResetTimer()
			for n := range b.N {
				store(batch(kind.kind, n, 300))
			}
			b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
