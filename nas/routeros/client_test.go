package routeros

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/nastest"
)

func TestFacts(t *testing.T) {
	for name, q := range map[string]nastest.RouterOSQuirks{"as it should": {}, "login of old": {OldLogin: true}, "slow": {Slow: 50 * time.Millisecond},
		"hangs up": {HangUp: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name == "slow", q)
			w.login("ana@isp")
			got, err := w.client().Facts(context.Background(), w.device.API)
			want := nas.DeviceFacts{Identity: "bras-1", Version: "7.16.2 (stable)", Board: "CCR2116-12G-4S+", Serial: "HEX0TEST", Firmware: "7.16.2",
				Uptime: 25*24*time.Hour + 12*time.Hour + 23*time.Minute + 12*time.Second, Sessions: 1}
			if err != nil || got != want {
				t.Fatalf("facts %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// Without a serial number and its menu, as on a virtual machine.
func TestFactsOfAVirtualRouter(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{Refuse: "/system/routerboard/print"})
	got, err := w.client().Facts(context.Background(), w.device.API)
	if err != nil || got.Serial != "" || got.Version != "7.16.2 (stable)" {
		t.Fatalf("facts %+v, %v", got, err)
	}
}

func TestCertificateIsPinned(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	other := newWorld(t, false, nastest.RouterOSQuirks{})
	a := w.device.API
	a.Certificate = other.device.API.Certificate
	_, err := w.client().Facts(context.Background(), a)
	if err == nil || !strings.Contains(err.Error(), w.api.Fingerprint()) {
		t.Fatalf("another router's certificate: %v; want an error that names the one shown", err)
	}
	for _, pin := range []string{"", "bras-1", "sha256:00", nas.PlainAPI} {
		a.Certificate = pin
		if _, err := w.client().Facts(context.Background(), a); err == nil {
			t.Errorf("certificate %q was good enough", pin)
		}
	}
	if said := w.api.Said(); len(said) != 0 {
		t.Errorf("the router was told %q", said)
	}
}

func TestWrongPasswordIsDenied(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	a := w.device.API
	a.Password = []byte("wrong")
	_, err := w.client().Facts(context.Background(), a)
	if kind(err) != contracts.Denied || strings.Contains(err.Error(), "wrong") {
		t.Fatalf("wrong password: %v", err)
	}
	w.api.SetQuirks(nastest.RouterOSQuirks{RefuseLogin: true, OldLogin: true})
	if _, err := w.client().Facts(context.Background(), w.device.API); kind(err) != contracts.Denied {
		t.Fatalf("refused login of old: %v", err)
	}
}

// Whatever a router does, an answer or an error comes in time, and the next command finds a connection that works.
func TestMisbehaviourIsBounded(t *testing.T) {
	for name, q := range map[string]nastest.RouterOSQuirks{
		"silent": {Silent: true}, "silent after the login": {SilentAfter: 1}, "fatal": {Fatal: true}, "huge word": {HugeWord: true}, "endless": {Endless: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false, q)
			c := w.client()
			began := time.Now()
			if f, err := c.Facts(context.Background(), w.device.API); err == nil {
				t.Fatalf("facts %+v", f)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("that took %s", took)
			}
			for deadline := time.Now().Add(10 * time.Second); w.api.Open() > 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d connections are still open", w.api.Open())
				}
			}
			w.api.SetQuirks(nastest.RouterOSQuirks{})
			if _, err := c.Facts(context.Background(), w.device.API); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestContextEndsACommand(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{SilentAfter: 1})
	c := New(Config{Timeout: time.Hour, Listing: time.Hour})
	t.Cleanup(c.Close)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := c.Facts(ctx, w.device.API)
		done <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); w.api.Dials() == 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the command goes on")
	}
}

// Connections are used again, few at a time, whoever asks.
func TestConnectionsAreFew(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	c := w.client()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Facts(context.Background(), w.device.API); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := w.api.Dials(); n > 2 {
		t.Errorf("%d connections for 100 commands of 20 at a time", n)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	c := New(Config{Idle: 20 * time.Millisecond})
	t.Cleanup(c.Close)
	if _, err := c.Facts(context.Background(), w.device.API); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		left := len(c.routers)
		c.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the connection is still kept")
		}
	}
}

// The library behind this writes to the standard output unless told otherwise.
func TestNothingIsPrinted(t *testing.T) {
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	real := os.Stdout
	os.Stdout = wr
	w := newWorld(t, true, nastest.RouterOSQuirks{})
	_, err = w.client().Facts(context.Background(), w.device.API)
	os.Stdout = real
	wr.Close()
	printed, _ := io.ReadAll(r)
	if err != nil || len(printed) > 0 {
		t.Fatalf("%v; printed %q", err, printed)
	}
}
