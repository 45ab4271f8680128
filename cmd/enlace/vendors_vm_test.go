//go:build interop

// Access servers that need a kernel of their own: PPP, wireless interfaces that exist in memory only, queues, nftables.
// A virtual machine with Debian's kernel has them; its files are this machine's, its writes go to memory. `make interop`.

package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"enlace/contracts"
)

// machine is a running virtual machine; its address is 10.0.2.15, and this machine's loopback is 10.0.2.2.
type machine struct {
	t     *testing.T
	in    io.Writer
	lines chan string
	n     int
	coa   string // on this machine: goes to port 3799 of the virtual one
}

// newMachine boots one. INTEROP_KERNEL is the folder that Debian's package of the kernel was unpacked into.
func newMachine(t *testing.T) *machine {
	t.Helper()
	kernels, err := filepath.Glob(filepath.Join(os.Getenv("INTEROP_KERNEL"), "boot/vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		t.Fatalf("INTEROP_KERNEL names no unpacked kernel (make interop): %v %v", kernels, err)
	}
	root := filepath.Dir(filepath.Dir(kernels[0]))
	version := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	m := &machine{t: t, lines: make(chan string, 10000), coa: "127.0.0.1:" + freePort(t)}
	cmd := exec.Command("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "512", "-no-reboot", "-display", "none", "-monitor", "none",
		"-serial", "stdio", "-kernel", kernels[0], "-initrd", initrd(t, root, version), "-append", "console=ttyS0 quiet panic=-1",
		"-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
		"-virtfs", "local,path="+filepath.Join(root, "lib/modules")+",mount_tag=modules,security_model=none,readonly=on",
		"-nic", "user,model=virtio-net-pci,hostfwd=udp:"+m.coa+"-:3799")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	m.in = in
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting QEMU (Debian's package qemu-system-x86): %v", err)
	}
	go func() {
		defer close(m.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			m.lines <- strings.TrimRight(s.Text(), "\r")
		}
	}()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	m.until("enlace-machine-is-up", 3*time.Minute)
	m.run("stty -echo; PS1= PS2=; dmesg -n 1; mkdir -p /lib/modules && mount --bind /run/modules /lib/modules")
	m.run("ip link set lo up && ip address add 10.0.2.15/24 dev eth0 && ip link set eth0 up")
	return m
}

// initrd writes the first files of the machine: busybox, and the modules that its disk needs.
func initrd(t *testing.T, root, version string) string {
	t.Helper()
	files := map[string]string{"init": `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host /root /rw /sbin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /m/*; do insmod $module; done
nine=trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose
mount -t 9p -o $nine host /host
mount -t tmpfs tmpfs /rw
mkdir /rw/up /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/up,workdir=/rw/work overlay /root
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
mkdir -p /root/dev/pts /root/dev/net
mount -t devpts devpts /root/dev/pts
for folder in run tmp etc/ppp etc/nftables.d var/lib; do mkdir -p /root/$folder; mount -t tmpfs tmpfs /root/$folder; done
mkdir /root/run/modules
mount -t 9p -o $nine modules /root/run/modules
exec chroot /root /bin/sh -c 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/; cd /; echo enlace-machine-is-up >/dev/ttyS0; exec setsid -c sh <>/dev/ttyS0 >&0 2>&0'
`}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("Debian's package busybox-static: %v", err)
	}
	b, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	files["bin/busybox"] = string(b)
	if out, err := exec.Command("/sbin/depmod", "-b", root, version).CombinedOutput(); err != nil {
		t.Fatalf("depmod (Debian's package kmod): %v\n%s", err, out)
	}
	for _, module := range []string{"virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_net"} {
		out, err := exec.Command("/sbin/modprobe", "-d", root, "-S", version, "--show-depends", module).CombinedOutput()
		if err != nil {
			t.Fatalf("modprobe %s: %v\n%s", module, err, out)
		}
		for line := range strings.Lines(string(out)) {
			path, ok := strings.CutPrefix(strings.TrimSpace(line), "insmod ")
			if !ok {
				continue
			}
			if b, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
			// The order of the names is the order in which they are loaded.
			name := filepath.Base(path)
			known := false
			for f := range files {
				known = known || strings.HasSuffix(f, "-"+name)
			}
			if !known {
				files[fmt.Sprintf("m/%03d-%s", len(files), name)] = string(b)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "initrd")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	number := 0
	entry := func(name string, mode uint64, data string) {
		number++
		fields := []uint64{uint64(number), mode, 0, 0, 1, 0, uint64(len(data)), 0, 0, 0, 0, uint64(len(name) + 1), 0}
		header := "070701"
		for _, v := range fields {
			header += fmt.Sprintf("%08X", v)
		}
		pad := func(s string) string { return s + strings.Repeat("\x00", (4-len(s)%4)%4) }
		io.WriteString(z, pad(header+name+"\x00")+pad(data))
	}
	entry("bin", 0o40755, "")
	entry("m", 0o40755, "")
	for name, data := range files {
		entry(name, 0o100755, data)
	}
	entry("TRAILER!!!", 0, "")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// until reads to a line, and gives what came before it.
func (m *machine) until(last string, wait time.Duration) []string {
	m.t.Helper()
	var lines []string
	deadline := time.After(wait)
	for {
		select {
		case line, open := <-m.lines:
			if !open {
				m.t.Fatalf("the machine ended:\n%s", strings.Join(lines, "\n"))
			}
			if strings.HasPrefix(line, last) {
				return append(lines, strings.TrimPrefix(line, last))
			}
			lines = append(lines, line)
		case <-deadline:
			m.t.Fatalf("the machine does not say %s:\n%s", last, strings.Join(lines, "\n"))
		}
	}
}

// try runs a command of the shell as root and gives what it printed and its status.
func (m *machine) try(command string) (string, int) {
	m.t.Helper()
	m.n++
	mark := fmt.Sprintf("enlace-end-%d:", m.n)
	fmt.Fprintf(m.in, "{ %s\n} 2>&1; status=$?; echo; echo %s$status\n", command, mark[:10]+"\"\""+mark[10:])
	lines := m.until(mark, 2*time.Minute)
	status, err := strconv.Atoi(strings.TrimSpace(lines[len(lines)-1]))
	if err != nil {
		m.t.Fatalf("%s: %q", command, lines)
	}
	return strings.TrimSpace(strings.Join(lines[:len(lines)-1], "\n")), status
}

// run runs a command that must succeed.
func (m *machine) run(command string) string {
	m.t.Helper()
	out, status := m.try(command)
	if status != 0 {
		m.t.Fatalf("%s: status %d\n%s", command, status, out)
	}
	return out
}

// write puts a file on the machine.
func (m *machine) write(path, text string) {
	m.t.Helper()
	m.run("mkdir -p " + filepath.Dir(path) + " && cat >" + path + " <<'ENLACE'\n" + text + "\nENLACE")
}

// outside is an address of this machine as the virtual one has it.
func outside(t *testing.T, address string) string {
	return net.JoinHostPort("10.0.2.2", portIn(t, address))
}

// TestInteropHostapd has a station associate with hostapd, whose configuration is its page's, on wireless interfaces that
// exist in the machine's memory.
func TestInteropHostapd(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00")
	s := provide(t, p, "standard", "127.0.1.1")
	m := newMachine(t)
	s.client("ap-1", object{"message_authenticator": "yes"})
	m.run("modprobe mac80211_hwsim radios=2")
	mac := m.run("cat /sys/class/net/wlan1/address")
	access := s.access(object{"login": "house-1", "line": object{"no_password": true, "mac": object{"mode": "fixed", "value": mac}}})
	m.write("/tmp/hostapd.conf", readVendorPage(t, "hostapd.md").block("hostapd.conf", "192.0.2.10", "10.0.2.2", "192.0.2.1", "10.0.2.15",
		"change-this-secret", storySecret, "auth_server_port=1812", "auth_server_port="+portIn(t, p.auth), "acct_server_port=1813", "acct_server_port="+portIn(t, p.acct)))
	m.write("/tmp/station.conf", "ctrl_interface=/run/station\nnetwork={\n ssid=\"provider\"\n psk=\"a key that all stations share\"\n}")
	m.run("hostapd -B -t -f /tmp/hostapd.log /tmp/hostapd.conf && wpa_supplicant -B -i wlan1 -c /tmp/station.conf")
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.try("hostapd -v; cat /tmp/hostapd.log; iw dev wlan1 link")
			t.Logf("hostapd wrote:\n%s", out)
		}
	})
	// session is the station's open session, which is the contract's.
	session := func() (found map[string]any) {
		s.eventually("the station has a session", func() error {
			for _, one := range s.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any) {
				if found = one.(map[string]any); fmt.Sprint(found["contract_id"]) == s.contract {
					return nil
				}
			}
			return fmt.Errorf("it has none")
		})
		return found
	}
	disconnect := func(attributes string) (bool, string) {
		return radclient(t, m.coa, "disconnect", storySecret, attributes+",Message-Authenticator=0x00")
	}
	online := session()
	first := online["session_id"].(string)
	if ok, out := disconnect("User-Name=house-1,Acct-Session-Id=" + first); ok || !strings.Contains(out, "Session-Context-Not-Found") {
		t.Errorf("hostapd knows a station without EAP by its User-Name\n%s", out)
	}
	if ok, out := radclient(t, m.coa, "coa", storySecret, "Acct-Session-Id="+first+",Filter-Id=enlace-walled,Message-Authenticator=0x00"); ok {
		t.Errorf("hostapd takes a CoA-Request\n%s", out)
	}
	if ok, out := disconnect("Acct-Session-Id=" + first); !ok {
		t.Fatalf("hostapd does not disconnect by Acct-Session-Id\n%s", out)
	}
	s.eventually("the first session was ended by a Stop", func() error {
		closed := s.api("GET", "/api/v1/sessions/closed?login="+url.QueryEscape(online["login"].(string)), nil, 200)["items"].([]any)
		for _, one := range closed {
			if o := one.(map[string]any); o["session_id"] == first && o["closed_by"] == "stop" {
				return nil
			}
		}
		return fmt.Errorf("of %v: %v", online["login"], closed)
	})
	// The station comes again at once, and hostapd begins its session under the same Acct-Session-Id.
	m.run("for i in $(seq 100); do [ $(grep -c 'starting accounting session " + first + "' /tmp/hostapd.log) = 2 ] && break; sleep 1; done; [ $i -lt 100 ]")

	// Switched off: thirty seconds later hostapd asks about the station again, and lets it in no more.
	s.api("POST", access+"/disable", object{"reason": "story"}, 200)
	m.run("wpa_cli -p /run/station -i wlan1 disconnect; sleep 31; wpa_cli -p /run/station -i wlan1 reconnect")
	s.eventually("the station is refused", func() error {
		if !strings.Contains(p.log.String(), `"LOGIN_DISABLED"`) {
			return errors.New("it is not")
		}
		return nil
	})
	if out := m.run("iw dev wlan1 link"); !strings.Contains(out, "Not connected") {
		t.Errorf("the station is connected\n%s", out)
	}
}

// TestInteropPPPoE has a subscriber dial in through pppoe-server and pppd in the kernel, configured as their page says, and
// the page's script make rates and wall of what Enlace answered.
func TestInteropPPPoE(t *testing.T) {
	p := start(t, "2026-01-15T10:00:00-03:00")
	s := provide(t, p, "roaring-penguin", "127.0.1.1")
	m := newMachine(t)
	device := s.client("pppoe-1", object{"message_authenticator": "no"})
	p.known(p.auth)
	s.access(object{"login": "house-1", "password": storyPassword, "line": object{"ipv4": "100.64.0.77"}})
	page := readVendorPage(t, "roaring-penguin.md")
	for path, text := range map[string]string{
		"/etc/radiusclient/radiusclient.conf": page.block("radiusclient.conf", "192.0.2.10:1812", outside(t, p.auth), "192.0.2.10:1813", outside(t, p.acct)),
		"/etc/radiusclient/servers":           page.block("servers", "192.0.2.10", "10.0.2.2", "change-this-secret", storySecret),
		"/etc/radiusclient/dictionary":        page.block("dictionary"),
		"/etc/radiusclient/port-id-map":       "",
		"/etc/ppp/options":                    "",
		"/etc/ppp/pppoe-server-options":       page.block("options") + "\nlogfile /tmp/server.log\n",
		"/etc/ppp/ip-up":                      page.block("sh"),
		"/etc/ppp/chap-secrets":               "house-1 * \"" + storyPassword + "\" *",
		"/tmp/wall.nft":                       page.block("nft"),
	} {
		m.write(path, text)
	}
	m.run("hostname gateway; echo 10.0.2.15 gateway >>/etc/hosts; chmod 700 /etc/ppp/ip-up; chmod 600 /etc/ppp/chap-secrets; nft -f /tmp/wall.nft")
	// The subscriber is at the other end of a cable, in a network namespace of its own.
	m.run("modprobe pppoe; [ -e /dev/ppp ] || mknod /dev/ppp c 108 0; ip netns add home && ip link add eth1 type veth peer name wan netns home && ip link set eth1 up && ip -n home link set wan up && ip -n home link set lo up")
	m.run("pppoe-server -I eth1 -L 100.64.0.1 -R 100.64.0.2 -N 100 -C internet -k -O /etc/ppp/pppoe-server-options -X /run/pppoe-server.pid")
	// The rest of the world is in another: the portal, and what a walled subscriber must not reach.
	m.run(`sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip netns add world && ip link add eth2 type veth peer name wan netns world
ip address add 192.0.2.1/24 dev eth2 && ip -6 address add 2001:db8:0:80::1/64 dev eth2 nodad && ip link set eth2 up && ip -n world link set wan up
for a in 192.0.2.80/24 203.0.113.1/32 2001:db8:0:80::80/64 2001:db8:beef::1/128; do ip -n world address add $a dev wan nodad 2>/dev/null || ip -n world address add $a dev wan; done
ip -n world route add default via 192.0.2.1 && ip -n world -6 route add default via 2001:db8:0:80::1
ip route add 203.0.113.1 via 192.0.2.80 && ip -6 route add 2001:db8:beef::1 via 2001:db8:0:80::80`)
	// dial has the subscriber log in and be given IPv6 by hand, as a router might that does not ask Enlace.
	dial := func() {
		m.run("ip netns exec home pppd plugin rp-pppoe.so nic-wan user house-1 noauth updetach noipdefault defaultroute +ipv6 maxfail 3 linkname home logfile /tmp/home.log")
		m.run(`for i in $(seq 50); do ip -n home -6 address show dev ppp0 2>/dev/null | grep -q fe80 && break; sleep 0.2; done
ip -n home -6 address add 2001:db8:1::2/64 dev ppp0 nodad && ip -n home -6 route add default dev ppp0 && ip -6 route replace 2001:db8:1::/64 dev ppp0`)
	}
	hangUp := func() {
		m.run("kill $(head -n 1 /run/ppp-home.pid); for i in $(seq 100); do [ -e /sys/class/net/ppp0 ] || break; sleep 0.2; done; [ ! -e /sys/class/net/ppp0 ]")
	}
	reaches := func(address string, want bool) {
		t.Helper()
		if out, status := m.try("ip netns exec home busybox ping -c 3 -W 2 " + address); (status == 0) != want {
			t.Errorf("the subscriber reaches %s: %v, want %v\n%s", address, status == 0, want, out)
		}
	}
	shaped := func(down, up string) {
		t.Helper()
		s.eventually("the interface has its rates", func() error {
			if out := m.run("tc qdisc show dev ppp0; tc filter show dev ppp0 parent ffff:"); !strings.Contains(out, "tbf") ||
				!strings.Contains(out, "rate "+down+" ") || !strings.Contains(out, "police") || !strings.Contains(out, "rate "+up+" ") {
				return errors.New(out)
			}
			return nil
		})
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.try("cat /tmp/home.log /tmp/server.log; ip address; ls -la /run/radattr*; cat /run/radattr*; tail -30 /var/log/syslog")
			t.Logf("the machine has:\n%s", out)
		}
	})
	dial()
	s.eventually("the session is seen", func() error { return s.shown(device, "100.64.0.77") })
	shaped("500Mbit", "250Mbit")
	for _, address := range []string{"192.0.2.80", "203.0.113.1", "2001:db8:0:80::80", "2001:db8:beef::1"} {
		reaches(address, true)
	}
	hangUp()
	s.eventually("its traffic is told", func() error {
		for _, one := range s.api("GET", "/api/v1/sessions/closed?login=house-1", nil, 200)["items"].([]any) {
			if o := one.(map[string]any); o["closed_by"] == "stop" && o["input_octets"].(float64) > 500 && o["output_octets"].(float64) > 500 {
				return nil
			}
		}
		return errors.New("no Stop with the traffic of some pings")
	})

	s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/manual-block", object{"reason": "story"}, 200)
	s.status(contracts.BlockedManual)
	dial()
	if out := m.run("cat /run/radattr.ppp0"); !matches(out, "Filter-Id enlace-walled") {
		t.Errorf("the login is not walled:\n%s", out)
	}
	shaped("1Mbit", "1Mbit")
	reaches("192.0.2.80", true)
	reaches("203.0.113.1", false)
	reaches("2001:db8:0:80::80", true)
	reaches("2001:db8:beef::1", false)
	hangUp()

	// Out of it again: the interface is the same, and its set no longer holds it.
	s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/manual-unblock", object{"reason": "story"}, 200)
	s.status(contracts.Active)
	dial()
	reaches("203.0.113.1", true)
	reaches("2001:db8:beef::1", true)
}
