package routeros

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/nastest"
)

func TestDisconnectEndsTheSession(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	c := w.client()
	line, s := w.login("ana@isp")
	other, _ := w.login("ana@isp") // another session of the same login
	if err := c.Disconnect(context.Background(), w.device.API, s); err != nil {
		t.Fatal(err)
	}
	if line.Online() || !other.Online() {
		t.Fatalf("online: %t, the other: %t", line.Online(), other.Online())
	}
	w.stopped(s.Key.ID)
	if err := c.Disconnect(context.Background(), w.device.API, s); kind(err) != contracts.NotFound {
		t.Fatalf("a session that is gone: %v", err)
	}
}

func TestDisconnectMustBeSeen(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{KeepSession: true})
	line, s := w.login("ana@isp")
	if err := w.client().Disconnect(context.Background(), w.device.API, s); kind(err) != contracts.Conflict {
		t.Fatalf("a session that stays: %v", err)
	}
	w.api.SetQuirks(nastest.RouterOSQuirks{Refuse: "/ppp/active/remove"})
	var refused *Refused
	if err := w.client().Disconnect(context.Background(), w.device.API, s); !errors.As(err, &refused) || !strings.Contains(refused.Message, "permissions") {
		t.Fatalf("a user who may not: %v", err)
	}
	if !line.Online() {
		t.Fatal("the session has ended")
	}
}

func TestSame(t *testing.T) {
	ip := nastestAddr("100.64.0.7")
	s := nas.Session{Key: nas.SessionKey{ID: "81b00044"}, FramedIP: ip}
	for _, c := range []struct {
		r    row
		want bool
	}{
		{row{"session-id": "0x81B00044"}, true},
		{row{"session-id": "81b00044", "address": "192.0.2.1"}, true},
		{row{"session-id": "0x81B00045", "address": "100.64.0.7"}, false},
		{row{"address": "100.64.0.7"}, true},
		{row{"address": "100.64.0.8"}, false},
		{row{}, false},
	} {
		if got := same(c.r, s); got != c.want {
			t.Errorf("%v: %t", c.r, got)
		}
	}
	if same(row{"session-id": "0x81B00045", "address": "100.64.0.7"}, nas.Session{Key: nas.SessionKey{ID: "no number"}, FramedIP: ip}) {
		t.Error("an id that cannot be compared is passed over")
	}
	if same(row{"address": "100.64.0.7"}, nas.Session{}) || same(row{}, nas.Session{}) {
		t.Error("a session that nothing is known of is taken for another")
	}
}

func TestApply(t *testing.T) {
	const (
		full, reduced, walled, reject = contracts.OutcomeFull, contracts.OutcomeReduced, contracts.OutcomeWalled, contracts.OutcomeReject
	)
	for _, c := range []struct {
		name    string
		have    nas.Service
		want    nas.Service
		quirks  nastest.RouterOSQuirks
		stays   bool
		lookFor string
	}{
		{"rates rise", service(full, 50e6, 10e6), service(full, 500e6, 250e6), nastest.RouterOSQuirks{}, true, "/queue/simple/add"},
		{"rates fall", service(full, 50e6, 10e6), service(reduced, 5e6, 1e6), nastest.RouterOSQuirks{}, false, "/ppp/active/remove"},
		{"one rate falls", service(full, 50e6, 10e6), service(full, 500e6, 5e6), nastest.RouterOSQuirks{}, false, "/ppp/active/remove"},
		{"into the garden", service(full, 50e6, 10e6), service(walled, 100e6, 100e6), nastest.RouterOSQuirks{}, false, "/ppp/active/remove"},
		{"out of the garden", service(walled, 1e6, 1e6), service(full, 500e6, 250e6), nastest.RouterOSQuirks{}, false, "/ppp/active/remove"},
		{"off", service(full, 50e6, 10e6), nas.Service{Outcome: reject}, nastest.RouterOSQuirks{}, false, "/ppp/active/remove"},
		{"a queue elsewhere has no effect", service(full, 50e6, 10e6), service(full, 500e6, 250e6), nastest.RouterOSQuirks{QueueLast: true}, false, "/queue/simple/remove"},
		{"queues refused", service(full, 50e6, 10e6), service(full, 500e6, 250e6), nastest.RouterOSQuirks{Refuse: "/queue/simple/add"}, false, "/ppp/active/remove"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false, c.quirks)
			line, s := w.login("ana@isp")
			s.Applied = c.have.Digest()
			if err := w.client().Apply(context.Background(), &w.device, s, c.want); err != nil {
				t.Fatal(err)
			}
			if line.Online() != c.stays {
				t.Fatalf("online: %t", line.Online())
			}
			if c.stays && line.Rates() != c.want.Profile {
				t.Errorf("rates %+v, want %+v", line.Rates(), c.want.Profile)
			}
			if !slices.ContainsFunc(w.api.Said(), func(words []string) bool { return words[0] == c.lookFor }) {
				t.Errorf("no %s among %q", c.lookFor, w.api.Said())
			}
			left := 0
			for _, q := range w.api.Items("/queue/simple") {
				if q["comment"] == queueMark {
					left++
				}
			}
			if (left == 1) != c.stays || left > 1 {
				t.Errorf("%d queues are left", left)
			}
		})
	}
}

// Where a queue cannot be put before the session's own, nothing is left of it.
func TestRaiseLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{QueueLast: true})
	line, s := w.login("ana@isp")
	err := w.client().Raise(context.Background(), w.device.API, s, contracts.Profile{DownBps: 60e6, UpBps: 20e6})
	if !errors.Is(err, errNotRaised) || !line.Online() || len(w.api.Items("/queue/simple")) != 1 {
		t.Fatalf("%v; online %t, queues %v", err, line.Online(), w.api.Items("/queue/simple"))
	}
}

// A session is raised twice; what sessions that ended left behind goes.
func TestRaiseAgain(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	c := w.client()
	gone, s := w.login("bia@isp")
	line, t2 := w.login("ana@isp")
	for _, err := range []error{
		c.Raise(context.Background(), w.device.API, s, contracts.Profile{DownBps: 60e6, UpBps: 20e6}),
		gone.Stop(context.Background(), 1),
		c.Raise(context.Background(), w.device.API, t2, contracts.Profile{DownBps: 100e6, UpBps: 50e6}),
		c.Raise(context.Background(), w.device.API, t2, contracts.Profile{DownBps: 200e6, UpBps: 100e6}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := line.Rates(); got != (contracts.Profile{DownBps: 200e6, UpBps: 100e6}) {
		t.Errorf("rates %+v", got)
	}
	var static []string
	for _, q := range w.api.Items("/queue/simple") {
		if q["dynamic"] != "true" {
			static = append(static, q["name"])
		}
	}
	if !slices.Equal(static, []string{queueName(t2)}) {
		t.Errorf("queues %q are left", static)
	}
	third, s3 := w.login("caio@isp")
	if err := c.Raise(context.Background(), w.device.API, s3, contracts.Profile{DownBps: 90e6, UpBps: 90e6}); err != nil || third.Rates().DownBps != 90e6 || line.Rates().DownBps != 200e6 {
		t.Errorf("another session: %v, rates %+v and %+v", err, third.Rates(), line.Rates())
	}
	w.login("ana@isp")
	before := len(w.api.Said())
	if err := c.Raise(context.Background(), w.device.API, t2, contracts.Profile{DownBps: 300e6, UpBps: 100e6}); !errors.Is(err, errNotRaised) {
		t.Errorf("two sessions of one login: %v", err)
	}
	for _, words := range w.api.Said()[before:] {
		if !strings.HasSuffix(words[0], "/print") {
			t.Errorf("two sessions of one login: %q", words)
		}
	}
}
