package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"enlace/nas/nastest"
)

// who asks the program's own tool who had an address at a local instant.
func (s *story) who(address, at string) []held {
	s.t.Helper()
	var list []held
	out := s.run("who", address, "--at", at, "--reason", "Oficio 77/2026", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return list
}

// held wants one record of an address at a local instant, once the drain has it; end is "" while it is held.
func (s *story) held(address, at, end string) held {
	s.t.Helper()
	var h held
	s.eventually(fmt.Sprintf("%s at %s is known, ended by %q", address, at, end), func() error {
		list := s.who(address, at)
		if len(list) != 1 || string(list[0].End) != end || list[0].Login != storyLogin || list[0].Customer != "Maria Souza" {
			return fmt.Errorf("it is %+v", list)
		}
		h = list[0]
		return nil
	})
	return h
}

// TestConnectionRecordStory lives a session whose addresses come and go, with the program killed in between and its clock
// moved, and asks for each who had it.
func TestConnectionRecordStory(t *testing.T) {
	for i, style := range []nastest.NATStyle{nastest.HuaweiNAT, nastest.NokiaNAT, nastest.RFC8045} {
		t.Run(string(style), func(t *testing.T) {
			t.Parallel()
			p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339))
			s := provide(t, p, "standard", fmt.Sprintf("127.34.0.%d", i+1))
			ctx := t.Context()
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			line := s.nas.Dial(storyLogin, storyPassword, nastest.PAP)
			s.agreed("FULL 500M/250M")
			first := line.IP()
			block := nastest.Block{Addr: netip.MustParseAddr("203.0.113.7"), From: 1024, To: 2047}
			other := nastest.Block{Addr: block.Addr, From: 4096, To: 5119}
			must(line.Take(ctx, style, block))
			s.now("2026-01-15 11:00:00")
			line.Delegate(netip.MustParsePrefix("2001:db8:77::/56"))
			must(line.Take(ctx, style, other))
			s.held(first.String(), "2026-01-15 10:30:00", "")
			s.held("203.0.113.7:4097", "2026-01-15 11:00:30", "")
			s.held("[2001:db8:77:12::1]:443", "2026-01-15 11:00:30", "")
			for _, nobody := range [][2]string{{"203.0.113.7:4097", "2026-01-15 10:30:00"}, {"203.0.113.7:3000", "2026-01-15 11:00:30"},
				{"2001:db8:77:12::1", "2026-01-15 10:30:00"}, {"2001:db8:77:100::1", "2026-01-15 11:00:30"}, {first.Next().String(), "2026-01-15 11:00:30"}} {
				if list := s.who(nobody[0], nobody[1]); len(list) != 0 {
					t.Errorf("%s at %s: %+v", nobody[0], nobody[1], list)
				}
			}

			// The program dies; nothing that was answered is lost.
			s.now("2026-01-15 12:00:00")
			must(line.Give(ctx, block))
			p.args[1], p.args[3] = p.auth, p.acct // it comes back where the access server looks for it
			p.kill(syscall.SIGKILL)
			p.up(local("2026-01-15 12:00:10").Format(time.RFC3339))
			s.ahead.Store(int64(time.Until(local("2026-01-15 12:00:10"))))
			s.held("203.0.113.7:4097", "2026-01-15 12:00:05", "")
			end := "release"
			if style == nastest.NokiaNAT {
				end = "change" // it lists what is left
			}
			if h := s.held("203.0.113.7:1500", "2026-01-15 11:30:00", end); h.Until == nil || h.Estimated != (end == "change") {
				t.Errorf("the block given up: %+v", h)
			}

			// Another address takes the first one's place.
			s.now("2026-01-15 13:00:00")
			line.Renumber(netip.MustParseAddr("198.51.100.77"))
			must(line.Interim(ctx))
			if h := s.held(first.String(), "2026-01-15 12:30:00", "change"); !h.Estimated || h.Until.Sub(local("2026-01-15 13:00:00")).Abs() > time.Minute {
				t.Errorf("the address before: %+v", h)
			}

			// Two months on she leaves. What was held then is still found.
			s.now("2026-03-20 09:00:00")
			must(line.Leave(ctx, 1))
			h := s.held("198.51.100.77", "2026-02-10 03:00:00", "stop")
			if h.Estimated || h.From.Sub(local("2026-01-15 13:00:00")).Abs() > time.Minute || h.Until.Sub(local("2026-03-20 09:00:00")).Abs() > time.Minute {
				t.Errorf("two months: %+v", h)
			}
			s.held("203.0.113.7:4097", "2026-03-19 00:00:00", "stop")
			s.held("2001:db8:77::1", "2026-03-19 00:00:00", "stop")
			text := p.run("who", "203.0.113.7", "--at", "2026-01-15 11:30:00", "--reason", "Oficio 77/2026")
			for _, want := range []string{"Maria Souza", "1024-2047", "4096-5119", "no port was given", "2026-01-15 10:00"} {
				if !strings.Contains(text, want) {
					t.Errorf("the answer lacks %q:\n%s", want, text)
				}
			}
			list := s.api("GET", "/api/v1/connections?login="+storyLogin+"&from=2026-01-01T00:00:00Z&until=2026-04-01T00:00:00Z&reason=Oficio", nil, 200)["items"].([]any)
			if len(list) != 5 {
				t.Errorf("%d records of her: %v", len(list), list)
			}
			// A clock that jumps years ahead destroys nothing.
			s.now("2030-01-01 09:00:00")
			s.eventually("the retention has been looked at", func() error {
				conn := s.connect()
				defer conn.Close(ctx)
				var n int
				if err := conn.QueryRow(ctx, `select count(*) from audit where act = 'connections.search' and actor like 'cli%' and detail->>'reason' = 'Oficio 77/2026'`).Scan(&n); err != nil || n < 15 {
					return fmt.Errorf("%d searches are recorded, %v", n, err)
				}
				return nil
			})
			s.held("198.51.100.77", "2026-02-10 03:00:00", "stop")
		})
	}
}

func TestWhoIsRefused(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no reason":         {[]string{"who", "192.0.2.1", "--at", "2026-01-01 10:00"}, "--reason"},
		"an empty reason":   {[]string{"who", "192.0.2.1", "--at", "2026-01-01 10:00", "--reason", " "}, "reason"},
		"no instant":        {[]string{"who", "192.0.2.1", "--reason", "x77"}, "--at"},
		"a network":         {[]string{"who", "192.0.2.0/24", "--at", "2026-01-01 10:00", "--reason", "x77"}, "not one address"},
		"a port too far":    {[]string{"who", "192.0.2.1:70000", "--at", "2026-01-01 10:00", "--reason", "x77"}, "not one address"},
		"another instant":   {[]string{"who", "192.0.2.1", "--at", "noon", "--reason", "x77"}, "not an instant"},
		"too short to keep": {[]string{"serve", "--connection-retention", "6", "--data-dir", t.TempDir()}, "Lei 12.965/2014"},
		"nothing to keep":   {[]string{"serve", "--connection-retention", "0", "--connection-retention-short", "--data-dir", t.TempDir()}, "1 to 1200"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(path, c.args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
