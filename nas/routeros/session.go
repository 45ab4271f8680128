package routeros

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// Disconnect ends a PPP session and returns once the router no longer lists it. Only the session that has the
// Acct-Session-Id is ended; another of the same login is left alone. The error is a NotFound when the router has no such
// session.
func (c *Client) Disconnect(ctx context.Context, a nas.API, s nas.Session) error {
	found, err := c.active(ctx, a, s)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return notThere(s)
	}
	var refusal *Refused
	for _, r := range found {
		if err := c.order(ctx, a, "/ppp/active/remove", "=.id="+r[".id"]); err != nil && !errors.As(err, &refusal) {
			return err
		}
	}
	for until := time.Now().Add(c.cfg.Confirm); ; {
		if found, err = c.active(ctx, a, s); err != nil {
			return err
		}
		if len(found) == 0 {
			return c.dropQueue(ctx, a, s)
		}
		if time.Now().After(until) {
			if refusal != nil {
				return refusal
			}
			return contracts.Conflictf("session_stays", "the router still lists session %s, which it was told to end", nas.TextOf(s.Key.ID))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func notThere(s nas.Session) error {
	return contracts.NotFoundf("the router lists no session %s of %s", nas.TextOf(s.Key.ID), nas.TextOf(s.Login))
}

// active is what the router lists of a session: one item, or none. The ids repeat after some reboots, so the login must
// be right too.
func (c *Client) active(ctx context.Context, a nas.API, s nas.Session) ([]row, error) {
	rows, err := c.list(ctx, a, "/ppp/active", ".id,name,service,address,session-id", "?name="+s.Login)
	if err != nil {
		return nil, err
	}
	var found []row
	for _, r := range rows {
		if r["name"] == s.Login && same(r, s) {
			found = append(found, r)
		}
	}
	return found, nil
}

// same compares by the session's id, which Acct-Session-Id has without "0x"; where the router tells none, by the address.
func same(r row, s nas.Session) bool {
	listed, told := sessionNumber(r["session-id"])
	if wanted, ok := sessionNumber(s.Key.ID); ok && told {
		return listed == wanted
	}
	addr, err := netip.ParseAddr(r["address"])
	return !told && err == nil && addr == s.FramedIP
}

func sessionNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(s), "0x"), 16, 64)
	return n, err == nil
}
