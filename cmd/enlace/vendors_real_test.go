package main

import (
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

	"enlace/contracts"
	"enlace/nas"
)

// vendorPage is a page of docs/vendors. What it says to enter on a device is what the tests enter.
type vendorPage struct {
	t          *testing.T
	name, text string
}

func readVendorPage(t *testing.T, name string) vendorPage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../docs/vendors", name))
	if err != nil {
		t.Fatal(err)
	}
	return vendorPage{t, name, string(b)}
}

// block is the page's fenced block of a language, with what the page names by example replaced: pairs of old and new.
func (p vendorPage) block(language string, pairs ...string) string {
	p.t.Helper()
	_, rest, ok := strings.Cut(p.text, "```"+language+"\n")
	text, _, closed := strings.Cut(rest, "\n```")
	if !ok || !closed {
		p.t.Fatalf("docs/vendors/%s has no block of %s", p.name, language)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			p.t.Fatalf("the block of %s in docs/vendors/%s does not say %q\n%s", language, p.name, pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text + "\n"
}

// TestVendorPages wants a row of the index for every dialect, a page behind every link, and every page to say what it was
// tried with.
func TestVendorPages(t *testing.T) {
	index := readVendorPage(t, "README.md")
	for _, d := range nas.NewDialects(nas.DefaultGarden()).All() {
		if !matches(index.text, "\\| `"+regexp.QuoteMeta(d.Name)+"` \\| \\[[^]]+\\]\\([a-z-]+\\.md\\) \\|.*") {
			t.Errorf("the table of docs/vendors/README.md has no row of the dialect %s", d.Name)
		}
	}
	pages, err := filepath.Glob("../../docs/vendors/*.md")
	if err != nil || len(pages) < 2 {
		t.Fatalf("%v %v", pages, err)
	}
	for _, path := range pages {
		page := readVendorPage(t, filepath.Base(path))
		if page.name != "README.md" && !strings.Contains(index.text, "]("+page.name+")") {
			t.Errorf("docs/vendors/README.md does not link %s", page.name)
		}
		if matches(index.text, "\\| `[a-z-]+` \\| \\[[^]]+\\]\\("+regexp.QuoteMeta(page.name)+"\\) \\|.*") {
			if !matches(page.text, "(Written|Tried) .*") && !strings.Contains(page.text, "Their own pages say what was tried") {
				t.Errorf("%s does not say what it was tried with", page.name)
			}
			if !strings.Contains(page.text, "\n| dialect | `") || !strings.Contains(page.text, "IPv6 in the walled garden |") {
				t.Errorf("%s does not say the dialect, or not what becomes of IPv6", page.name)
			}
		}
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(page.text, -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			if strings.HasPrefix(target, "https://") {
				continue
			}
			b, err := os.ReadFile(filepath.Join("../../docs/vendors", target))
			if err != nil {
				t.Errorf("%s: %v", page.name, err)
			} else if anchor != "" && !strings.Contains(strings.ToLower(string(b)), "# "+strings.ReplaceAll(anchor, "-", " ")) {
				t.Errorf("%s: %s has no heading %s", page.name, target, anchor)
			}
		}
	}
}

// TestVendorPagesNameWhatIsSent wants every name that a dialect sends, of a policy, a service, a filter or a list, on that
// dialect's page: there it is configured.
func TestVendorPagesNameWhatIsSent(t *testing.T) {
	index, garden := readVendorPage(t, "README.md"), nas.DefaultGarden()
	names := regexp.MustCompile(`enlace(-[a-z0-9]+)+`)
	for _, d := range nas.NewDialects(garden).All() {
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(d.Name) + "` \\| \\[[^]]+\\]\\(([a-z-]+\\.md)\\)").FindStringSubmatch(index.text)
		if row == nil {
			t.Fatalf("%s has no page", d.Name)
		}
		page := readVendorPage(t, row[1])
		if !strings.Contains(page.text, "| dialect | `"+d.Name+"`") {
			t.Errorf("%s is not the page of the dialect %s", page.name, d.Name)
		}
		for outcome, percent := range map[contracts.Outcome]uint64{contracts.OutcomeFull: 100, contracts.OutcomeReduced: 10, contracts.OutcomeWalled: 0} {
			s := nas.Service{Outcome: outcome, Profile: contracts.Profile{DownBps: 5_000_000 * percent, UpBps: 2_500_000 * percent}}
			attrs, err := d.Accept(s)
			if err != nil {
				t.Fatalf("%s %s: %v", d.Name, outcome, err)
			}
			for _, said := range nas.Describe(attrs) {
				for _, name := range names.FindAllString(said, -1) {
					if !strings.Contains(page.text, name) {
						t.Errorf("%s does not name %s, which the dialect sends: %s", page.name, name, said)
					}
				}
			}
		}
	}
}

// freePort is a UDP port of 127.0.0.1 that nobody has.
func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return portIn(t, c.LocalAddr().String())
}

func portIn(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// client makes the device of 127.0.0.1, which provide made for radclient, a real client's.
func (s *story) client(name string, more object) float64 {
	s.t.Helper()
	for _, d := range s.api("GET", "/api/v1/devices", nil, 200)["items"].([]any) {
		if d := d.(map[string]any); d["name"] == "radclient" {
			o := object{"name": name, "source": "127.0.0.1", "dialect": d["dialect"], "interim_seconds": 60}
			for k, v := range more {
				o[k] = v
			}
			s.api("PUT", fmt.Sprintf("/api/v1/devices/%.0f", d["id"]), o, 200)
			return d["id"].(float64)
		}
	}
	s.t.Fatal("radclient's device is not there")
	return 0
}

// TestPPPDAttributes has pppd's plugins write down what the Access-Accept said, and the page's script make rates and wall
// of it.
func TestPPPDAttributes(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00")
	s := provide(t, p, "standard", "127.0.1.1")
	host := newPPPD(t, p)
	p.known(p.auth)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	tool := "#!/bin/sh\necho \"$(basename \"$0\") $*\"\n"
	for name, text := range map[string]string{"ip-up": readVendorPage(t, "roaring-penguin.md").block("sh"), "tc": tool, "nft": tool} {
		if err := os.WriteFile(at(name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RADATTR", filepath.Join(filepath.Dir(host.plugin), "radattr.so"))
	t.Setenv("RADATTR_FILE", at("attributes"))
	// up logs in, and gives what the script does to the session's interface.
	up := func() (attributes, done string) {
		if out := host.run("pap", storyLogin, storyPassword); !matches(out, "accepted 1") {
			t.Fatalf("the login is not accepted\n%s", out)
		}
		b, err := os.ReadFile(at("attributes"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(at("ip-up"), "ppp0", "/dev/pts/0", "0", "100.64.0.1", "100.64.0.2")
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "RADATTR=" + at("attributes")}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("the page's script: %v\n%s", err, out)
		}
		return string(b), string(out)
	}
	attributes, done := up()
	for _, want := range []string{"WISPr-Bandwidth-Max-Down 500000000", "WISPr-Bandwidth-Max-Up 250000000", `Class enl1:.*`} {
		if !matches(attributes, want) {
			t.Errorf("the plugin does not write %q\n%s", want, attributes)
		}
	}
	if want := "nft delete element inet enlace walled_if { ppp0 }\n" +
		"tc qdisc replace dev ppp0 root tbf rate 500000kbit burst 256k latency 50ms\n" +
		"tc qdisc replace dev ppp0 handle ffff: ingress\n" +
		"tc filter replace dev ppp0 parent ffff: protocol all prio 1 matchall action police rate 250000kbit burst 256k conform-exceed drop/pipe\n"; done != want {
		t.Errorf("the script did\n%s, want\n%s", done, want)
	}
	s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/manual-block", object{"reason": "story"}, 200)
	s.eventually("a login is walled", func() error {
		attributes, done = up()
		if !matches(attributes, "Filter-Id enlace-walled") || !matches(attributes, "Session-Timeout 3600") {
			return fmt.Errorf("the plugin writes\n%s", attributes)
		}
		return nil
	})
	if !matches(done, "nft add element inet enlace walled_if { ppp0 }") || !strings.Contains(done, "tbf rate 1000kbit") {
		t.Errorf("the script walls nobody:\n%s", done)
	}
}

// charon is strongSwan's daemon as an ordinary user, without the kernel's IPsec.
type charon struct {
	t        *testing.T
	dir, uri string
	log      *logBuffer
}

// newCharon starts charon with a configuration of its own and loads connections and secrets.
func newCharon(t *testing.T, config, swanctl string) *charon {
	t.Helper()
	// Sockets have short names.
	dir, err := os.MkdirTemp("", "charon-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	c := &charon{t: t, dir: dir, uri: "unix://" + at("vici"), log: &logBuffer{}}
	if out, err := exec.Command("tcc", "-shared", "-o", at("no_kernel.so"), "testdata/strongswan/no_kernel.c").CombinedOutput(); err != nil {
		t.Fatalf("compiling what stands in for the kernel (Debian's package tcc): %v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"strongswan.conf": `charon {
  load = no-kernel random nonce aes sha1 sha2 hmac md5 kdf gmp socket-default vici xauth-generic eap-radius
  plugins {
    vici {
      socket = ` + c.uri + `
    }
  }
  filelog {
    stderr {
      default = 1
      cfg = 2
      time_format = %H:%M:%S
    }
  }
}
` + config,
		"swanctl.conf": swanctl,
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/sbin/charon-systemd")
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+at("strongswan.conf"), "LD_PRELOAD="+at("no_kernel.so"))
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting charon (Debian's package charon-systemd): %v", err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("charon wrote:\n%s", tail(c.log.String(), 60))
		}
	})
	eventually(t, "charon listens", func() error {
		select {
		case <-ended:
			t.Fatalf("charon ended:\n%s", c.log)
		default:
		}
		_, err := os.Stat(at("vici"))
		return err
	})
	for _, load := range []string{"--load-creds", "--load-conns"} {
		c.swanctl(load, "--file", at("swanctl.conf"))
	}
	return c
}

func (c *charon) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/sbin/swanctl", append(args, "--uri", c.uri)...)
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(c.dir, "strongswan.conf"), "SWANCTL_DIR="+c.dir)
	return cmd
}

// swanctl runs strongSwan's tool on this charon.
func (c *charon) swanctl(args ...string) string {
	c.t.Helper()
	out, err := c.command(args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("swanctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// strongSwanLogin is an access of its own, with an address that strongSwan hands on.
const strongSwanLogin = "vpn@isp"

// TestStrongSwan has a subscriber log in through strongSwan's VPN gateway, whose configuration is its page's.
func TestStrongSwan(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00")
	s := provide(t, p, "standard", "127.0.1.1")
	access := s.access(object{"login": strongSwanLogin, "password": storyPassword, "line": object{"ipv4": "203.0.113.7"}})
	page := readVendorPage(t, "strongswan.md")
	ike, natt, dae := freePort(t), freePort(t), freePort(t)
	device := s.client("vpn-1", object{"coa": "127.0.0.1:" + dae, "message_authenticator": "yes"})
	gateway := newCharon(t, "charon {\n  port = "+ike+"\n  port_nat_t = "+natt+"\n}\n"+
		page.block("strongswan.conf", "192.0.2.10", "127.0.0.1", "192.0.2.1", "127.0.0.1", "change-this-secret", storySecret,
			"auth_port = 1812", "auth_port = "+portIn(t, p.auth), "acct_port = 1813", "acct_port = "+portIn(t, p.acct), "port = 3799", "port = "+dae),
		page.block("swanctl.conf", "192.0.2.1", "127.0.0.1"))
	subscriber := func(name, password string) string {
		return `connections {
  ` + name + ` {
    version = 1
    local_addrs = 127.0.0.1
    remote_addrs = 127.0.0.1
    remote_port = ` + natt + `
    vips = 0.0.0.0
    local-ike {
      auth = psk
    }
    local-login {
      auth = xauth
      xauth_id = ` + strongSwanLogin + `
    }
    remote {
      auth = psk
      id = vpn.example.net
    }
  }
}
secrets {
  ike {
    id = vpn.example.net
    secret = "a key that all subscribers share"
  }
  xauth {
    id = ` + strongSwanLogin + `
    secret = "` + password + `"
  }
}
`
	}
	random := "charon {\n  port = 0\n  port_nat_t = 0\n}\n"

	wrong := newCharon(t, random, subscriber("stranger", "wrong"))
	if out, err := wrong.initiate("stranger"); err == nil {
		t.Fatalf("strongSwan lets in a wrong password\n%s", out)
	}
	home := newCharon(t, random, subscriber("home", storyPassword))
	s.eventually("the login is accepted", func() error {
		out, err := home.initiate("home")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if sas := gateway.swanctl("--list-sas"); !strings.Contains(sas, "203.0.113.7") || !strings.Contains(sas, strongSwanLogin) {
		t.Errorf("strongSwan's session has not what the Access-Accept said:\n%s", sas)
	}
	// Class came back: the session is the contract's, and applies what its login was granted.
	s.eventually("the session is seen", func() error { return s.shown(device, "203.0.113.7") })
	if log := gateway.log.String(); !strings.Contains(log, "scheduling RADIUS Interim-Updates every ") {
		t.Error("strongSwan does not take the interval of interim records")
	}

	// Blocked: charon refuses a CoA-Request that brings no Session-Timeout, so the session is disconnected, the IKE_SA is
	// deleted, and a Stop says so.
	s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/manual-block", object{"reason": "story"}, 200)
	s.eventually("the session is ended", func() error {
		if sas := gateway.swanctl("--list-sas"); strings.Contains(sas, strongSwanLogin) {
			return fmt.Errorf("%s", sas)
		}
		return nil
	})
	s.eventually("its end is told", func() error {
		for _, one := range s.api("GET", "/api/v1/sessions/closed?login="+strongSwanLogin, nil, 200)["items"].([]any) {
			if o := one.(map[string]any); o["closed_by"] == "stop" && o["framed_ip"] == "203.0.113.7" {
				return nil
			}
		}
		return fmt.Errorf("no session was ended by a Stop")
	})
	if log := gateway.log.String(); !strings.Contains(log, "sending CoA-NAK") || !strings.Contains(log, "received RADIUS DAE Disconnect-Request for "+strongSwanLogin) {
		t.Error("strongSwan was not told by CoA first and by Disconnect then")
	}

	// No access any more.
	s.api("POST", access+"/disable", object{"reason": "story"}, 200)
	s.eventually("the login is refused", func() error {
		if out, err := home.initiate("home"); err == nil {
			return fmt.Errorf("strongSwan lets it in\n%s", out)
		}
		return nil
	})
}

// initiate brings a connection up, without a tunnel in it.
func (c *charon) initiate(name string) (string, error) {
	c.t.Helper()
	cmd := c.command("--initiate", "--ike", name, "--timeout", "20")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// shown wants one settled session of the story's contract on a device, with an address.
func (s *story) shown(device float64, address string) error {
	for _, one := range s.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any) {
		o := one.(map[string]any)
		if o["device_id"] != device {
			continue
		}
		if fmt.Sprint(o["contract_id"]) != s.contract || o["framed_ip"] != address || o["settled"] != true || o["applied"] != "FULL 500M/250M" {
			return fmt.Errorf("it shows %v", o)
		}
		return nil
	}
	return fmt.Errorf("there is none")
}
