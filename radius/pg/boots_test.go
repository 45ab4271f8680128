package pg_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// TestARestartAfterAnAccountingOn has records from before a device's restart come after it, when the node that heard of it
// has begun anew, and when they come to another node: they open nothing, in memory or in the database.
func TestARestartAfterAnAccountingOn(t *testing.T) {
	pool := pgtest.New(t)
	dir := t.TempDir()
	j := openJournal(t, dir)
	a, sessions := newAccounting(t, j)
	settled := drain(t, j, pg.NewStore(pool), sessions, a)
	var got answers
	since := func(seconds int) time.Time { return t0.Add(time.Duration(seconds-590) * time.Second) }
	on := layeh.New(layeh.CodeAccountingRequest, []byte("secret"))
	_ = rfc2866.AcctStatusType_Add(on, rfc2866.AcctStatusType_Value_AccountingOn)
	_ = rfc2865.NASIdentifier_AddString(on, "bras\x00")
	_ = rfc2869.EventTimestamp_Add(on, since(500))
	boot, err := on.Encode()
	if err != nil {
		t.Fatal(err)
	}
	submit(a, &got, datagram(rfc2866.AcctStatusType_Value_Start, "known", "ana", since(0), 0, 0))
	submit(a, &got, boot)
	got.wg.Wait()
	settled()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	for name, where := range map[string]string{"the same node": dir, "another node": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			j := openJournal(t, where)
			a, sessions := newAccounting(t, j)
			s := pg.NewStore(pool)
			if err := a.Recover(context.Background(), s); err != nil {
				t.Fatal(err)
			}
			settled := drain(t, j, s, sessions, a)
			var got answers
			late := func(kind rfc2866.AcctStatusType, id string, event, seconds int) {
				b := datagram(kind, name+id, "ana", since(event), seconds, 5)
				p, err := layeh.Parse(b, []byte("secret"))
				if err != nil {
					t.Fatal(err)
				}
				_ = rfc2865.NASIdentifier_AddString(p, "bras\x00")
				if b, err = p.Encode(); err != nil {
					t.Fatal(err)
				}
				submit(a, &got, b)
			}
			late(rfc2866.AcctStatusType_Value_Start, "a late Start", 100, 0)
			late(rfc2866.AcctStatusType_Value_InterimUpdate, "a late Interim-Update", 400, 300)
			late(rfc2866.AcctStatusType_Value_Stop, "a late Stop", 450, 300)
			late(rfc2866.AcctStatusType_Value_Start, "after it", 550, 0)
			late(rfc2866.AcctStatusType_Value_InterimUpdate, "lived through it", 580, 300)
			got.wg.Wait()
			settled()
			var open []string
			for s := range sessions.Open {
				if strings.HasPrefix(s.Key.ID, name) {
					open = append(open, s.Key.ID)
				}
			}
			if len(open) != 2 {
				t.Errorf("open in memory: %q", open)
			}
			var stored int
			if err := pool.QueryRow(context.Background(), `select count(*) from session_live where session_id like $1`, name+"%").Scan(&stored); err != nil || stored != 2 {
				t.Errorf("%d are open in the database, %v", stored, err)
			}
		})
	}
}

// TestBootsInTheDatabaseAreFew stores boots of a device that names itself anew each time, by two nodes in turn.
func TestBootsInTheDatabaseAreFew(t *testing.T) {
	pool := pgtest.New(t)
	nodes := []*pg.Store{pg.NewStore(pool), pg.NewStore(pool)}
	put(t, nodes[0], boot(radius.KindOn, 0, ""))
	for i := range 150 {
		put(t, nodes[i%2], boot(radius.KindOn, 10+i, fmt.Sprint("bras-", i)))
	}
	found := map[string]radius.NamedBoot{}
	load := func() {
		clear(found)
		if err := pg.NewStore(pool).LoadBoots(context.Background(), func(n radius.NamedBoot) { found[n.Identifier] = n }); err != nil {
			t.Fatal(err)
		}
	}
	load()
	if len(found) != radius.BootsMost+1 || !found["bras-149"].Boot.At.Equal(at(159)) || found["bras-149"].Boot.By != radius.ClosedByOn || found[""].Boot.At.IsZero() {
		t.Errorf("%d boots, %+v", len(found), found["bras-149"])
	}
	put(t, nodes[0], boot(radius.KindOff, 30*3600, "bras-149"), boot(radius.KindOn, 20, "bras-149"))
	if load(); len(found) != 1 || found["bras-149"].Boot.By != radius.ClosedByOff {
		t.Errorf("a day later: %+v", found)
	}
}
