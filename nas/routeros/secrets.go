package routeros

import (
	"context"
	"net/netip"
	"strings"
	"unicode/utf8"

	"enlace/contracts"
	"enlace/nas"
)

// Secret is a PPP user that a router knows by itself.
type Secret struct {
	Login    string
	Password string // never printed
	// Readable says that the API's user may read passwords (the policy "sensitive"); otherwise Password is empty.
	Readable  bool
	Service   string // "any", "pppoe", "l2tp" ...
	Profile   string // name of its Profile
	Comment   string // where operators write the subscriber's name
	MAC       contracts.MAC
	IPv4      netip.Addr
	FramedV6  netip.Prefix
	Disabled  bool
	Malformed string // which of these cannot be read; "" for none
}

// Profile is what a router's PPP profile gives to those who have it.
type Profile struct {
	Name  string
	Rates contracts.Profile // zero where the profile has no rate-limit, or one that cannot be read
}

// Secrets lists a router's PPP users.
func (c *Client) Secrets(ctx context.Context, a nas.API) ([]Secret, error) {
	rows, err := c.list(ctx, a, "/ppp/secret", "name,password,service,profile,comment,caller-id,remote-address,remote-ipv6-prefix,disabled")
	if err != nil {
		return nil, err
	}
	out := make([]Secret, len(rows))
	for i, r := range rows {
		out[i] = secretOf(r)
	}
	return out, nil
}

func secretOf(r row) Secret {
	s := Secret{Login: text(r["name"]), Service: r["service"], Profile: text(r["profile"]), Comment: text(r["comment"]), Disabled: yes(r["disabled"])}
	// Without the policy there is no password, or one of asterisks.
	if p, there := r["password"]; there && (p == "" || strings.Trim(p, "*") != "") {
		s.Password, s.Readable = p, true
	}
	var ok bool
	if id := r["caller-id"]; id != "" {
		if s.MAC, ok = contracts.ParseMAC(id); !ok {
			s.Malformed = "caller-id"
		}
	}
	var err error
	if ip := r["remote-address"]; ip != "" {
		if s.IPv4, err = netip.ParseAddr(ip); err != nil || !s.IPv4.Is4() {
			s.IPv4, s.Malformed = netip.Addr{}, "remote-address"
		}
	}
	if p := r["remote-ipv6-prefix"]; p != "" && p != "::/64" {
		if s.FramedV6, err = netip.ParsePrefix(p); err != nil {
			s.Malformed = "remote-ipv6-prefix"
		}
	}
	return s
}

// Profiles lists a router's PPP profiles.
func (c *Client) Profiles(ctx context.Context, a nas.API) ([]Profile, error) {
	rows, err := c.list(ctx, a, "/ppp/profile", "name,rate-limit")
	if err != nil {
		return nil, err
	}
	out := make([]Profile, len(rows))
	for i, r := range rows {
		out[i].Name = text(r["name"])
		out[i].Rates, _ = rates(r["rate-limit"])
	}
	return out, nil
}

// text is what an operator wrote: consoles write UTF-8, WinBox the Windows code page, of which Latin-1 is what matters.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	out := make([]rune, 0, len(s))
	for i := range len(s) {
		out = append(out, rune(s[i]))
	}
	return string(out)
}
