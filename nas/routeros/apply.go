package routeros

import (
	"context"
	"errors"
	"fmt"

	"enlace/contracts"
	"enlace/nas"
)

// Apply brings a session to what it should have where CoA- and Disconnect-Requests did not: rates that rise outside the
// walled garden by a queue, anything else by ending the session, whose next login brings the service. It returns nil
// once the router shows that it is done, and NotFound when the router has no such session.
//
// Address lists are left to RADIUS: an entry made by hand outlives the session and walls whoever gets the address next,
// and a session that goes on keeps its IPv6.
func (c *Client) Apply(ctx context.Context, d *nas.Device, s nas.Session, want nas.Service) error {
	inside := func(o contracts.Outcome) bool { return o == contracts.OutcomeFull || o == contracts.OutcomeReduced }
	if inside(s.Applied.Outcome()) && inside(want.Outcome) {
		err := c.Raise(ctx, d.API, s, want.Profile)
		if !errors.Is(err, errNotRaised) {
			return named(d, err)
		}
	}
	return named(d, c.Disconnect(ctx, d.API, s))
}

func named(d *nas.Device, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("API of %s: %w", d.Name, err)
}
