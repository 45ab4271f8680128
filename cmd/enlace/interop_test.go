package main

import (
	"crypto/md5" //nolint:gosec // CHAP is defined with MD5 (RFC 1994)
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"
)

// TestPyrad has python3-pyrad log in and account on the second listener of each kind.
func TestPyrad(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00", "--auth-listen", "127.0.0.2:0", "--acct-listen", "127.0.0.2:0")
	provide(t, p, "mikrotik", "127.0.1.1")
	auths, accts := listeners(t, p)
	if len(auths) != 2 || len(accts) != 2 {
		t.Fatalf("listening on %v and %v, want two of each", auths, accts)
	}
	p.known("127.0.0.2:" + auths[1])
	out := pyrad(t, "127.0.0.2", auths[1], accts[1])
	for what, want := range map[string]string{
		"pap":        `code=2 Acct-Interim-Interval=\d+ Class:\d+ Message-Authenticator:16 Mikrotik-Rate-Limit=250M/500M Proxy-State=b'through a proxy'`,
		"pap-wrong":  `code=3 Message-Authenticator:16 Proxy-State=b'through a proxy'`,
		"chap":       `code=2 .*Mikrotik-Rate-Limit=250M/500M.*`,
		"chap-wrong": `code=3 Message-Authenticator:16 Proxy-State=b'through a proxy'`,
		"start":      `code=5 Proxy-State=b'through a proxy'`,
		"interim":    `code=5 Proxy-State=b'through a proxy'`,
		"stop":       `code=5 Proxy-State=b'through a proxy'`,
	} {
		if !matches(out, what+" "+want) {
			t.Errorf("%s is not answered with %s\n%s", what, want, out)
		}
	}
	p.stored("pyrad-1", 1, "2000 18000 1")
}

func pyrad(t *testing.T, address, auth, acct string) string {
	t.Helper()
	out, err := exec.Command("/usr/bin/python3", "testdata/pyrad/client.py", address, auth, acct, storySecret, storyLogin, storyPassword).CombinedOutput()
	if err != nil {
		t.Fatalf("running python3-pyrad: %v\n%s", err, out)
	}
	return string(out)
}

// TestIPv6Transport has radclient log in and account over IPv6: on an address, and on the wildcard, which answers from the
// address that was asked.
func TestIPv6Transport(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00", "--auth-listen", "[::1]:0", "--acct-listen", "[::]:0")
	provide(t, p, "mikrotik", "127.0.1.1")
	p.api("POST", "/api/v1/devices", object{"name": "six", "source": "::1", "secret": storySecret, "dialect": "mikrotik"}, 201)
	auths, accts := listeners(t, p)
	login := fmt.Sprintf("User-Name=%s,User-Password=%q,Message-Authenticator=0x00", storyLogin, storyPassword)
	p.known("[::1]:" + auths[1])
	if ok, out := radclient(t, "[::1]:"+auths[1], "auth", storySecret, login); !ok || !strings.Contains(out, "250M/500M") {
		t.Errorf("a login over IPv6:\n%s", out)
	}
	record := "User-Name=" + storyLogin + ",Acct-Session-Id=six-1,Acct-Status-Type=Stop,Acct-Session-Time=60,Acct-Input-Octets=1,Acct-Output-Octets=2,Acct-Terminate-Cause=User-Request"
	if ok, out := radclient(t, "[::1]:"+accts[1], "acct", storySecret, record); !ok {
		t.Errorf("accounting over IPv6:\n%s", out)
	}
	p.stored("six-1", 1, "1 2 1")
}

// TestPPPD has pppd's own radius plugin log subscribers in and account for their sessions.
func TestPPPD(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00")
	provide(t, p, "standard", "127.0.1.1")
	host := newPPPD(t, p)
	nt := func(password string) string {
		utf16, err := rfc2759.ToUTF16([]byte(password))
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(rfc2759.ChallengeResponse(pppdChallenge[:8], rfc2759.NTPasswordHash(utf16)))
	}
	v1 := func(password string) string { return strings.Repeat("00", 24) + nt(password) + "01" }
	peer := []byte("0123456789abcdef")
	v2 := func(password string) (response, sent []byte) {
		sent, err := rfc2759.GenerateNTResponse(pppdChallenge, peer, []byte(storyLogin), []byte(password))
		if err != nil {
			t.Fatal(err)
		}
		return append(append(append(append([]byte{}, peer...), make([]byte, 8)...), sent...), 0), sent
	}
	chap := func(password string) string {
		sum := md5.Sum(append(append([]byte{7}, password...), pppdChallenge...))
		return hex.EncodeToString(sum[:])
	}
	challenge := hex.EncodeToString(pppdChallenge)
	right, ntResponse := v2(storyPassword)
	wrong, _ := v2("wrong")
	key := func(isSend bool) string {
		k, err := rfc3079.MakeKey(ntResponse, []byte(storyPassword), isSend)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(k[:16])
	}
	success, err := rfc2759.GenerateAuthenticatorResponse(pppdChallenge, peer, ntResponse, []byte(storyLogin), []byte(storyPassword))
	if err != nil {
		t.Fatal(err)
	}
	p.known(p.auth)
	accepted := 0
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"PAP":              {[]string{"pap", storyLogin, storyPassword}, []string{"accepted 1"}},
		"PAP, wrong":       {[]string{"pap", storyLogin, "wrong"}, []string{"accepted 0"}},
		"CHAP":             {[]string{"chap", storyLogin, "5", "7", challenge, chap(storyPassword)}, []string{"accepted 1"}},
		"CHAP, wrong":      {[]string{"chap", storyLogin, "5", "7", challenge, chap("wrong")}, []string{"accepted 0"}},
		"MS-CHAP":          {[]string{"chap", storyLogin, "128", "7", challenge[:16], v1(storyPassword)}, []string{"accepted 1"}},
		"MS-CHAP, wrong":   {[]string{"chap", storyLogin, "128", "7", challenge[:16], v1("wrong")}, []string{"accepted 0"}},
		"MS-CHAPv2":        {[]string{"chap", storyLogin, "129", "7", challenge, hex.EncodeToString(right)}, []string{"accepted 1", "message " + success + ".*", "mppe-send " + key(true), "mppe-recv " + key(false)}},
		"MS-CHAPv2, wrong": {[]string{"chap", storyLogin, "129", "7", challenge, hex.EncodeToString(wrong)}, []string{"accepted 0"}},
	} {
		out := host.run(c.args...)
		for _, want := range c.want {
			if !matches(out, want) {
				t.Errorf("%s: the plugin does not say %q\n%s", name, want, out)
			}
		}
		if c.want[0] == "accepted 1" {
			accepted++
			if !matches(out, `interim-after (2[7-9]|3[0-9])\d`) {
				t.Errorf("%s: no interval of interim records\n%s", name, out)
			}
		}
	}
	// The plugin counts no traffic without a link, but it says who, when, and why it ended.
	p.eventually("the plugin's sessions are stored", func() error {
		conn, err := pgx.Connect(t.Context(), p.database)
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		var n int
		err = conn.QueryRow(t.Context(), `select count(*) from session_history where login = $1 and closed_by = 'stop' and access_id > 0`, storyLogin).Scan(&n)
		if err == nil && n != accepted {
			err = fmt.Errorf("%d are, of %d", n, accepted)
		}
		return err
	})
}

var pppdChallenge = []byte("sixteen octets!!")

// pppd runs pppd's radius plugin: testdata/pppd/host.c stands in for pppd, which needs PPP in the kernel.
type pppd struct {
	t                    *testing.T
	host, config, plugin string
}

func newPPPD(t *testing.T, p *program) pppd {
	t.Helper()
	plugins, err := filepath.Glob("/usr/lib/pppd/*/radius.so")
	if err != nil || len(plugins) == 0 {
		t.Fatalf("pppd's radius plugin is not here (Debian's package ppp): %v", err)
	}
	dir := t.TempDir()
	d := pppd{t, filepath.Join(dir, "host"), filepath.Join(dir, "radiusclient.conf"), plugins[0]}
	if out, err := exec.Command("tcc", "-rdynamic", "-o", d.host, "testdata/pppd/host.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("compiling the plugin's host (Debian's packages tcc and libc6-dev): %v\n%s", err, out)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	page := readVendorPage(t, "roaring-penguin.md")
	for name, text := range map[string]string{
		"port-id-map": "/dev/pts/0\t1\n",
		"servers":     page.block("servers", "192.0.2.10", "127.0.0.1", "change-this-secret", storySecret),
		"dictionary":  page.block("dictionary"),
		"radiusclient.conf": page.block("radiusclient.conf", "192.0.2.10:1812", p.auth, "192.0.2.10:1813", p.acct,
			"/etc/radiusclient/", dir+"/", "/etc/", dir+"/", "/var/run/", dir+"/"),
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// run calls the plugin once and gives what it was told.
func (d pppd) run(args ...string) string {
	d.t.Helper()
	cmd := exec.Command(d.host, append([]string{d.plugin, d.config}, args...)...)
	out, err := cmd.CombinedOutput()
	if _, exit := err.(*exec.ExitError); err != nil && !exit {
		d.t.Fatalf("running the plugin: %v", err)
	}
	return string(out)
}

// listeners are the ports of every listener, in the order of the settings.
func listeners(t *testing.T, p *program) (auths, accts []string) {
	t.Helper()
	line := servingLine.FindString(p.log.String())
	_, rest, _ := strings.Cut(line, `"auth":"[`)
	auth, rest, _ := strings.Cut(rest, `]","accounting":"[`)
	acct, _, _ := strings.Cut(rest, `]","panel"`)
	ports := func(list string) (out []string) {
		for _, address := range strings.Fields(list) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, port)
		}
		return out
	}
	return ports(auth), ports(acct)
}

// known waits until the story's login, which was just made, is accepted. The request has no Message-Authenticator, which
// would be required of the device from then on.
func (p *program) known(auth string) {
	p.t.Helper()
	p.eventually("the login is known", func() error {
		if ok, out := radclient(p.t, auth, "auth", storySecret, fmt.Sprintf("User-Name=%s,User-Password=%q", storyLogin, storyPassword)); !ok {
			return errors.New(out)
		}
		return nil
	})
}

// stored waits until so many ended sessions have an Acct-Session-Id, each with these octets and this cause.
func (p *program) stored(id string, n int, want string) {
	p.t.Helper()
	p.eventually("session "+id+" is stored", func() error {
		conn, err := pgx.Connect(p.t.Context(), p.database)
		if err != nil {
			return err
		}
		defer conn.Close(p.t.Context())
		rows, err := conn.Query(p.t.Context(), `select concat_ws(' ', input_octets, output_octets, terminate_cause) from session_history where session_id = $1`, id)
		if err != nil {
			return err
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if len(got) != n {
			return fmt.Errorf("%d times, want %d: %q", len(got), n, got)
		}
		for _, g := range got {
			if g != want {
				p.t.Fatalf("session %s is stored as %q, want %q", id, g, want)
			}
		}
		return nil
	})
}

// matches reports whether a whole line of a text is as a pattern says.
func matches(text, pattern string) bool {
	return regexp.MustCompile(`(?m)^` + pattern + `$`).MatchString(text)
}
