package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2866"
)

// obedient is an access server that acknowledges every command and notes whose it was.
type obedient struct {
	mu   sync.Mutex
	told map[string][]radius.Code // by Acct-Session-Id
	addr string
}

func newObedient(t *testing.T) *obedient {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &obedient{told: map[string][]radius.Code{}, addr: conn.LocalAddr().String()}
	server := &radius.PacketServer{SecretSource: radius.StaticSecretSource([]byte(storySecret)), Handler: radius.HandlerFunc(func(w radius.ResponseWriter, r *radius.Request) {
		id := rfc2866.AcctSessionID_GetString(r.Packet)
		o.mu.Lock()
		o.told[id] = append(o.told[id], r.Code)
		o.mu.Unlock()
		code := radius.CodeCoAACK
		if r.Code == radius.CodeDisconnectRequest {
			code = radius.CodeDisconnectACK
		}
		if err := w.Write(r.Response(code)); err != nil {
			t.Error(err)
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(conn) })
	t.Cleanup(func() { conn.Close(); serving.Wait() })
	return o
}

func (o *obedient) commands() map[string][]radius.Code {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.told)
}

// TestIPoESessionsAreFoundByTheirAccess blocks one of several subscribers who are known by Option 82 alone, on an access
// server that does not take the name of the Access-Accept: their User-Name is the same or missing, and meanwhile somebody
// has that name for a login. The session of the one is changed, and no other's.
func TestIPoESessionsAreFoundByTheirAccess(t *testing.T) {
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339), "--session-limit", "0")
	s := provide(t, p, "accel-ppp", "127.31.9.3")
	bras := newObedient(t)
	for _, item := range p.api("GET", "/api/v1/devices", nil, 200)["items"].([]any) {
		if d := object(item.(map[string]any)); d["name"] == "radclient" {
			d["coa"] = bras.addr
			p.api("PUT", fmt.Sprint("/api/v1/devices/", d["id"]), keep(d, "name", "source", "dialect", "coa"), 200)
		}
	}
	sign := func(access object) string {
		return fmt.Sprint(p.api("POST", "/api/v1/contracts", object{"customer_id": 1, "plan_id": 1, "due_day": 10, "zone": "America/Sao_Paulo", "accesses": []object{access}}, 201)["id"])
	}
	blocked := ""
	for i, name := range []string{"whatever", "whatever", "", ""} {
		id := fmt.Sprint("ipoe-", i)
		circuit := fmt.Sprintf("olt1 eth 1/0/3:%d", i)
		contract := sign(object{"login": fmt.Sprint("house-", i), "line": object{"no_password": true, "circuit_id": circuit}})
		if i == 1 {
			blocked = contract
		}
		class := classShown.FindStringSubmatch(s.wants(true, fmt.Sprintf("User-Name = whatever, ADSL-Agent-Circuit-Id = %q", circuit)))
		if class == nil {
			t.Fatal("no Class")
		}
		record := fmt.Sprintf("Acct-Status-Type = Start, Acct-Session-Id = %s, NAS-Port-Id = eth%d, Class = %s", id, i, class[1])
		if name != "" {
			record = "User-Name = " + name + ", " + record
		}
		if ok, out := radclient(t, p.acct, "acct", storySecret, record); !ok {
			t.Fatal(out)
		}
	}
	s.eventually("the sessions are known", func() error {
		n := 0
		for _, one := range p.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any) {
			if o := one.(map[string]any); o["contract_id"] != nil && o["contract_id"] != 0.0 {
				n++
			}
		}
		if n != 4 {
			return fmt.Errorf("%d have a contract: %v", n, p.api("GET", "/api/v1/sessions", nil, 200)["items"])
		}
		return nil
	})
	sign(object{"login": "whatever", "password": "word"})
	s.wants(true, `User-Name = whatever, User-Password = word`)
	if told := bras.commands(); len(told) != 0 {
		t.Fatalf("before anything was changed the access server was told %v", told)
	}
	p.api("POST", "/api/v1/contracts/"+blocked+"/acts/manual-block", object{"reason": "story"}, 200)
	s.eventually("the blocked one's session is changed", func() error {
		if told := bras.commands(); len(told["ipoe-1"]) == 0 {
			return fmt.Errorf("told so far: %v", told)
		}
		return nil
	})
	// One that has the name for a login is blocked as well: it has no session.
	p.api("POST", "/api/v1/contracts/"+s.contract+"/acts/manual-block", object{"reason": "story"}, 200)
	p.api("POST", "/api/v1/contracts/"+blocked+"/acts/manual-unblock", object{"reason": "story"}, 200)
	s.eventually("it is changed back", func() error {
		if told := bras.commands(); len(told["ipoe-1"]) < 2 {
			return fmt.Errorf("told so far: %v", told)
		}
		return nil
	})
	if told := bras.commands(); !slices.Equal(slices.Collect(maps.Keys(told)), []string{"ipoe-1"}) {
		t.Errorf("others were changed as well: %v", told)
	}
}
