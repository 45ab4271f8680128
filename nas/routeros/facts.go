package routeros

import (
	"context"
	"errors"
	"strconv"

	"enlace/nas"
)

// Facts asks a router what it is.
func (c *Client) Facts(ctx context.Context, a nas.API) (nas.DeviceFacts, error) {
	var f nas.DeviceFacts
	identity, err := c.one(ctx, a, "/system/identity")
	if err != nil {
		return f, err
	}
	resource, err := c.one(ctx, a, "/system/resource")
	if err != nil {
		return f, err
	}
	f.Identity, f.Version, f.Board = identity["name"], resource["version"], resource["board-name"]
	f.Uptime, _ = span(resource["uptime"])
	open, err := c.run(ctx, a, c.cfg.Listing, "/ppp/active/print", "=count-only=")
	if err != nil {
		return f, err
	}
	f.Sessions, _ = strconv.Atoi(open.ret)
	var refused *Refused
	switch board, err := c.one(ctx, a, "/system/routerboard"); {
	case errors.As(err, &refused): // RouterOS on other hardware has no such menu
	case err != nil:
		return f, err
	default:
		f.Serial, f.Firmware = board["serial-number"], board["current-firmware"]
		if board["model"] != "" {
			f.Board = board["model"]
		}
	}
	return f, nil
}
