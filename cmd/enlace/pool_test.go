package main

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestPools lends addresses through the real program: sticky over logins and restarts, one subscriber each, and nothing
// but a reject when there is none left.
func TestPools(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00")
	provide(t, p, "mikrotik", "127.0.1.1")
	v4 := p.api("POST", "/api/v1/pools", object{"name": "pop 1", "ranges": []string{"100.64.0.0/30"}}, 201)
	v6 := p.api("POST", "/api/v1/pools", object{"name": "pop 1, IPv6", "ranges": []string{"2001:db8::/48"}, "bits": 56}, 201)
	p.api("POST", "/api/v1/pools", object{"name": "again", "ranges": []string{"100.64.0.0/16"}}, 409)
	p.api("POST", "/api/v1/pools", object{"name": "bad", "ranges": []string{"100.64.9.1/24"}}, 422)
	d := p.api("GET", "/api/v1/devices", nil, 200)["items"].([]any)
	for _, item := range d {
		if device := object(item.(map[string]any)); device["name"] == "radclient" {
			for _, wrong := range [][2]any{{v6["id"], 0}, {0, v4["id"]}, {99, 0}, {0, 99}} {
				device["ipv4_pool"], device["delegated_pool"] = wrong[0], wrong[1]
				p.api("PUT", fmt.Sprint("/api/v1/devices/", device["id"]), keep(device, "name", "source", "dialect", "ipv4_pool", "delegated_pool"), 422)
			}
			device["ipv4_pool"], device["delegated_pool"] = v4["id"], v6["id"]
			p.api("PUT", fmt.Sprint("/api/v1/devices/", device["id"]), keep(device, "name", "source", "dialect", "ipv4_pool", "delegated_pool"), 200)
		}
	}
	contract := object{"customer_id": 1, "plan_id": 1, "due_day": 10, "zone": "America/Sao_Paulo"}
	for i := range 5 {
		contract["accesses"] = []object{{"login": fmt.Sprint("pool", i), "password": storyPassword}}
		p.api("POST", "/api/v1/contracts", contract, 201)
	}
	ask := func(login string) (ok bool, v4, v6 string) {
		ok, out := radclient(t, p.auth, "auth", storySecret, fmt.Sprintf("User-Name=%s,User-Password=%q,Calling-Station-Id=mac-of-%s,Message-Authenticator=0x00", login, storyPassword, login))
		return ok, found(out, `Framed-IP-Address = (\S+)`), found(out, `Delegated-IPv6-Prefix = (\S+)`)
	}
	given := map[string]string{}
	lend := func(login string) {
		t.Helper()
		p.eventually(login+" is lent an address", func() error { // the first come while the reserve is being filled
			ok, a, pd := ask(login)
			if !ok || a == "" || pd == "" {
				return fmt.Errorf("accepted %v, %q and %q", ok, a, pd)
			}
			if had, again := given[login]; again && had != a+" "+pd {
				t.Fatalf("%s had %s and is now lent %s %s", login, had, a, pd)
			}
			given[login] = a + " " + pd
			return nil
		})
	}
	for i := range 4 {
		lend(fmt.Sprint("pool", i))
	}
	distinct := map[string]bool{}
	for _, g := range given {
		distinct[strings.Fields(g)[0]] = true
	}
	if len(distinct) != 4 {
		t.Fatalf("four subscribers were lent %v", given)
	}
	p.eventually("the fifth of four is refused", func() error {
		if ok, a, _ := ask("pool4"); ok {
			t.Fatalf("it is lent %s", a)
		}
		if n := p.metric(`enlace_radius_replies_total{code="Access-Reject",device="radclient",reason="NO_ADDRESS"}`); n == "" || n == "0" {
			return fmt.Errorf("%q refusals for want of an address", n)
		}
		return nil
	})
	p.eventually("the leases are recorded", func() error {
		for _, item := range p.api("GET", "/api/v1/pools", nil, 200)["items"].([]any) {
			if pool := item.(map[string]any); pool["name"] == "pop 1" && pool["leased"] != 4.0 {
				return fmt.Errorf("%v", pool)
			}
		}
		return nil
	})
	// A node that was killed, and one that ended in order, go on with the same.
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		p.kill(signal)
		p.up(p.clockFrom)
		for i := range 4 {
			lend(fmt.Sprint("pool", i))
		}
	}
	// A pool that grows has room for the fifth.
	p.api("POST", fmt.Sprintf("/api/v1/pools/%v/ranges", v4["id"]), object{"range": "100.64.0.4/30"}, 200)
	lend("pool4")
}

// keep is an object with some of its fields.
func keep(o object, names ...string) object {
	out := object{}
	for _, n := range names {
		out[n] = o[n]
	}
	return out
}

func found(text, pattern string) string {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}
