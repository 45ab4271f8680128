package control_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/control"
)

// Sessions are found by the access that their Class names. Those of other accesses are left alone, also where User-Name is
// the same, or there is none; a session without a Class is found by its User-Name.
func TestAChangeReachesTheSessionsOfItsAccess(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	r := control.New(control.Config{
		Device: func(nas.DeviceID) (*nas.Device, bool) { return nil, false },
		Desired: func(login string, access contracts.AccessID, _ time.Time) (nas.Service, time.Time, bool) {
			mu.Lock()
			defer mu.Unlock()
			asked[string(rune('0'+access))+login]++
			return full, time.Time{}, true
		},
		Now: func() time.Time { return begin }, Log: zerolog.Nop(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	defer running.Wait()
	defer cancel()
	see := func(id string, access contracts.AccessID, login string) {
		r.SessionSeen(nas.Session{Key: nas.SessionKey{Device: deviceID, ID: id}, Access: access, Login: login, StartedAt: begin, Applied: full.Digest()}, nas.Report{})
	}
	// settled waits until what was to be asked is asked, and gives it.
	settled := func(want map[string]int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			mu.Lock()
			got := maps.Clone(asked)
			mu.Unlock()
			if maps.Equal(got, want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("asked for %v, want %v", got, want)
			}
		}
		mu.Lock()
		clear(asked)
		mu.Unlock()
	}
	see("a", 1, "whatever")
	see("b", 2, "whatever")
	see("c", 3, "")
	see("d", 4, "")
	see("e", 0, "ana")
	see("f", 5, "ana")
	see("late", 0, "zoe")
	settled(map[string]int{"1whatever": 1, "2whatever": 1, "3": 1, "4": 1, "0ana": 1, "5ana": 1, "0zoe": 1})
	r.Changed(1, "house-1")
	r.Changed(4, "house-4")
	settled(map[string]int{"1whatever": 1, "4": 1})
	r.Changed(9, "ana")
	settled(map[string]int{"0ana": 1})
	see("late", 6, "zoe") // its Class came with a later record
	r.Changed(6, "zoe")
	settled(map[string]int{"6zoe": 1})
	r.Changed(0, "")
	r.Changed(7, "zoe")
	r.Changed(5, "") // by now all before it has been looked at
	settled(map[string]int{"5ana": 1})
}
