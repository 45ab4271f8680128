package routeros

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"enlace/nas"
)

// openList is the address list of what walled subscribers reach, where the router has none yet.
const openList = "enlace-open"

// rule is a firewall rule that walled subscribers' packets come to. walled says that it is only for them.
type rule struct {
	row
	walled bool
}

// garden looks at what the firewall does with the address list that walled sessions are in.
func (k *check) garden(ctx context.Context) error {
	const topic = "walled garden"
	if k.want.List == "" {
		return nil
	}
	filter, err := k.c.list(ctx, k.a, "/ip/firewall/filter", "")
	if err != nil {
		return err
	}
	nat, err := k.c.list(ctx, k.a, "/ip/firewall/nat", "")
	if err != nil {
		return err
	}
	lists, err := k.c.list(ctx, k.a, "/ip/firewall/address-list", "list,address,dynamic,disabled", "?dynamic=false")
	if err != nil {
		return err
	}
	dns, err := k.c.one(ctx, k.a, "/ip/dns")
	if err != nil {
		return err
	}
	rules := k.forward(filter, "forward", false, 0)
	k.fasttrack(rules)
	wall := slices.IndexFunc(rules, func(r rule) bool { return r.walled && r.stops() })
	open := openList
	if wall < 0 {
		k.say(topic, nas.LevelWrong, k.wallCommands(filter, open), "the firewall lets those in %q pass: a walled subscriber has the Internet", k.want.List)
	} else {
		k.say(topic, nas.LevelOK, nil, "the firewall stops those in %q", k.want.List)
		open = k.openings(rules[:wall], rules[wall], yes(dns["allow-remote-requests"]))
	}
	k.hosts(lists, open)
	k.redirect(nat, open)
	return nil
}

// forward is the rules of a chain that packets of walled subscribers come to, with those of chains it jumps to in their
// place.
func (k *check) forward(all []row, chain string, inside bool, depth int) []rule {
	var out []rule
	for _, r := range all {
		from := r["src-address-list"]
		if r["chain"] != chain || yes(r["disabled"]) || yes(r["invalid"]) || from != "" && from != k.want.List {
			continue
		}
		walled := inside || from != ""
		if r["action"] == "jump" && depth < 4 {
			out = append(out, k.forward(all, r["jump-target"], walled, depth+1)...)
			continue
		}
		out = append(out, rule{r, walled})
	}
	return out
}

// stops reports whether a rule ends everything it is for, but for what it excepts.
func (r rule) stops() bool {
	if a := r.row["action"]; a != "drop" && a != "reject" && a != "tarpit" {
		return false
	}
	dst := r.row["dst-address-list"]
	return r.any("protocol", "dst-port", "dst-address", "in-interface", "connection-state", "connection-nat-state") && (dst == "" || strings.HasPrefix(dst, "!"))
}

// any reports whether a rule looks at none of the properties.
func (r rule) any(properties ...string) bool {
	return !slices.ContainsFunc(properties, func(p string) bool { return r.row[p] != "" })
}

// fasttrack finds rules past which neither queues nor the firewall see anything.
func (k *check) fasttrack(rules []rule) {
	for _, r := range rules {
		if r.row["action"] != "fasttrack-connection" || yes(r.row["dynamic"]) {
			continue
		}
		level := nas.LevelWrong
		if !r.any("src-address", "dst-address", "dst-address-list", "in-interface", "in-interface-list", "out-interface", "connection-mark") {
			level = nas.LevelAdvice
		}
		k.say("/ip firewall filter", level, mend{"/ip firewall filter disable " + r.row[".id"]}, "connections are fasttracked: they pass neither queues nor the walled garden")
	}
}

// openings looks at what is let through before the wall, and gives the list of hosts that are. resolves says that the
// router answers DNS itself, which the wall is not in the way of.
func (k *check) openings(before []rule, wall rule, resolves bool) string {
	const topic = "walled garden"
	place := " place-before=" + wall.row[".id"]
	from := "/ip firewall filter add chain=" + wall.row["chain"] + " src-address-list=" + value(k.want.List)
	if !slices.ContainsFunc(before, func(r rule) bool {
		return r.row["action"] == "accept" && r.row["protocol"] == "udp" && hasPort(r.row["dst-port"], 53)
	}) {
		fix := mend{from + " action=accept protocol=udp dst-port=53" + place, from + " action=accept protocol=tcp dst-port=53" + place}
		if resolves {
			k.say(topic, nas.LevelAdvice, fix, "the firewall stops their DNS but for the router's own: those who ask another find no page, not even the portal")
		} else {
			k.say(topic, nas.LevelWrong, fix, "the firewall stops their DNS: no page is found, not even the portal")
		}
	}
	for _, r := range before {
		if state := r.row["connection-state"]; r.row["action"] == "accept" && !r.walled && strings.Contains(state, "established") {
			k.say(topic, nas.LevelAdvice, mend{"/ip firewall filter move " + wall.row[".id"] + " destination=" + r.row[".id"]}, "connections that were open go on: the rule that lets them pass comes first")
		}
	}
	for _, r := range before {
		if r.row["action"] == "accept" && !r.walled && r.any("protocol", "dst-port", "src-address", "dst-address", "dst-address-list", "connection-state", "connection-nat-state", "out-interface", "out-interface-list") {
			k.say(topic, nas.LevelWrong, mend{"/ip firewall filter move " + wall.row[".id"] + " destination=" + r.row[".id"]}, "a rule before the wall lets everybody pass: a walled subscriber has the Internet")
		}
	}
	if list, except := strings.CutPrefix(wall.row["dst-address-list"], "!"); except {
		return list
	}
	for _, r := range before {
		if list := r.row["dst-address-list"]; r.row["action"] == "accept" && r.walled && list != "" && !strings.HasPrefix(list, "!") {
			return list
		}
	}
	if len(k.reachable()) > 0 {
		k.say(topic, nas.LevelWrong, mend{from + " action=accept dst-address-list=" + value(openList) + place}, "the firewall stops them on their way to the portal too")
	}
	return openList
}

// reachable are the portal and the other hosts, each once.
func (k *check) reachable() []string {
	var out []string
	for _, h := range append([]string{k.want.Portal}, k.want.Hosts...) {
		if h != "" && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// hosts looks for the portal and the others in the list of what walled subscribers reach.
func (k *check) hosts(lists []row, open string) {
	const topic = "walled garden"
	var missing []string
	for _, h := range k.reachable() {
		if !slices.ContainsFunc(lists, func(r row) bool { return r["list"] == open && !yes(r["disabled"]) && covers(r["address"], h) }) {
			missing = append(missing, h)
		}
	}
	if len(missing) > 0 {
		var commands mend
		for _, h := range missing {
			commands = append(commands, fmt.Sprintf("/ip firewall address-list add list=%s address=%s", value(open), value(h)))
		}
		k.say(topic, nas.LevelWrong, commands, "%s cannot be reached: not in the address list %q", strings.Join(missing, ", "), open)
	} else if len(k.reachable()) > 0 {
		k.say(topic, nas.LevelOK, nil, "%s can be reached", strings.Join(k.reachable(), ", "))
	}
}

// covers reports whether an entry of an address list is or holds a host.
func covers(entry, host string) bool {
	if entry == host {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if p, err := netip.ParsePrefix(entry); err == nil {
		return p.Contains(addr)
	}
	from, to, span := strings.Cut(entry, "-")
	low, err1 := netip.ParseAddr(from)
	high, err2 := netip.ParseAddr(to)
	return span && err1 == nil && err2 == nil && !addr.Less(low) && !high.Less(addr)
}

// redirect looks for the rule that brings pages without TLS to the portal.
func (k *check) redirect(nat []row, open string) {
	const topic = "walled garden"
	if k.want.Portal == "" {
		return
	}
	there := slices.ContainsFunc(nat, func(r row) bool {
		return r["chain"] == "dstnat" && !yes(r["disabled"]) && r["src-address-list"] == k.want.List && (r["action"] == "dst-nat" || r["action"] == "redirect") &&
			(r["protocol"] == "tcp" || r["protocol"] == "") && (r["dst-port"] == "" || hasPort(r["dst-port"], 80))
	})
	if there {
		k.say(topic, nas.LevelOK, nil, "pages without TLS are redirected to the portal")
		return
	}
	to := k.want.Portal
	if _, err := netip.ParseAddr(to); err != nil {
		to = "[:resolve " + value(to) + "]"
	}
	k.say(topic, nas.LevelAdvice, mend{fmt.Sprintf(
		"/ip firewall nat add chain=dstnat src-address-list=%s dst-address-list=!%s protocol=tcp dst-port=80 action=dst-nat to-addresses=%s to-ports=80%s",
		value(k.want.List), value(open), to, first(nat))}, "pages without TLS are not redirected to the portal: browsers do not offer it by themselves")
}

// wallCommands are the rules of a garden, in their order before all others.
func (k *check) wallCommands(filter []row, open string) mend {
	from := "/ip firewall filter add chain=forward src-address-list=" + value(k.want.List)
	place := first(filter)
	return mend{
		from + " action=accept protocol=udp dst-port=53" + place, from + " action=accept protocol=tcp dst-port=53" + place,
		from + " action=accept dst-address-list=" + value(open) + place, from + " action=reject reject-with=icmp-admin-prohibited" + place,
	}
}

// first places a rule before all that an operator wrote; those that RouterOS makes by itself stay where they are.
func first(rows []row) string {
	for _, r := range rows {
		if !yes(r["dynamic"]) {
			return " place-before=" + r[".id"]
		}
	}
	return ""
}

// hasPort reads ports as rules have them: "53", "53,853", "1000-2000".
func hasPort(ports string, want uint64) bool {
	for p := range strings.SplitSeq(ports, ",") {
		from, to, span := strings.Cut(p, "-")
		if !span {
			to = from
		}
		low, err1 := strconv.ParseUint(from, 10, 16)
		high, err2 := strconv.ParseUint(to, 10, 16)
		if err1 == nil && err2 == nil && low <= want && want <= high {
			return true
		}
	}
	return false
}

// ExpectationOf is what a device's router should be configured for: what else it needs is the server's.
func ExpectationOf(d *nas.Device, list string) Expectation {
	return Expectation{Secret: d.Secret, CoAPort: d.CoA.Port(), Interim: seconds(d.InterimSeconds), List: list}
}
