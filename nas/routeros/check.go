package routeros

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"enlace/nas"
)

// Expectation is what a router should be configured for.
type Expectation struct {
	Server             netip.Addr // of the RADIUS server, as the router reaches it; the zero value: any
	AuthPort, AcctPort uint16     // of the server
	Secret             []byte     // the device's; never printed
	CoAPort            uint16     // where the device listens for commands; 0: nowhere
	Interim            time.Duration
	List               string   // address list of the walled garden; "" where there is none
	Portal             string   // host that walled subscribers are redirected to: a name or an address
	Hosts              []string // what else they reach, such as payment: names or addresses
}

// leastTimeout is how long a router should wait for an answer: an Access-Reject is a second late on purpose, and the
// default of 300 ms counts as silence what is on its way.
const leastTimeout = 3 * time.Second

// check is one look at a router.
type check struct {
	c    *Client
	a    nas.API
	want Expectation
	out  []nas.Remark
}

// Check compares a router's configuration with what is expected. It changes nothing.
func (c *Client) Check(ctx context.Context, a nas.API, want Expectation) ([]nas.Remark, error) {
	k := &check{c: c, a: a, want: want}
	for _, look := range []func(context.Context) error{k.radius, k.incoming, k.aaa, k.queues, k.garden, k.ipv6, k.services, k.time} {
		var refused *Refused
		if err := look(ctx); errors.As(err, &refused) {
			k.say(refused.Command, nas.LevelAdvice, nil, "could not be looked at: %s; the API's user needs the policies read, api and sensitive", refused.Message)
		} else if err != nil {
			return nil, err
		}
	}
	return k.out, nil
}

// mend is the commands that mend what was found.
type mend []string

func (k *check) say(topic string, level nas.Level, commands mend, text string, args ...any) {
	k.out = append(k.out, nas.Remark{Topic: topic, Level: level, Text: text, Args: args, Commands: commands})
}

// SecretPlaceholder stands for the shared secret in commands: it is never printed.
const SecretPlaceholder = "PASTE-THE-SECRET"

func (k *check) radius(ctx context.Context) error {
	const topic = "/radius"
	rows, err := k.c.list(ctx, k.a, "/radius", "")
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r row) bool {
		return yes(r["disabled"]) || !slices.Contains(strings.Split(r["service"], ","), "ppp")
	})
	ours := slices.IndexFunc(rows, func(r row) bool {
		addr, err := netip.ParseAddr(r["address"])
		return !k.want.Server.IsValid() || err == nil && addr == k.want.Server
	})
	server := "ADDRESS-OF-ENLACE"
	if k.want.Server.IsValid() {
		server = k.want.Server.String()
	}
	if ours < 0 {
		k.say(topic, nas.LevelWrong, mend{fmt.Sprintf(
			"/radius add service=ppp address=%s secret=%s authentication-port=%d accounting-port=%d timeout=%s require-message-auth=yes-for-request-resp place-before=0",
			server, SecretPlaceholder, k.want.AuthPort, k.want.AcctPort, leastTimeout)}, "PPP logins are not asked of %s", server)
		return nil
	}
	r := rows[ours]
	set := func(what string) mend { return mend{"/radius set " + r[".id"] + " " + what} }
	k.say(topic, nas.LevelOK, nil, "PPP logins are asked of %s", r["address"])
	if ours > 0 {
		k.say(topic, nas.LevelAdvice, mend{"/radius move " + r[".id"] + " destination=" + rows[0][".id"]}, "%s is asked first; %s only when that is silent", rows[0]["address"], r["address"])
	}
	if r["protocol"] != "radsec" {
		for _, p := range []struct {
			name string
			want uint16
		}{{"authentication-port", k.want.AuthPort}, {"accounting-port", k.want.AcctPort}} {
			if have := r[p.name]; p.want != 0 && have != strconv.Itoa(int(p.want)) {
				k.say(topic, nas.LevelWrong, set(fmt.Sprintf("%s=%d", p.name, p.want)), "%s is %s, where the server listens on %d", p.name, have, p.want)
			}
		}
		if have, readable := r["secret"]; readable && strings.Trim(have, "*") != "" && len(k.want.Secret) > 0 && have != string(k.want.Secret) {
			k.say(topic, nas.LevelWrong, set("secret="+SecretPlaceholder), "the shared secret is not the one of the device here")
		}
	}
	if have, ok := span(r["timeout"]); ok && have < leastTimeout {
		k.say(topic, nas.LevelWrong, set("timeout="+leastTimeout.String()), "timeout is %s: what takes longer counts as silence", r["timeout"])
	}
	if yes(r["accounting-backup"]) {
		k.say(topic, nas.LevelWrong, set("accounting-backup=no"), "the server is a backup for accounting only")
	}
	switch have, known := r["require-message-auth"]; {
	case !known:
		k.say(topic, nas.LevelAdvice, nil, "this RouterOS does not check Message-Authenticator (CVE-2024-3596): 7.15 and later do")
	case have == "no":
		k.say(topic, nas.LevelWrong, set("require-message-auth=yes-for-request-resp"), "answers without Message-Authenticator are taken: they can be forged (CVE-2024-3596)")
	}
	return nil
}

func (k *check) incoming(ctx context.Context) error {
	const topic = "/radius incoming"
	if k.want.CoAPort == 0 {
		k.say(topic, nas.LevelAdvice, nil, "the device has no CoA address here, so nothing can be changed while a session lasts")
		return nil
	}
	r, err := k.c.one(ctx, k.a, "/radius/incoming")
	if err != nil {
		return err
	}
	port := strconv.Itoa(int(k.want.CoAPort))
	if !yes(r["accept"]) || r["port"] != port {
		k.say(topic, nas.LevelWrong, mend{"/radius incoming set accept=yes port=" + port}, "commands to port %s are not taken (accept is %s, port is %s)", port, r["accept"], r["port"])
		return nil
	}
	k.say(topic, nas.LevelOK, nil, "commands are taken on port %s", port)
	return nil
}

func (k *check) aaa(ctx context.Context) error {
	const topic = "/ppp aaa"
	r, err := k.c.one(ctx, k.a, "/ppp/aaa")
	if err != nil {
		return err
	}
	bad := len(k.out)
	if !yes(r["use-radius"]) {
		k.say(topic, nas.LevelWrong, mend{"/ppp aaa set use-radius=yes"}, "PPP does not use RADIUS")
	}
	if !yes(r["accounting"]) {
		k.say(topic, nas.LevelWrong, mend{"/ppp aaa set accounting=yes"}, "sessions are not accounted for")
	}
	if every, _ := span(r["interim-update"]); every == 0 && k.want.Interim > 0 {
		k.say(topic, nas.LevelAdvice, mend{"/ppp aaa set interim-update=" + k.want.Interim.String()},
			"interim-update is 0: a session that is not told an interval reports nothing until it ends; each Access-Accept says %s", k.want.Interim)
	}
	if have, known := r["enable-ipv6-accounting"]; known && !yes(have) {
		k.say(topic, nas.LevelAdvice, mend{"/ppp aaa set enable-ipv6-accounting=yes"}, "IPv6 traffic and prefixes are not reported, which records of connections need")
	}
	if len(k.out) == bad {
		k.say(topic, nas.LevelOK, nil, "sessions are asked for and accounted for by RADIUS")
	}
	return nil
}

// queues finds queues that are looked at before those of the sessions.
func (k *check) queues(ctx context.Context) error {
	const topic = "/queue simple"
	rows, err := k.c.list(ctx, k.a, "/queue/simple", ".id,name,dynamic,disabled,invalid,comment,parent,target")
	if err != nil {
		return err
	}
	last := -1
	for i, r := range rows {
		if yes(r["dynamic"]) {
			last = i
		}
	}
	found := false
	for _, r := range rows[:last+1] {
		parent := slices.ContainsFunc(rows, func(o row) bool { return yes(o["dynamic"]) && o["parent"] == r["name"] })
		if yes(r["dynamic"]) || yes(r["disabled"]) || yes(r["invalid"]) || r["comment"] == queueMark || parent {
			continue
		}
		found = true
		k.say(topic, nas.LevelAdvice, mend{"/queue simple disable " + r[".id"]}, "queue %q for %s comes before those of sessions: whom it fits has its rates, not the plan's",
			nas.TextOf(r["name"]), nas.TextOf(r["target"]))
	}
	if !found {
		k.say(topic, nas.LevelOK, nil, "no queue comes before those of the sessions")
	}
	return nil
}

// ipv6 finds profiles that give IPv6 to whoever is told none, which walled subscribers are.
func (k *check) ipv6(ctx context.Context) error {
	const topic = "/ppp profile"
	rows, err := k.c.list(ctx, k.a, "/ppp/profile", ".id,name,dhcpv6-pd-pool,remote-ipv6-prefix-pool")
	if err != nil {
		return err
	}
	none := func(s string) bool { return s == "" || s == "none" }
	bad := len(k.out)
	for _, r := range rows {
		if none(r["dhcpv6-pd-pool"]) && none(r["remote-ipv6-prefix-pool"]) {
			continue
		}
		k.say(topic, nas.LevelWrong, mend{"/ppp profile set " + r[".id"] + " !dhcpv6-pd-pool remote-ipv6-prefix-pool=none"},
			"profile %q gives IPv6 of its own to sessions that are told none: a walled subscriber has the Internet by IPv6; lend prefixes from a pool here instead", nas.TextOf(r["name"]))
	}
	if len(k.out) == bad {
		k.say(topic, nas.LevelOK, nil, "no profile gives IPv6 of its own")
	}
	return nil
}

// services looks at the API itself.
func (k *check) services(ctx context.Context) error {
	const topic = "/ip service"
	rows, err := k.c.list(ctx, k.a, "/ip/service", "name,port,disabled,address,certificate")
	if err != nil {
		return err
	}
	from := "ADDRESS-OF-ENLACE"
	if k.want.Server.IsValid() {
		from = netip.PrefixFrom(k.want.Server, k.want.Server.BitLen()).String()
	}
	bad := len(k.out)
	for _, r := range rows {
		switch {
		case yes(r["disabled"]):
		case r["name"] == "api" && k.a.Certificate != nas.PlainAPI:
			k.say(topic, nas.LevelAdvice, mend{"/ip service disable api"}, "the API without TLS is open too: passwords can be read on the way")
		case r["name"] == "api":
			k.say(topic, nas.LevelWrong, mend{"/certificate add name=api-ssl common-name=api-ssl days-valid=3650",
				"/certificate sign api-ssl", "/ip service set api-ssl certificate=api-ssl disabled=no"}, "this API goes without TLS: its password can be read on the way")
		case r["name"] == "api-ssl" && r["address"] == "":
			k.say(topic, nas.LevelAdvice, mend{"/ip service set api-ssl address=" + from}, "the API answers everybody")
		}
	}
	if len(k.out) == bad {
		k.say(topic, nas.LevelOK, nil, "the API has TLS and answers known addresses")
	}
	return nil
}

// time looks at the clock, which Event-Timestamp and the age of commands go by.
func (k *check) time(ctx context.Context) error {
	const topic = "/system ntp client"
	r, err := k.c.one(ctx, k.a, "/system/ntp/client")
	if err != nil {
		return err
	}
	if !yes(r["enabled"]) {
		k.say(topic, nas.LevelAdvice, mend{"/system ntp client set enabled=yes servers=a.st1.ntp.br,b.st1.ntp.br"}, "the clock follows no server: records and commands go by its time")
		return nil
	}
	k.say(topic, nas.LevelOK, nil, "the clock follows a server")
	return nil
}
