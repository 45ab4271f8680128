package pg_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/pg"
	"enlace/postgres/pgtest"
)

func TestCommandsAreFound(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	var all []nas.CommandRecord
	for i, c := range []struct {
		device nas.DeviceID
		login  string
		method nas.Method
		answer nas.Answer
		seen   nas.Evidence
	}{
		{1, "ana", nas.CoA, nas.Acked, nas.EvidenceStop}, {1, "ana", nas.Disconnect, nas.TimedOut, ""}, {1, "b\xff", nas.CoA, nas.Naked, ""},
		{2, "caio", nas.CoA, nas.Unanswered, ""}, {2, "dora", nas.CoA, nas.Unreachable, ""}, {2, "eva", nas.Disconnect, nas.Acked, nas.EvidenceIgnored},
	} {
		rec := nas.CommandRecord{ID: nas.CommandID(100 - i), Session: nas.SessionKey{Device: c.device, ID: "s"}, Login: c.login, Method: c.method,
			Answer: c.answer, RequestedAt: now.Add(time.Duration(i/2) * time.Minute)}
		if c.seen != nas.NoEvidence {
			rec.ConfirmedAt, rec.Evidence = now.Add(time.Hour), c.seen
		}
		all = append(all, rec)
	}
	if err := s.SaveCommands(ctx, all); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		f    nas.CommandFilter
		want string
	}{
		"all, newest first":  {nas.CommandFilter{}, "[96 95 98 97 100 99]"},
		"a device":           {nas.CommandFilter{Device: 2}, "[96 95 97]"},
		"a login":            {nas.CommandFilter{Login: "b\xff"}, "[98]"},
		"a device and login": {nas.CommandFilter{Device: 2, Login: "ana"}, "[]"},
		"a method":           {nas.CommandFilter{Method: nas.Disconnect}, "[95 99]"},
		"an answer":          {nas.CommandFilter{Answer: nas.Acked, Device: 1}, "[100]"},
		"waiting":            {nas.CommandFilter{Waiting: true}, "[97]"},
		"confirmed":          {nas.CommandFilter{Confirmed: true}, "[100]"},
		"without effect":     {nas.CommandFilter{Ignored: true}, "[95]"},
		"a page":             {nas.CommandFilter{Limit: 2}, "[96 95]"},
		"the page after it":  {nas.CommandFilter{Limit: 3, Before: now.Add(2 * time.Minute), BeforeID: 95}, "[98 97 100]"},
		"the rest":           {nas.CommandFilter{Limit: 3, Before: now, BeforeID: 100}, "[99]"},
	} {
		found, err := s.Commands(ctx, c.f)
		ids := []nas.CommandID{}
		for _, r := range found {
			ids = append(ids, r.ID)
		}
		if err != nil || fmt.Sprint(ids) != c.want {
			t.Errorf("%s: %v, %v; want %s", name, ids, err, c.want)
		}
	}
	got, err := s.CommandTallies(ctx, now.Add(time.Minute))
	want := map[nas.DeviceID]nas.CommandTally{1: {Naked: 1}, 2: {Acked: 1, Unreachable: 1, Waiting: 1, Ignored: 1}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the tallies are %+v, %v; want %+v", got, err, want)
	}
	if sum := got[1].Plus(got[2]); sum.Total() != 4 || sum.Ignored != 1 {
		t.Errorf("the sum is %+v", sum)
	}
}
