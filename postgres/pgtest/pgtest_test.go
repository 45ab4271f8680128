package pgtest

import (
	"context"
	"testing"
)

func TestDatabases(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := New(t)
			var n int
			if err := pool.QueryRow(context.Background(), `select count(*) from change`).Scan(&n); err != nil || n != 0 {
				t.Fatalf("%d changes in a new database, %v", n, err)
			}
			if _, err := pool.Exec(context.Background(), `insert into change (tbl, key) values ('plan', 1)`); err != nil {
				t.Fatal(err)
			}
			if pool.Config().ConnString() != URL(t) {
				t.Fatal("one test has two databases")
			}
		})
	}
}
