package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"enlace/nas/nastest"
	"enlace/postgres"
	"enlace/postgres/pgtest"
)

// ask sends an Access-Request with radclient, from the device of that name.
func (s *story) ask(attributes string) (accepted bool, out string) {
	s.t.Helper()
	return radclient(s.t, s.auth, "auth", storySecret, attributes+`, Message-Authenticator = 0x00`)
}

// wants asks until the answer is the one wanted: what the API records reaches the directory a moment later.
func (s *story) wants(accepted bool, attributes string, shown ...string) (out string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s is accepted: %v", attributes, accepted), func() error {
		var ok bool
		if ok, out = s.ask(attributes); ok != accepted {
			return fmt.Errorf("accepted: %v\n%s", ok, out)
		}
		for _, want := range shown {
			if !strings.Contains(out, want) {
				return fmt.Errorf("%q is not in\n%s", want, out)
			}
		}
		return nil
	})
	return out
}

// access records one more access and gives its path.
func (s *story) access(body object) string {
	s.t.Helper()
	return fmt.Sprintf("/api/v1/contracts/%s/accesses/%v", s.contract, s.api("POST", "/api/v1/contracts/"+s.contract+"/accesses", body, 201)["id"])
}

// line is what the API shows of an access.
func (s *story) line(login string) object {
	s.t.Helper()
	for _, a := range s.api("GET", "/api/v1/contracts/"+s.contract, nil, 200)["accesses"].([]any) {
		if a := a.(map[string]any); a["login"] == login {
			l, _ := a["line"].(map[string]any)
			return l
		}
	}
	s.t.Fatalf("the contract has no access %s", login)
	return nil
}

func (s *story) learned(login, mac string) {
	s.t.Helper()
	s.eventually(login+" is bound to "+mac, func() error {
		if got := s.line(login)["mac"].(map[string]any)["value"]; got != mac {
			return fmt.Errorf("it is bound to %v", got)
		}
		return nil
	})
}

var classShown = regexp.MustCompile(`Class = (0x[0-9a-f]+)`)

// TestTheStoryOfALine logs in without passwords, by MAC address and by Option 82; binds a PPPoE login to the first device
// it is seen from, clears that and binds it to another; and gives fixed addresses, byte for byte.
func TestTheStoryOfALine(t *testing.T) {
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339), "--ipoe-password", "everybody")
	s := provide(t, p, "mikrotik", "127.31.9.1")

	// IPoE as RouterOS asks for a DHCP client, and with what others send for a password.
	s.access(object{"login": "house-1", "line": object{"no_password": true, "mac": object{"mode": "fixed", "value": "02-00-00-00-00-0A"}}})
	out := s.wants(true, `User-Name = "02:00:00:00:00:0A", Calling-Station-Id = "1:2:0:0:0:0:a", NAS-Port-Type = Ethernet`, `User-Name = "house-1"`, "250M/500M")
	for _, password := range []string{"", "02:00:00:00:00:0A", "0200.0000.000a", "everybody"} {
		s.wants(true, fmt.Sprintf(`User-Name = "02:00:00:00:00:0A", User-Password = %q`, password))
	}
	s.wants(false, `User-Name = "02:00:00:00:00:0A", User-Password = "something else"`)
	s.wants(false, `User-Name = "02:00:00:00:00:0B"`)
	s.wants(false, fmt.Sprintf("User-Name = %q", storyLogin))

	// An access server that does not take the name of the Access-Accept: Class says whose session it is.
	class := classShown.FindStringSubmatch(out)
	if class == nil {
		t.Fatalf("no Class in\n%s", out)
	}
	if ok, out := radclient(t, p.acct, "acct", storySecret, `User-Name = "02:00:00:00:00:0A", Acct-Status-Type = Start, Acct-Session-Id = "ipoe-1", Class = `+class[1]); !ok {
		t.Fatal(out)
	}
	s.eventually("the session is the contract's", func() error {
		for _, one := range s.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any) {
			if o := one.(map[string]any); o["session_id"] == "ipoe-1" && fmt.Sprint(o["contract_id"]) == s.contract && o["settled"] == true {
				return nil
			}
		}
		return fmt.Errorf("no session of the contract is ipoe-1")
	})

	// IPoE by Option 82.
	s.access(object{"login": "house-2", "line": object{"no_password": true, "circuit_id": "olt1 eth 1/0/3:7", "remote_id": "0x00061a2b3c4d5e6f"}})
	circuit := `User-Name = "whatever", ADSL-Agent-Circuit-Id = "olt1 eth 1/0/3:7"`
	s.wants(true, circuit+`, ADSL-Agent-Remote-Id = 0x00061a2b3c4d5e6f`, `User-Name = "house-2"`)
	s.wants(false, circuit+`, ADSL-Agent-Remote-Id = 0x00061a2b3c4d5e6e`)
	s.wants(false, circuit)

	// Nobody else is recognised by the same, and nobody has the same address.
	again := object{"login": "house-3", "line": object{"no_password": true, "mac": object{"mode": "fixed", "value": "0200.0000.000a"}}}
	if e := s.api("POST", "/api/v1/contracts/"+s.contract+"/accesses", again, 409); e["code"] != "mark_taken" {
		t.Errorf("%v", e)
	}

	// PPPoE bound to the first device.
	path := s.access(object{"login": "pppoe-1", "password": "word", "line": object{"mac": object{"mode": "learn"}}})
	from := func(station string) string {
		return `User-Name = "pppoe-1", User-Password = "word", Calling-Station-Id = "` + station + `"`
	}
	s.wants(true, from("02:00:00:00:00:21"))
	if ok, out := s.ask(from("02:00:00:00:00:22")); ok {
		t.Fatalf("a second device is let in\n%s", out)
	} else if strings.Contains(out, "02:00:00:00:00:21") || strings.Contains(out, "Reply-Message") {
		t.Errorf("the refusal tells the subscriber why\n%s", out)
	}
	s.learned("pppoe-1", "02:00:00:00:00:21")
	s.wants(true, from("02:00:00:00:00:21"))
	s.wants(false, from("02:00:00:00:00:22"))
	if log := p.log.String(); !strings.Contains(log, "MAC address: seen 02:00:00:00:00:22, expected 02:00:00:00:00:21") || !strings.Contains(log, `"BINDING"`) {
		t.Error("the log does not say what was seen and what was expected")
	}
	var e explained
	if err := json.Unmarshal([]byte(s.run("explain", "pppoe-1", "--output", "json")), &e); err != nil {
		t.Fatal(err)
	}
	if strings.Join(e.Line, "") != "bound to the MAC address 02:00:00:00:00:21, as its first login showed" {
		t.Errorf("explained as %q", e.Line)
	}
	s.api("POST", path+"/clear-binding", nil, 200)
	s.wants(true, from("02:00:00:00:00:22"))
	s.learned("pppoe-1", "02:00:00:00:00:22")
	s.wants(false, from("02:00:00:00:00:21"))

	s.fixedAddresses(path)
	s.cutsTheNameless()
}

// cutsTheNameless blocks the contract of a session whose User-Name is a MAC address, and wants it ended although no
// record of it comes.
func (s *story) cutsTheNameless() {
	s.t.Helper()
	// The access server numbers its lines and their sessions together: the next line is two after the last.
	if _, err := s.nas.Login(s.t.Context(), storyLogin, storyPassword, nastest.PAP); err != nil {
		s.t.Fatal(err)
	}
	mac := ""
	s.eventually("a line's MAC address is known", func() error {
		for _, one := range s.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any) {
			if o := one.(map[string]any); o["login"] == storyLogin {
				n, err := strconv.ParseUint(strings.ReplaceAll(o["calling_station"].(string), ":", ""), 16, 48)
				digits := fmt.Sprintf("%012x", n+2)
				mac = digits[:2] + ":" + digits[2:4] + ":" + digits[4:6] + ":" + digits[6:8] + ":" + digits[8:10] + ":" + digits[10:]
				return err
			}
		}
		return fmt.Errorf("no session of %s", storyLogin)
	})
	s.access(object{"login": "house-4", "line": object{"no_password": true, "mac": object{"mode": "fixed", "value": mac}}})
	s.wants(true, fmt.Sprintf("User-Name = %q", mac))
	line, err := s.nas.Login(s.t.Context(), mac, mac, nastest.PAP)
	if err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the session is seen", func() error {
		for _, one := range s.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any) {
			if o := one.(map[string]any); o["session_id"] == line.ID() && o["login"] == mac {
				return nil
			}
		}
		return fmt.Errorf("no session is %s", line.ID())
	})
	s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/manual-block", object{"reason": "story"}, 200)
	s.eventually("the session is ended", func() error {
		if line.Online() {
			return fmt.Errorf("it is online")
		}
		return nil
	})
}

// fixedAddresses gives an access addresses and reads them off the wire.
func (s *story) fixedAddresses(path string) {
	s.t.Helper()
	s.api("PUT", path, object{"session_limit": 2, "line": object{"ipv4": "203.0.113.9", "netmask_bits": 29, "framed_ipv6": "2001:db8:1:2::/64",
		"delegated_ipv6": "2001:db8:ab00::/52", "routes": []string{"198.51.100.0/24", "2001:db8:7::/48 :: 5"}}}, 200)
	want := map[radius.Type]string{8: "\xcb\x00\x71\x09", 9: "\xff\xff\xff\xf8", 97: "\x00\x40\x20\x01\x0d\xb8\x00\x01\x00\x02",
		123: "\x00\x34\x20\x01\x0d\xb8\xab\x00\x00", 22: "198.51.100.0/24 0.0.0.0 1", 99: "2001:db8:7::/48 :: 5"}
	s.eventually("the addresses are on the wire", func() error {
		request := radius.New(radius.CodeAccessRequest, []byte(storySecret))
		for _, err := range []error{rfc2865.UserName_SetString(request, "pppoe-1"), rfc2865.UserPassword_SetString(request, "word"),
			rfc2869.MessageAuthenticator_Set(request, make([]byte, 16))} {
			if err != nil {
				return err
			}
		}
		signed(s.t, request)
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		defer cancel()
		reply, err := radius.Exchange(ctx, request, s.auth)
		if err != nil {
			return err
		}
		for t, bytesWanted := range want {
			if got := reply.Get(t); !bytes.Equal(got, []byte(bytesWanted)) {
				return fmt.Errorf("attribute %d is %x, want %x", t, got, bytesWanted)
			}
		}
		return nil
	})
	other := object{"line": object{"delegated_ipv6": "2001:db8:ab00:100::/56"}}
	var first string
	for _, a := range s.api("GET", "/api/v1/contracts/"+s.contract, nil, 200)["accesses"].([]any) {
		if a := a.(map[string]any); a["login"] == storyLogin {
			first = fmt.Sprint(a["id"])
		}
	}
	if e := s.api("PUT", "/api/v1/contracts/"+s.contract+"/accesses/"+first, other, 409); e["code"] != "address_taken" {
		s.t.Errorf("%v", e)
	}
	var e explained
	if err := json.Unmarshal([]byte(s.run("explain", "pppoe-1", "--output", "json")), &e); err != nil {
		s.t.Fatal(err)
	}
	if all := strings.Join(e.Replies["mikrotik"], "\n"); !strings.Contains(all, "Framed-IP-Address = 203.0.113.9") || !strings.Contains(all, `Framed-IPv6-Route = "2001:db8:7::/48 :: 5"`) {
		s.t.Errorf("explained as %s", all)
	}
	if len(e.Replies) != 1 {
		s.t.Errorf("with one device, %d dialects are explained", len(e.Replies))
	}
}

// TestBindingsLearnWithoutTheDatabase has a first login while PostgreSQL is stopped: it is in force at once, also after a
// kill, and recorded when PostgreSQL is back.
func TestBindingsLearnWithoutTheDatabase(t *testing.T) {
	cfg := postgres.ClusterConfig{DataDir: pgtest.Dir(t), Fast: true, Log: zerolog.Nop()}
	up := func() *postgres.Cluster {
		t.Helper()
		c, err := postgres.Start(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	cluster := up()
	t.Cleanup(func() { cluster.Stop() })
	if err := cluster.EnsureDatabase(t.Context(), "enlace"); err != nil {
		t.Fatal(err)
	}
	p := startOn(t, cluster.URL("enlace"), local("2026-01-15 10:00:00").Format(time.RFC3339), "--snapshot-interval", "50ms")
	s := provide(t, p, "standard", "127.31.9.2")
	s.access(object{"login": "pppoe-1", "password": "word", "line": object{"mac": object{"mode": "learn"}, "port": object{"mode": "learn"}}})
	from := func(station, port string) string {
		return `User-Name = "pppoe-1", User-Password = "word", Calling-Station-Id = "` + station + `", NAS-Port-Id = "` + port + `"`
	}
	s.eventually("the access is known", func() error {
		s.wants(false, `User-Name = "pppoe-1", User-Password = "wrong"`)
		if !strings.Contains(p.log.String(), "the PAP password does not match") {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	began := time.Now()
	s.eventually("a snapshot has it", func() error {
		if info, err := os.Stat(filepath.Join(p.dir, "snapshot")); err != nil || info.ModTime().Before(began.Add(time.Second)) {
			return fmt.Errorf("none yet: %v", err)
		}
		return nil
	})
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	s.wants(true, from("02:00:00:00:00:31", "eth1.100"))
	s.wants(false, from("02:00:00:00:00:32", "eth1.100"))
	s.wants(false, from("02:00:00:00:00:31", "eth1.101"))
	s.eventually("it is in the data folder", func() error {
		if content, err := os.ReadFile(filepath.Join(p.dir, "learned")); err != nil || !bytes.Contains(content, []byte("020000000031")) {
			return fmt.Errorf("%s %v", content, err)
		}
		return nil
	})
	p.kill(syscall.SIGKILL)
	p.up(p.clockFrom)
	s.wants(false, from("02:00:00:00:00:32", "eth1.100"))
	s.wants(false, from("02:00:00:00:00:31", "eth1.101"))
	s.wants(true, from("02:00:00:00:00:31", "eth1.100"))
	cluster = up()
	s.eventually("the API reads the database again", func() error {
		if status, b := s.call("GET", "/api/v1/contracts/"+s.contract, nil); status != 200 {
			return fmt.Errorf("status %d: %s", status, b)
		}
		return nil
	})
	s.learned("pppoe-1", "02:00:00:00:00:31")
	if port := s.line("pppoe-1")["port"].(map[string]any)["value"]; port != "eth1.100" {
		t.Errorf("bound to the port %v", port)
	}
	conn := s.connect()
	defer conn.Close(context.Background())
	var n int
	if err := conn.QueryRow(t.Context(), `select count(*) from audit where act = 'access.learn' and actor = 'system'`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d lines in the audit: %v", n, err)
	}
	s.wants(true, from("02:00:00:00:00:31", "eth1.100"))
	s.wants(false, from("02:00:00:00:00:32", "eth1.100"))
}

// signed fills in the Message-Authenticator of an Access-Request (RFC 3579, section 3.2).
func signed(t *testing.T, p *radius.Packet) {
	t.Helper()
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sum := hmac.New(md5.New, p.Secret)
	sum.Write(b)
	if err := rfc2869.MessageAuthenticator_Set(p, sum.Sum(nil)); err != nil {
		t.Fatal(err)
	}
}
