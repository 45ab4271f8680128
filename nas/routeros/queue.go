package routeros

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"enlace/contracts"
	"enlace/nas"
)

// Queues made here have this comment, by which those left behind are found, and a name of this and the session's id.
const (
	queueMark   = "enlace"
	queuePrefix = "enlace-"
)

// errNotRaised says that a queue cannot do it: ending the session can.
var errNotRaised = errors.New("a queue cannot raise the session's rates")

// Raise lets an open session have higher rates without ending it. RouterOS keeps the dynamic queue of a session to
// itself, so a queue of our own for the session's interface goes before it, and is in force because the first queue that
// fits is. It can only raise: when a CoA lowers the dynamic queue later, the session is seen to be faster than it should
// be, whereas a lower queue left behind would go unnoticed. It ends with the session's interface.
//
// The error is a NotFound when there is no such session, and errNotRaised where the rates are not higher or the router
// places the queue elsewhere; then everything is as it was.
func (c *Client) Raise(ctx context.Context, a nas.API, s nas.Session, want contracts.Profile) error {
	found, err := c.active(ctx, a, s)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return notThere(s)
	}
	// With several sessions of one login it is not told which interface is whose.
	if all, err := c.list(ctx, a, "/ppp/active", ".id", "?name="+s.Login); err != nil || len(all) != 1 {
		return errors.Join(errNotRaised, err)
	}
	device := "<" + found[0]["service"] + "-" + s.Login + ">"
	own, dynamic, err := c.queues(ctx, a, s, device)
	if err != nil {
		return err
	}
	if dynamic == nil {
		return fmt.Errorf("%w: %s has none of its own", errNotRaised, device)
	}
	have, err := rates(dynamic["max-limit"])
	if err != nil || have.DownBps == 0 || have.UpBps == 0 || want.DownBps < have.DownBps || want.UpBps < have.UpBps {
		return fmt.Errorf("%w: from %s to %s", errNotRaised, dynamic["max-limit"], limit(want))
	}
	if own != nil {
		if err := c.order(ctx, a, "/queue/simple/remove", "=.id="+own[".id"]); err != nil {
			return err
		}
	}
	err = c.order(ctx, a, "/queue/simple/add", "=name="+queueName(s), "=target="+device, "=max-limit="+limit(want),
		"=comment="+queueMark, "=place-before="+dynamic[".id"])
	if refused := (*Refused)(nil); errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", errNotRaised, err)
	}
	if err != nil {
		return err
	}
	if err := c.raised(ctx, a, s, device, want); err != nil {
		return errors.Join(err, c.dropQueue(ctx, a, s))
	}
	return c.sweep(ctx, a)
}

// raised sees whether the queue is in force.
func (c *Client) raised(ctx context.Context, a nas.API, s nas.Session, device string, want contracts.Profile) error {
	rows, err := c.queueRows(ctx, a, s, device)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if yes(r["dynamic"]) {
			return fmt.Errorf("%w: the router puts it after the session's own", errNotRaised)
		}
		if got, err := rates(r["max-limit"]); r["name"] == queueName(s) && err == nil && got == want && !yes(r["disabled"]) && !yes(r["invalid"]) {
			return nil
		}
	}
	return fmt.Errorf("%w: the router does not list it", errNotRaised)
}

// queues finds the queue made here for a session, and the one that RouterOS made.
func (c *Client) queues(ctx context.Context, a nas.API, s nas.Session, device string) (own, dynamic row, err error) {
	rows, err := c.queueRows(ctx, a, s, device)
	for _, r := range rows {
		switch {
		case yes(r["dynamic"]) && r["name"] == device:
			dynamic = r
		case !yes(r["dynamic"]) && r["name"] == queueName(s):
			own = r
		}
	}
	return own, dynamic, err
}

// queueRows are both of them, in the order in which the router looks at them.
func (c *Client) queueRows(ctx context.Context, a nas.API, s nas.Session, device string) ([]row, error) {
	return c.list(ctx, a, "/queue/simple", ".id,name,target,max-limit,dynamic,disabled,invalid",
		"?name="+device, "?name="+queueName(s), "?#|")
}

func queueName(s nas.Session) string { return queuePrefix + nas.TextOf(s.Key.ID) }

// dropQueue takes away the queue made for a session, if there is one.
func (c *Client) dropQueue(ctx context.Context, a nas.API, s nas.Session) error {
	rows, err := c.list(ctx, a, "/queue/simple", ".id", "?name="+queueName(s), "?comment="+queueMark)
	for _, r := range rows {
		err = errors.Join(err, c.order(ctx, a, "/queue/simple/remove", "=.id="+r[".id"]))
	}
	return err
}

// sweep takes away queues whose sessions have ended.
func (c *Client) sweep(ctx context.Context, a nas.API) error {
	queues, err := c.list(ctx, a, "/queue/simple", ".id,name", "?comment="+queueMark)
	if err != nil || len(queues) < 2 {
		return err
	}
	sessions, err := c.list(ctx, a, "/ppp/active", "session-id")
	if err != nil {
		return err
	}
	for _, q := range queues {
		live := slices.ContainsFunc(sessions, func(s row) bool {
			listed, ok1 := sessionNumber(s["session-id"])
			mine, ok2 := sessionNumber(strings.TrimPrefix(q["name"], queuePrefix))
			return ok1 && ok2 && listed == mine
		})
		if !live {
			if err := c.order(ctx, a, "/queue/simple/remove", "=.id="+q[".id"]); err != nil {
				return err
			}
		}
	}
	return nil
}
