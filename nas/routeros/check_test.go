package routeros

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/nastest"
)

// configured fills a router's menus as they should be.
func configured(w *world) Expectation {
	for menu, items := range map[string][]nastest.Item{
		"/radius": {{"service": "ppp,login", "address": "192.0.2.10", "secret": "shared-secret", "authentication-port": "1812", "accounting-port": "1813",
			"timeout": "3s", "require-message-auth": "yes-for-request-resp", "protocol": "udp", "accounting-backup": "false", "disabled": "false"}},
		"/radius/incoming": {{"accept": "true", "port": "3799", "vrf": "main"}},
		"/ppp/aaa":         {{"use-radius": "true", "accounting": "true", "interim-update": "5m", "enable-ipv6-accounting": "true"}},
		"/ppp/profile":     {{"name": "default", "remote-ipv6-prefix-pool": "none"}, {"name": "pppoe", "rate-limit": "10M/50M"}},
		"/ip/dns":          {{"allow-remote-requests": "false"}},
		"/ip/service": {{"name": "api", "port": "8728", "disabled": "true", "address": ""},
			{"name": "api-ssl", "port": "8729", "disabled": "false", "address": "192.0.2.10/32", "certificate": "api"}},
		"/system/ntp/client": {{"enabled": "true"}},
		"/ip/firewall/filter": {
			{"chain": "forward", "action": "accept", "protocol": "udp", "dst-port": "53", "src-address-list": "enlace-walled"},
			{"chain": "forward", "action": "accept", "src-address-list": "enlace-walled", "dst-address-list": "portal-hosts"},
			{"chain": "forward", "action": "reject", "src-address-list": "enlace-walled"},
			{"chain": "forward", "action": "accept", "connection-state": "established,related"},
		},
		"/ip/firewall/nat": {{"chain": "dstnat", "action": "dst-nat", "protocol": "tcp", "dst-port": "80", "src-address-list": "enlace-walled",
			"dst-address-list": "!portal-hosts", "to-addresses": "192.0.2.80"}},
		"/ip/firewall/address-list": {{"list": "portal-hosts", "address": "conta.example.net", "dynamic": "false"},
			{"list": "portal-hosts", "address": "198.51.100.0/24", "dynamic": "false"}},
	} {
		w.api.Fill(menu, items...)
	}
	return Expectation{Server: netip.MustParseAddr("192.0.2.10"), AuthPort: 1812, AcctPort: 1813, Secret: []byte("shared-secret"), CoAPort: 3799,
		Interim: 5 * time.Minute, List: "enlace-walled", Portal: "conta.example.net", Hosts: []string{"198.51.100.7"}}
}

func findings(t *testing.T, w *world, want Expectation) (bad []nas.Remark) {
	t.Helper()
	all, err := w.client().Check(context.Background(), w.device.API, want)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if strings.Contains(f.String()+strings.Join(f.Commands, " "), "shared-secret") {
			t.Errorf("the secret is in %+v", f)
		}
		if f.Level != nas.LevelOK {
			bad = append(bad, f)
		}
	}
	return bad
}

func TestCheckOfARouterAsItShouldBe(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	want := configured(w)
	if bad := findings(t, w, want); len(bad) > 0 {
		t.Fatalf("%+v", bad)
	}
	if n := slices.IndexFunc(w.api.Said(), func(words []string) bool { return !strings.HasSuffix(words[0], "/print") }); n >= 0 {
		t.Errorf("the check said %q", w.api.Said()[n])
	}
}

func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		name     string
		menu     string
		items    []nastest.Item // nil: as it should be, but for change
		change   nastest.Item   // of the menu's first item; "-" takes a property away
		level    nas.Level
		text     string
		commands []string // beginnings
	}{
		{name: "no server", menu: "/radius", items: []nastest.Item{}, level: nas.LevelWrong, text: "not asked",
			commands: []string{"/radius add service=ppp address=192.0.2.10 secret=PASTE-THE-SECRET authentication-port=1812 accounting-port=1813 timeout=3s"}},
		{name: "disabled", menu: "/radius", change: nastest.Item{"disabled": "true"}, level: nas.LevelWrong, text: "not asked", commands: []string{"/radius add"}},
		{name: "not for PPP", menu: "/radius", change: nastest.Item{"service": "hotspot"}, level: nas.LevelWrong, text: "not asked", commands: []string{"/radius add"}},
		{name: "another server", menu: "/radius", change: nastest.Item{"address": "192.0.2.11"}, level: nas.LevelWrong, text: "not asked", commands: []string{"/radius add"}},
		{name: "short timeout", menu: "/radius", change: nastest.Item{"timeout": "300ms"}, level: nas.LevelWrong, text: "300ms", commands: []string{"/radius set *1 timeout=3s"}},
		{name: "port", menu: "/radius", change: nastest.Item{"accounting-port": "1646"}, level: nas.LevelWrong, text: "1646", commands: []string{"/radius set *1 accounting-port=1813"}},
		{name: "another secret", menu: "/radius", change: nastest.Item{"secret": "other"}, level: nas.LevelWrong, text: "shared secret", commands: []string{"/radius set *1 secret=PASTE-THE-SECRET"}},
		{name: "unsigned answers", menu: "/radius", change: nastest.Item{"require-message-auth": "no"}, level: nas.LevelWrong, text: "CVE-2024-3596", commands: []string{"/radius set *1 require-message-auth=yes-for-request-resp"}},
		{name: "old version", menu: "/radius", change: nastest.Item{"require-message-auth": "-"}, level: nas.LevelAdvice, text: "7.15"},
		{name: "incoming", menu: "/radius/incoming", change: nastest.Item{"accept": "false"}, level: nas.LevelWrong, text: "3799", commands: []string{"/radius incoming set accept=yes port=3799"}},
		{name: "incoming port", menu: "/radius/incoming", change: nastest.Item{"port": "1700"}, level: nas.LevelWrong, text: "1700", commands: []string{"/radius incoming set accept=yes port=3799"}},
		{name: "no RADIUS", menu: "/ppp/aaa", change: nastest.Item{"use-radius": "false"}, level: nas.LevelWrong, text: "does not use", commands: []string{"/ppp aaa set use-radius=yes"}},
		{name: "no accounting", menu: "/ppp/aaa", change: nastest.Item{"accounting": "no"}, level: nas.LevelWrong, text: "accounted", commands: []string{"/ppp aaa set accounting=yes"}},
		{name: "no interims", menu: "/ppp/aaa", change: nastest.Item{"interim-update": "0s"}, level: nas.LevelAdvice, text: "interim", commands: []string{"/ppp aaa set interim-update=5m0s"}},
		{name: "IPv6 of a profile", menu: "/ppp/profile", change: nastest.Item{"dhcpv6-pd-pool": "pd"}, level: nas.LevelWrong, text: "IPv6", commands: []string{"/ppp profile set *1 !dhcpv6-pd-pool remote-ipv6-prefix-pool=none"}},
		{name: "no wall", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "forward", "action": "drop", "connection-state": "invalid"}}, level: nas.LevelWrong, text: "has the Internet",
			commands: []string{"/ip firewall filter add chain=forward src-address-list=enlace-walled action=accept protocol=udp dst-port=53 place-before=*1", "", "",
				"/ip firewall filter add chain=forward src-address-list=enlace-walled action=reject reject-with=icmp-admin-prohibited place-before=*1"}},
		{name: "a wall for web pages only", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "forward", "action": "drop", "src-address-list": "enlace-walled", "protocol": "tcp"}}, level: nas.LevelWrong, text: "has the Internet",
			commands: []string{"", "", "", ""}},
		{name: "no wall for this list", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "forward", "action": "drop", "src-address-list": "spammers"}}, level: nas.LevelWrong, text: "has the Internet",
			commands: []string{"", "", "", ""}},
		{name: "another chain", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "input", "action": "drop", "src-address-list": "enlace-walled"}}, level: nas.LevelWrong, text: "has the Internet",
			commands: []string{"", "", "", ""}},
		{name: "everybody passes before the wall", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "forward", "action": "accept", "protocol": "udp", "dst-port": "53"},
			{"chain": "forward", "action": "accept", "in-interface-list": "LAN"}, {"chain": "forward", "action": "drop", "src-address-list": "enlace-walled", "dst-address-list": "!portal-hosts"}},
			level: nas.LevelWrong, text: "lets everybody pass", commands: []string{"/ip firewall filter move *3 destination=*2"}},
		{name: "no wall but an opening", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "forward", "action": "accept", "src-address-list": "enlace-walled"}}, level: nas.LevelWrong, text: "has the Internet",
			commands: []string{"", "", "", ""}},
		{name: "no DNS", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "forward", "action": "drop", "src-address-list": "enlace-walled", "dst-address-list": "!portal-hosts"}}, level: nas.LevelWrong, text: "DNS",
			commands: []string{"/ip firewall filter add chain=forward src-address-list=enlace-walled action=accept protocol=udp dst-port=53 place-before=*1", ""}},
		{name: "fasttrack", menu: "/ip/firewall/filter", items: []nastest.Item{{"chain": "forward", "action": "fasttrack-connection", "connection-state": "established,related"},
			{"chain": "forward", "action": "accept", "protocol": "udp", "dst-port": "50-60", "src-address-list": "enlace-walled"},
			{"chain": "forward", "action": "jump", "jump-target": "wall", "src-address-list": "enlace-walled"},
			{"chain": "wall", "action": "drop", "dst-address-list": "!portal-hosts"}}, level: nas.LevelWrong, text: "fasttracked", commands: []string{"/ip firewall filter disable *1"}},
		{name: "portal", menu: "/ip/firewall/address-list", items: []nastest.Item{{"list": "portal-hosts", "address": "conta.example.net", "dynamic": "false"}}, level: nas.LevelWrong, text: "198.51.100.7 cannot",
			commands: []string{"/ip firewall address-list add list=portal-hosts address=198.51.100.7"}},
		{name: "no redirection", menu: "/ip/firewall/nat", items: []nastest.Item{}, level: nas.LevelAdvice, text: "redirected",
			commands: []string{`/ip firewall nat add chain=dstnat src-address-list=enlace-walled dst-address-list=!portal-hosts protocol=tcp dst-port=80 action=dst-nat to-addresses=[:resolve conta.example.net] to-ports=80`}},
		{name: "open API", menu: "/ip/service", change: nastest.Item{"disabled": "false"}, level: nas.LevelAdvice, text: "without TLS", commands: []string{"/ip service disable api"}},
		{name: "clock", menu: "/system/ntp/client", change: nastest.Item{"enabled": "false"}, level: nas.LevelAdvice, text: "clock", commands: []string{"/system ntp client set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, true, nastest.RouterOSQuirks{})
			want := configured(w)
			w.device.API.Certificate = "plain"
			items := c.items
			if items == nil {
				items = w.api.Items(c.menu)
				for name, v := range c.change {
					if items[0][name] = v; v == "-" {
						delete(items[0], name)
					}
				}
			}
			for _, i := range items {
				delete(i, ".id")
			}
			fresh, err := w.nas.ServeRouterOS(nastest.RouterOSConfig{User: apiUser, Password: apiPassword})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(fresh.Close)
			fresh.Fill(c.menu, items...) // first, so that its ids begin with *1
			for _, menu := range []string{"/radius", "/radius/incoming", "/ppp/aaa", "/ppp/profile", "/ip/dns", "/ip/service", "/system/ntp/client", "/ip/firewall/filter", "/ip/firewall/nat", "/ip/firewall/address-list"} {
				if menu != c.menu {
					fresh.Fill(menu, w.api.Items(menu)...)
				}
			}
			w.device.API.Addr = fresh.Addr()
			bad := findings(t, w, want)
			bad = slices.DeleteFunc(bad, func(f nas.Remark) bool { return c.name != "open API" && f.Topic == "/ip service" })
			if c.name == "open API" { // seen from a connection that has no TLS either
				if len(bad) != 1 || bad[0].Level != nas.LevelWrong {
					t.Fatalf("%+v", bad)
				}
				return
			}
			i := slices.IndexFunc(bad, func(f nas.Remark) bool { return f.Level == c.level && strings.Contains(f.String(), c.text) })
			if i < 0 || len(bad) > 1 && !strings.Contains(c.name, "wall ") && c.name != "no wall" && c.name != "another chain" {
				t.Fatalf("findings %+v; want %s with %q alone", bad, c.level, c.text)
			}
			if len(bad[i].Commands) != len(c.commands) {
				t.Fatalf("commands %q, want %q", bad[i].Commands, c.commands)
			}
			for n, begins := range c.commands {
				if !strings.HasPrefix(bad[i].Commands[n], begins) {
					t.Errorf("command %q, want %q", bad[i].Commands[n], begins)
				}
			}
		})
	}
}

// A menu that the API's user may not read is a finding, not the end.
func TestCheckWithoutPermissions(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{Refuse: "/radius/print"})
	bad := findings(t, w, configured(w))
	if len(bad) != 1 || bad[0].Topic != "/radius/print" || bad[0].Level != nas.LevelAdvice {
		t.Fatalf("%+v", bad)
	}
}

// A static queue before those of sessions takes their place.
func TestCheckFindsQueuesBefore(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	want := configured(w)
	w.login("ana@isp")
	dynamic := w.api.Items("/queue/simple")[0]
	w.api.Fill("/queue/simple", nastest.Item{"name": "all", "target": "100.64.0.0/10", "before": dynamic[".id"]}, nastest.Item{"name": "last", "target": "100.64.0.0/10"})
	bad := findings(t, w, want)
	if len(bad) != 1 || !strings.Contains(bad[0].String(), `queue "all"`) {
		t.Fatalf("%+v", bad)
	}
}

// The commands mend what they are for: the rules that a garden needs, pasted, leave nothing to be found.
func TestCommandsMend(t *testing.T) {
	w := newWorld(t, false, nastest.RouterOSQuirks{})
	want := configured(w)
	for _, menu := range []string{"/radius", "/ip/firewall/filter", "/ip/firewall/nat", "/ip/firewall/address-list"} {
		w.api.Fill(menu)
	}
	w.api.Fill("/radius/incoming", nastest.Item{"accept": "false", "port": "1700"})
	w.api.Fill("/ppp/aaa", nastest.Item{"use-radius": "false", "accounting": "false", "interim-update": "0s"})
	bad := findings(t, w, want)
	if len(bad) < 6 {
		t.Fatalf("%+v", bad)
	}
	for _, f := range bad {
		for _, command := range f.Commands {
			if err := w.api.Paste(strings.ReplaceAll(command, SecretPlaceholder, "shared-secret")); err != nil {
				t.Errorf("%s: %v", command, err)
			}
		}
	}
	if bad := findings(t, w, want); len(bad) > 0 {
		t.Fatalf("afterwards: %+v", bad)
	}
}
