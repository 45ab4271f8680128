package pg_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"enlace/postgres"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// BenchmarkWhoHad asks who had an address among a million connection records of thirteen months, or as many millions as
// ENLACE_BENCH_MILLIONS says, in a cluster under ENLACE_BENCH_DIR (default: in memory) that is removed afterwards.
// Each session has three: an address of 100.64.0.0/10, a block of a public address that 63 share, and a delegated
// /56. Most last a day; one in a hundred lasts ninety days.
func BenchmarkWhoHad(b *testing.B) {
	millions := 1.0
	if text := os.Getenv("ENLACE_BENCH_MILLIONS"); text != "" {
		var err error
		if millions, err = strconv.ParseFloat(text, 64); err != nil {
			b.Fatal(err)
		}
	}
	cluster := pgtest.NewCluster(b, func(c *postgres.ClusterConfig) {
		if dir := os.Getenv("ENLACE_BENCH_DIR"); dir != "" {
			c.DataDir = dir
		}
		c.Settings = map[string]string{"max_wal_size": "4GB", "maintenance_work_mem": "1GB", "wal_level": "minimal",
			"max_wal_senders": "0", "shared_buffers": "2GB", "autovacuum": "off"}
	})
	ctx := context.Background()
	url := cluster.URL("enlace")
	if _, _, err := postgres.Migrate(ctx, url, zerolog.Nop()); err != nil {
		b.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	const months, days = 13, 30
	subscribers := int(millions * 1e6 / months / days / 3)
	begun := time.Now()
	for m := range months {
		first := time.Date(2026, time.Month(1+m), 1, 0, 0, 0, 0, time.UTC)
		name := "connection_record_" + first.Format("2006_01")
		if _, err := pool.Exec(ctx, fmt.Sprintf(`
			create table %[1]s (like connection_record including defaults including constraints);
			insert into %[1]s
			select 1 + a %% 40, s.from_at, 1 + (a * 7919 + d) %% %[4]d, s.from_at, s.until_at, null, null, k.port_from, k.port_to, true, k.address,
				k.kind, 'stop', to_hex(d * 1000000 + a), 'cliente' || (a * 7919 + d) %% %[4]d || '@provedor.example', '02:00:00:00:00:00', 'ge-0/0/1:' || a %% 4000
			from generate_series(0, %[5]d - 1) d, generate_series(0, %[4]d - 1) a,
				lateral (select '%[2]s'::timestamptz + d * interval '22 hours' + (a * 31 %% 70000) * interval '1 second' as until_at) u,
				lateral (select u.until_at - case when (a + d) %% 100 = 0 then interval '90 days' else interval '21 hours' end as from_at, u.until_at) s,
				lateral (values ('ipv4', '100.64.0.0'::inet + a, 0, 65535),
					('nat', '203.0.0.0'::inet + a / 63, 1024 + a %% 63 * 1024, 2047 + a %% 63 * 1024),
					('ipv6_delegated', ('2001:db8:' || to_hex(a >> 8) || ':' || to_hex((a & 255) << 8) || '::/56')::inet, 0, 65535)) k (kind, address, port_from, port_to);
			alter table connection_record attach partition %[1]s for values from ('%[2]s') to ('%[3]s');
			analyze %[1]s`, name, first.Format(time.RFC3339), first.AddDate(0, 1, 0).Format(time.RFC3339), subscribers, days)); err != nil {
			b.Fatal(err)
		}
		b.Logf("%s: %s after %s", name, first.Format("2006-01"), time.Since(begun).Round(time.Second))
		fmt.Fprintln(os.Stderr, name, time.Since(begun).Round(time.Second))
	}
	var rows, heap, indexes int64
	if err := pool.QueryRow(ctx, `select sum(c.reltuples)::bigint, sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint
		from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'connection_record'::regclass`).Scan(&rows, &heap, &indexes); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d rows, %.1f GB, indexes %.1f GB, loaded in %s", rows, float64(heap)/1e9, float64(indexes)/1e9, time.Since(begun).Round(time.Second))
	s := pg.NewStore(pool)
	random := rand.New(rand.NewPCG(1, 2))
	ask := func(what string) time.Duration {
		a := random.IntN(subscribers)
		q := radius.AddressQuestion{Port: -1, At: time.Date(2026, 1, 2, 0, 0, random.IntN(390*86400), 0, time.UTC)}
		switch what {
		case "address":
			q.Address = netip.AddrFrom4([4]byte{100, byte(64 + a>>16), byte(a >> 8), byte(a)})
		case "IPv6 in its /56":
			q.Address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(a >> 16), byte(a >> 8), byte(a), 0x12, 15: 1})
		default:
			q.Address = netip.AddrFrom4([4]byte{203, byte(a / 63 >> 16), byte(a / 63 >> 8), byte(a / 63)})
			if what == "public address and port" {
				q.Port = 1024 + a%63*1024 + random.IntN(1024)
			}
		}
		began := time.Now()
		if _, _, err := s.WhoHad(ctx, q); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	for _, what := range []string{"address", "IPv6 in its /56", "public address and port", "public address"} {
		b.Run(what, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)
			for range b.N {
				took = append(took, ask(what))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
		})
	}
}
