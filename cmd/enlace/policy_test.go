package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

const policyLogin = `User-Name = "ana@isp", User-Password = "a-long-password"`

// policyProvider has one customer, ana@isp, and one access server, which radclient on this machine is.
func policyProvider(t *testing.T, device object, more ...string) *program {
	t.Helper()
	p := start(t, "2026-03-01T09:00:00-03:00", more...)
	p.api("POST", "/api/v1/devices", device, 201)
	plan := p.api("POST", "/api/v1/plans", object{"name": "Fibra 500", "price": "100.00", "full": object{"down_bps": 500_000_000, "up_bps": 250_000_000}, "reduced_percent": 10}, 201)
	customer := p.api("POST", "/api/v1/customers", object{"name": "Ana", "document": "529.982.247-25"}, 201)
	p.api("POST", "/api/v1/contracts", object{"customer_id": customer["id"], "plan_id": plan["id"], "due_day": 10,
		"zone": "America/Sao_Paulo", "accesses": []object{{"login": "ana@isp", "password": "a-long-password"}}}, 201)
	return p
}

// observed is what the API says has been seen of the first device.
func (p *program) observed() map[string]any {
	p.t.Helper()
	return p.api("GET", "/api/v1/devices/1", nil, 200)["observed"].(map[string]any)
}

// TestPolicyIsLearnedAndLasts: auto learns from real packets, tells the operator, and a restart does not unlearn.
func TestPolicyIsLearnedAndLasts(t *testing.T) {
	t.Parallel()
	p := policyProvider(t, object{"name": "bras", "source": "127.0.0.1", "secret": "testing123", "dialect": "mikrotik"})
	p.eventually("the device is answered", func() error {
		if ok, out := radclient(t, p.auth, "auth", "testing123", policyLogin); !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	const signed = policyLogin + `, Message-Authenticator = 0x00`
	for range 3 {
		if ok, out := radclient(t, p.auth, "auth", "testing123", signed); !ok {
			t.Fatalf("a signed request is not answered:\n%s", out)
		}
	}
	if ok, out := radclient(t, p.auth, "auth", "testing123", policyLogin); ok {
		t.Fatalf("an unsigned request is answered after signed ones:\n%s", out)
	}
	p.eventually("the API shows what was seen", func() error {
		o := p.observed()
		if says := fmt.Sprint(o["says"]); o["signed"] != 3.0 || o["require_message_authenticator"] != "not_yet" || !strings.Contains(says, "Not yet: ") || !strings.Contains(says, "Learned: it sends") {
			return fmt.Errorf("%v", o)
		}
		return nil
	})
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p.kill(signal)
		p.up(p.clockFrom)
		if ok, out := radclient(t, p.auth, "auth", "testing123", policyLogin); ok {
			t.Fatalf("after %s the device is trusted without Message-Authenticator again:\n%s", signal, out)
		}
		if ok, out := radclient(t, p.auth, "auth", "testing123", signed); !ok {
			t.Fatalf("after %s a signed request is not answered:\n%s", signal, out)
		}
	}
	p.api("POST", "/api/v1/devices/1/observe", nil, 204)
	p.eventually("the device is observed anew", func() error {
		if ok, out := radclient(t, p.auth, "auth", "testing123", policyLogin); !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// TestSecretIsRotated: two secrets are accepted until the operator drops the older one.
func TestSecretIsRotated(t *testing.T) {
	t.Parallel()
	device := object{"name": "bras", "source": "127.0.0.1", "secret": "testing123", "dialect": "mikrotik"}
	p := policyProvider(t, device)
	answers := func(old, new bool) {
		t.Helper()
		p.eventually(fmt.Sprintf("the old secret is answered %v, the new %v", old, new), func() error {
			for secret, want := range map[string]bool{"testing123": old, "the-new-secret": new} {
				if ok, out := radclient(t, p.auth, "auth", secret, policyLogin+`, Message-Authenticator = 0x00`); ok != want {
					return fmt.Errorf("%s: %v\n%s", secret, ok, out)
				}
				if ok, out := radclient(t, p.acct, "acct", secret, `User-Name = "ana@isp", Acct-Status-Type = Start, Acct-Session-Id = "1"`); ok != want {
					return fmt.Errorf("accounting with %s: %v\n%s", secret, ok, out)
				}
			}
			return nil
		})
	}
	answers(true, false)
	device["secret"], device["keep_older_secret"] = "the-new-secret", true
	if d := p.api("PUT", "/api/v1/devices/1", device, 200); d["older_secret_accepted"] != true || strings.Contains(fmt.Sprint(d), "testing123") {
		t.Errorf("after rotating the API shows %v", d)
	}
	answers(true, true)
	delete(device, "secret")
	delete(device, "keep_older_secret")
	device["drop_older_secret"] = true
	p.api("PUT", "/api/v1/devices/1", device, 200)
	answers(false, true)
}

// TestPolicyLearnedWithoutTheDatabaseLasts: what was learned while the database was away survives a death, and is stored
// when the database is back.
func TestPolicyLearnedWithoutTheDatabaseLasts(t *testing.T) {
	l := lonelyStory(t, "127.31.4.9")
	p := l.program
	login := fmt.Sprintf("User-Name = %q, User-Password = %q", storyLogin, storyPassword)
	p.eventually("the device is answered", func() error {
		if ok, out := radclient(t, p.auth, "auth", storySecret, login); !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if err := l.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	if ok, out := radclient(t, p.auth, "auth", storySecret, login+", Message-Authenticator = 0x00"); !ok {
		t.Fatalf("a signed request with the database away:\n%s", out)
	}
	l.kept()
	p.kill(syscall.SIGKILL)
	p.up(p.clockFrom)
	if ok, out := radclient(t, p.auth, "auth", storySecret, login); ok {
		t.Fatalf("a death without the database made the device trusted without Message-Authenticator again:\n%s", out)
	}
	l.raise(t)
	p.eventually("what was learned is stored", func() error {
		status, b := p.call("GET", "/api/v1/devices/2", nil)
		if status != 200 || !strings.Contains(string(b), "Learned: it sends Message-Authenticator") {
			return fmt.Errorf("%d %s", status, b)
		}
		return nil
	})
}
