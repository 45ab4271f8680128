package pg_test

import (
	"context"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/pg"
	"enlace/postgres/pgtest"
)

func TestPauses(t *testing.T) {
	ctx := context.Background()
	pool := pgtest.New(t)
	s := &pg.Store{Pool: pool, Sealer: turned{}}
	d := device("bras-a", "192.0.2.1/32")
	if err := s.CreateDevice(ctx, "staff:ana", now, &d); err != nil {
		t.Fatal(err)
	}
	expect := func(want ...nas.Pause) {
		t.Helper()
		got, err := s.Pauses(ctx)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%+v, %v", got, err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%+v, want %+v", got[i], want[i])
			}
		}
	}
	do := func(act func(context.Context, string, time.Time, nas.DeviceID) error, actor string, at time.Time, id nas.DeviceID) {
		t.Helper()
		if err := act(ctx, actor, at, id); err != nil {
			t.Fatal(err)
		}
	}
	marks := func() (n int) {
		t.Helper()
		if err := pool.QueryRow(ctx, `select count(*) from change where tbl = 'pause'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	expect()
	do(s.PauseCommands, "staff:ana", now, d.ID)
	do(s.PauseCommands, "token:erp", now.Add(time.Hour), 0)
	do(s.PauseCommands, "staff:bia", now.Add(2*time.Hour), d.ID) // it is paused already
	all, one := nas.Pause{Since: now.Add(time.Hour), Actor: "token:erp"}, nas.Pause{Device: d.ID, Since: now, Actor: "staff:ana"}
	expect(all, one)
	if n := marks(); n != 2 {
		t.Errorf("%d marks for the nodes", n)
	}
	do(s.ResumeCommands, "staff:bia", now, 0)
	do(s.ResumeCommands, "staff:bia", now, 0)
	expect(one)
	do(s.ResumeCommands, "staff:bia", now, d.ID)
	expect()
	if got := kind(s.PauseCommands(ctx, "staff:ana", now, 4711)); got != contracts.NotFound {
		t.Errorf("a device that is not known: %v", got)
	}
	var acts string
	if err := pool.QueryRow(ctx, `select string_agg(actor || ' ' || act || ' ' || subject, '; ' order by id) from audit where act like 'network.%'`).Scan(&acts); err != nil {
		t.Fatal(err)
	}
	if want := "staff:ana network.pause device:1; token:erp network.pause device:all; staff:bia network.resume device:all; staff:bia network.resume device:1"; acts != want {
		t.Errorf("audit: %s", acts)
	}
	if n := marks(); n != 4 {
		t.Errorf("%d marks for the nodes", n)
	}
}

// TestAnAPICommandIsStored with the reason as it is known last.
func TestAnAPICommandIsStored(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	c := nas.CommandRecord{ID: 5, Session: nas.SessionKey{Device: 7, ID: "a"}, Login: "ana", Method: nas.ViaAPI, Want: "FULL 1M/1M", Reason: "because",
		Actor: "system", RequestedAt: now, SentAt: now}
	if err := s.SaveCommands(ctx, []nas.CommandRecord{c}); err != nil {
		t.Fatal(err)
	}
	c.Answer, c.AnsweredAt, c.Evidence, c.ConfirmedAt = nas.Acked, now.Add(time.Second), nas.EvidenceInterim, now.Add(time.Minute)
	if err := s.SaveCommands(ctx, []nas.CommandRecord{c}); err != nil {
		t.Fatal(err)
	}
	c.Reason, c.Evidence, c.ConfirmedAt = "because; without effect", nas.EvidenceIgnored, now.Add(time.Hour)
	if err := s.SaveCommands(ctx, []nas.CommandRecord{c}); err != nil {
		t.Fatal(err)
	}
	got, err := s.CommandsOf(ctx, "ana", 0)
	if err != nil || len(got) != 1 || got[0] != c {
		t.Errorf("%+v, %v", got, err)
	}
}
