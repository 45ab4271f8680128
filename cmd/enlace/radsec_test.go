package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"enlace/nas/nastest"
)

var radsecLine = regexp.MustCompile(`"radsec":"\[([0-9.:]+)\]"`)

// radsecproxy runs the real one between radclient and the program, with a certificate, and gives its UDP address.
func radsecproxy(t *testing.T, server, caFile string, with *nastest.Certificate) string {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := probe.LocalAddr().String()
	probe.Close()
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`ListenUDP %s
LogLevel 5
tls default {
	CACertificateFile %s
	CertificateFile %s
	CertificateKeyFile %s
}
client 127.0.0.1 {
	type udp
	secret testing123
}
server enlace {
	host %s
	port %s
	type tls
	secret radsec
	StatusServer on
}
realm * {
	server enlace
	accountingServer enlace
}
`, listen, caFile, file("cert"), file("key"), host, port)
	if err := with.Write(file("cert"), file("key")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	program := "radsecproxy"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/radsecproxy" // which a user's path does not name
	}
	cmd := exec.Command(program, "-f", "-c", file("conf"))
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("radsecproxy: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("radsecproxy wrote:\n%s", tail(log.String(), 40))
		}
	})
	return listen
}

// TestRadSec is a login and its accounting through the real radsecproxy, and what strangers get: nothing.
func TestRadSec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	authority, err := nastest.NewAuthority("provider")
	must(err)
	issue := func(cn string, names ...string) *nastest.Certificate {
		t.Helper()
		c, err := authority.Issue(cn, names, time.Now().Add(time.Hour))
		must(err)
		return c
	}
	must(os.WriteFile(file("ca"), authority.PEM, 0o600))
	must(issue("first").Write(file("cert"), file("key")))
	p := policyProvider(t, object{"name": "bras", "certificate": "Bras1.example.net", "dialect": "mikrotik"},
		"--radsec-listen", "127.0.0.1:0", "--radsec-cert", file("cert"), "--radsec-key", file("key"), "--radsec-ca", file("ca"))
	server := radsecLine.FindStringSubmatch(p.log.String())[1]
	if d := p.api("GET", "/api/v1/devices/1", nil, 200); d["certificate"] != "bras1.example.net" || d["source"] != nil {
		t.Errorf("the device is shown as %v", d)
	}

	mine := radsecproxy(t, server, file("ca"), issue("bras1", "bras1.example.net"))
	p.eventually("a login through radsecproxy", func() error {
		if ok, out := radclient(t, mine, "auth", "testing123", policyLogin); !ok || !strings.Contains(out, `Mikrotik-Rate-Limit = "250M/500M"`) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if ok, out := radclient(t, mine, "auth", "testing123", `User-Name = "ana@isp", CHAP-Password = "a-long-password", Message-Authenticator = 0x00`); !ok {
		t.Errorf("CHAP:\n%s", out)
	}
	if ok, out := radclient(t, mine, "auth", "testing123", `User-Name = "ana@isp", User-Password = "wrong"`); ok || !strings.Contains(out, "Access-Reject") {
		t.Errorf("a wrong password:\n%s", out)
	}
	if ok, out := radclient(t, mine, "acct", "testing123", `User-Name = "ana@isp", Acct-Status-Type = Start, Acct-Session-Id = "tls-1", Framed-IP-Address = 100.64.0.9`); !ok {
		t.Errorf("accounting:\n%s", out)
	}
	p.eventually("the session is listed", func() error {
		list := p.api("GET", "/api/v1/sessions?login=ana@isp", nil, 200)["items"].([]any)
		if len(list) != 1 || list[0].(map[string]any)["device"] != "bras" || list[0].(map[string]any)["session_id"] != "tls-1" {
			return fmt.Errorf("%v", list)
		}
		return nil
	})

	stranger := radsecproxy(t, server, file("ca"), issue("bras9", "bras9.example.net"))
	others, err := nastest.NewAuthority("another")
	must(err)
	forged, err := others.Issue("bras1", []string{"bras1.example.net"}, time.Now().Add(time.Hour))
	must(err)
	forger := radsecproxy(t, server, file("ca"), forged)
	for what, from := range map[string]string{"a name that is no device's": stranger, "another authority": forger} {
		if ok, out := radclient(t, from, "auth", "testing123", policyLogin); ok || strings.Contains(out, "Access-") && !strings.Contains(out, "No reply") {
			t.Errorf("%s is answered:\n%s", what, out)
		}
	}
	for _, result := range []string{"no_device", "bad_certificate"} {
		if n := p.metric(`enlace_radsec_connections_total{result="` + result + `"}`); n == "" || n == "0" {
			t.Errorf("%s: counted %q times", result, n)
		}
	}
	if ok, out := radclient(t, p.auth, "auth", "radsec", policyLogin); ok {
		t.Errorf("a device without a source is answered over UDP:\n%s", out)
	}

	must(issue("second").Write(file("cert"), file("key")))
	p.eventually("the new certificate is shown", func() error {
		with := issue("bras1", "bras1.example.net")
		conn, err := tls.Dial("tcp", server, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{with.TLS}})
		if err != nil {
			return err
		}
		defer conn.Close()
		if cn := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; cn != "second" {
			return fmt.Errorf("it shows %s", cn)
		}
		return nil
	})
	again := radsecproxy(t, server, file("ca"), issue("bras1", "bras1.example.net"))
	p.eventually("a login through a new connection", func() error {
		if ok, out := radclient(t, again, "auth", "testing123", policyLogin); !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if ok, out := radclient(t, mine, "auth", "testing123", policyLogin); !ok {
		t.Errorf("the connection made before the change:\n%s", out)
	}
	if log := p.log.String(); strings.Contains(log, "testing123") || strings.Contains(log, "PRIVATE") || strings.Contains(log, "a-long-password") {
		t.Errorf("the log tells secrets:\n%s", log)
	}
}
