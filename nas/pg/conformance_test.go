package pg_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/pg"
	"enlace/postgres/pgtest"
)

// TestConformanceIsKept: sightings of two nodes add up, a regression appears, is acknowledged, and goes.
func TestConformanceIsKept(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	d := device("bras-a", "192.0.2.1/32")
	d.Site.Model = "RB 7.15"
	if err := s.CreateDevice(ctx, "staff:ana", now, &d); err != nil {
		t.Fatal(err)
	}
	changes := func() (n int) {
		if err := s.Pool.QueryRow(ctx, `select count(*) from change where tbl = 'device'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := now
	see := func(n int64, sight nas.Sight) nas.Finding {
		t.Helper()
		at = at.Add(time.Minute)
		stored, err := s.AddSightings(ctx, at, map[nas.DeviceID]nas.Sightings{d.ID: {sight: {N: n, Value: 8, At: at}}})
		if err != nil || len(stored) != 1 {
			t.Fatal(stored, err)
		}
		if d, err = s.Device(ctx, d.ID); err != nil {
			t.Fatal(err)
		}
		return d.Conformance.Of(nas.CheckClass)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range 5 {
				if _, err := s.AddSightings(ctx, at, map[nas.DeviceID]nas.Sightings{d.ID: {nas.SawClassEcho: {N: 5, At: at}}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	f := see(10, nas.SawClassEcho)
	if f.Result != nas.Good || fmt.Sprint(f.Facts) != "[{echoed 60 }]" || f.GoodModel != "RB 7.15" || !f.At.Equal(at) {
		t.Fatalf("sixty: %+v", f)
	}
	told := changes()
	if see(10, nas.SawClassEcho); changes() != told {
		t.Error("nodes are told of what is as it was")
	}
	d.Site.Model = "RB 7.16"
	if err := s.UpdateDevice(ctx, "staff:ana", at, &d); err != nil {
		t.Fatal(err)
	}
	told = changes()
	f = see(60, nas.SawClassNone)
	if f.Result != nas.Bad || !f.Regressed() || f.GoodModel != "RB 7.15" || f.Model != "RB 7.16" || changes() != told+1 {
		t.Fatalf("a regression: %+v", f)
	}
	if err := s.AcknowledgeRegression(ctx, "staff:ana", at, d.ID, nas.CheckInterim); kind(err) != contracts.NotFound {
		t.Error(err)
	}
	if err := s.AcknowledgeRegression(ctx, "staff:ana", at, d.ID, nas.CheckClass); err != nil {
		t.Fatal(err)
	}
	if err := s.AcknowledgeRegression(ctx, "staff:ana", at, d.ID, nas.CheckClass); kind(err) != contracts.NotFound {
		t.Errorf("twice: %v", err)
	}
	if f = see(10, nas.SawClassNone); f.Regressed() || f.AcknowledgedBy != "staff:ana" || f.Result != nas.Bad {
		t.Fatalf("acknowledged: %+v", f)
	}
	if f = see(200, nas.SawClassEcho); f.Result != nas.Good || !f.RegressedAt.IsZero() || f.AcknowledgedBy != "" {
		t.Fatalf("good again: %+v", f)
	}

	if err := s.AddFindings(ctx, at, d.ID, []nas.Finding{{Check: nas.CheckReach, Result: nas.Good, Form: "answers", Facts: []nas.Fact{{Form: "answers", Value: "192.0.2.1:3799"}}}}); err != nil {
		t.Fatal(err)
	}
	see(3, nas.SawNoEffect)
	if f := d.Conformance.Of(nas.CheckEffect); f.Result != nas.Bad {
		t.Fatalf("without effect: %+v", f)
	}
	if err := s.AddFindings(ctx, at, d.ID, []nas.Finding{{Check: nas.CheckReach, Result: nas.Good, Form: "answers", Facts: []nas.Fact{{Form: "answers", Value: "192.0.2.1:3799"}}}}); err != nil {
		t.Fatal(err)
	}
	see(1, nas.SawClassEcho)
	if f := d.Conformance.Of(nas.CheckEffect); f.Result != nas.Unseen {
		t.Errorf("a probe did not forget it: %+v", f)
	}
	want := nas.Choice{Identify: "session_id", Rates: "disconnect", Wall: "auto", Class: "no"}
	if err := s.SetChoice(ctx, "staff:ana", at, d.ID, nas.Choice{Identify: "session_id", Rates: "disconnect", Class: "no"}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetChoice(ctx, "staff:ana", at, d.ID, nas.Choice{Rates: "api"}); kind(err) != contracts.Invalid {
		t.Error(err)
	}
	if err := s.SetChoice(ctx, "staff:ana", at, 999, nas.Choice{}); kind(err) != contracts.NotFound {
		t.Error(err)
	}
	list, err := s.Devices(ctx)
	if err != nil || len(list) != 1 || list[0].Conformance.Choice != want || list[0].Conformance.Findings[0].Check != nas.CheckReach || len(list[0].Conformance.Findings) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := s.ObserveAnew(ctx, "staff:ana", at, d.ID); err != nil {
		t.Fatal(err)
	}
	if d, err = s.Device(ctx, d.ID); err != nil || len(d.Conformance.Findings) != 0 || d.Conformance.Choice != want {
		t.Errorf("anew: %+v, %v", d.Conformance, err)
	}
	if err := s.RetireDevice(ctx, "staff:ana", at, d.ID); err != nil {
		t.Fatal(err)
	}
	if stored, err := s.AddSightings(ctx, at, map[nas.DeviceID]nas.Sightings{d.ID: {nas.SawOn: {N: 1, At: at}}}); err != nil || len(stored) != 1 {
		t.Errorf("what was seen of a device that is retired since: %v, %v", stored, err)
	}
}

// TestProbesAreTakenOnce: of two nodes one takes a probe, and a device is probed once at a time.
func TestProbesAreTakenOnce(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	d := device("bras-a", "192.0.2.1/32")
	if err := s.CreateDevice(ctx, "staff:ana", now, &d); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.LastProbe(ctx, d.ID); ok || err != nil {
		t.Fatal(ok, err)
	}
	p := nas.Probe{Device: d.ID, Actor: "staff:ana", SessionID: "\x00\xff", TryLogin: "trial@isp"}
	if err := s.AskProbe(ctx, now, &p); err != nil {
		t.Fatal(err)
	}
	again := nas.Probe{Device: d.ID, Actor: "staff:bia"}
	if err := s.AskProbe(ctx, now, &again); kind(err) != contracts.Conflict {
		t.Errorf("at the same time: %v", err)
	}
	if err := s.AskProbe(ctx, now, &nas.Probe{Device: 999, Actor: "staff:ana"}); kind(err) != contracts.NotFound {
		t.Error(err)
	}
	taken := make(chan nas.Probe, 8)
	var nodes sync.WaitGroup
	for i := range 8 {
		nodes.Go(func() {
			got, ok, err := s.TakeProbe(ctx, fmt.Sprint("node ", i))
			if err != nil {
				t.Error(err)
			}
			if ok {
				taken <- got
			}
		})
	}
	nodes.Wait()
	if len(taken) != 1 {
		t.Fatalf("%d nodes took it", len(taken))
	}
	if got := <-taken; got.ID != p.ID || got.SessionID != "\x00\xff" || got.TryLogin != "trial@isp" || got.TakenAt.IsZero() || !got.EndedAt.IsZero() {
		t.Errorf("%+v", got)
	}
	if err := s.EndProbe(ctx, p.ID, nas.NoteNoSession); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.LastProbe(ctx, d.ID); err != nil || !ok || got.ID != p.ID || got.EndedAt.IsZero() || got.Note != nas.NoteNoSession {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	if err := s.AskProbe(ctx, now, &again); err != nil || again.ID <= p.ID {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := s.Pool.Exec(ctx, `update device_probe set asked_at = asked_at - interval '1 hour' where id = $1`, int64(again.ID)); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.TakeProbe(ctx, "late"); ok || err != nil {
		t.Errorf("an old one was taken: %+v, %v", got, err)
	}
	if _, err := s.Probe(ctx, 999); kind(err) != contracts.NotFound {
		t.Error(err)
	}
}
