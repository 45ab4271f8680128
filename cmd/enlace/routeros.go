package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"enlace/nas"
	naspg "enlace/nas/pg"
	"enlace/nas/routeros"
)

// routerosCmd asks MikroTik routers by their API.
type routerosCmd struct {
	Facts routerosFactsCmd `cmd:"" help:"Say what a router is: identity, version, board, serial number, uptime."`
	Check routerosCheckCmd `cmd:"" help:"Compare a router's configuration with what it should be, and print the commands to paste."`
}

type routerosFactsCmd struct {
	Device string `arg:"" help:"Name of the device."`
	Output string `enum:"text,json" default:"text" help:"text or json."`
}

func (c *routerosFactsCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withRouter(ctx, cfg, c.Device, func(_ *database, d *nas.Device, api *routers) error {
		f, err := api.Facts(ctx, d)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return writeJSON(out, factsJSON{f.Identity, f.Version, f.Board, f.Serial, f.Firmware, int64(f.Uptime / time.Second), f.Sessions})
		}
		w := tabwriter.NewWriter(out, 2, 2, 2, ' ', 0)
		for _, line := range [][2]string{{"identity", f.Identity}, {"version", f.Version}, {"board", f.Board}, {"serial", f.Serial}, {"firmware", f.Firmware},
			{"uptime", f.Uptime.String()}, {"PPP sessions", strconv.Itoa(f.Sessions)}} {
			if line[1] != "" {
				fmt.Fprintf(w, "%s\t%s\n", line[0], nas.TextOf(line[1]))
			}
		}
		return w.Flush()
	})
}

// factsJSON is what --output json writes.
type factsJSON struct {
	Identity string `json:"identity"`
	Version  string `json:"version"`
	Board    string `json:"board"`
	Serial   string `json:"serial,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Uptime   int64  `json:"uptime_seconds"`
	Sessions int    `json:"ppp_sessions"`
}

// remarkJSON is what --output json writes.
type remarkJSON struct {
	Topic    string    `json:"topic"`
	Level    nas.Level `json:"level"`
	Text     string    `json:"text"`
	Commands []string  `json:"commands,omitempty"`
}

type routerosCheckCmd struct {
	Device string     `arg:"" help:"Name of the device."`
	Server netip.Addr `help:"Address by which the router reaches this server; without it any RADIUS server will do."`
	Host   []string   `help:"Name or address that walled subscribers must reach beside the portal, such as payment."`
	Output string     `enum:"text,json,commands" default:"text" help:"text, json, or commands: nothing but what to paste."`
}

func (c *routerosCheckCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withRouter(ctx, cfg, c.Device, func(_ *database, d *nas.Device, api *routers) error {
		found, err := api.Check(ctx, d, c.Server, c.Host)
		if err != nil {
			return err
		}
		switch c.Output {
		case "json":
			list := []remarkJSON{}
			for _, f := range found {
				list = append(list, remarkJSON{f.Topic, f.Level, f.String(), f.Commands})
			}
			err = writeJSON(out, list)
		case "commands":
			for _, f := range found {
				for _, command := range f.Commands {
					fmt.Fprintln(out, command)
				}
			}
		default:
			err = writeRemarks(out, found)
		}
		for _, f := range found {
			if f.Level == nas.LevelWrong && err == nil {
				err = errRowsFailed // it was said
			}
		}
		return err
	})
}

// writeRemarks is the answer for people, with the commands last so that they can be copied at once.
func writeRemarks(out io.Writer, found []nas.Remark) error {
	w := tabwriter.NewWriter(out, 2, 2, 2, ' ', 0)
	var commands []string
	for _, f := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Level, f.Topic, f.String())
		commands = append(commands, f.Commands...)
	}
	if err := w.Flush(); err != nil || len(commands) == 0 {
		return err
	}
	fmt.Fprintf(out, "\nTo paste, after reading, in this order (with %s replaced where it appears):\n\n", routeros.SecretPlaceholder)
	for _, command := range commands {
		fmt.Fprintln(out, command)
	}
	return nil
}

// routers are the devices with an API, and what they should be configured for.
type routers struct {
	*routeros.Client
	cfg *Config
}

func newRouters(cfg *Config) *routers { return &routers{routeros.New(routeros.Config{}), cfg} }

// Facts asks a device what it is.
func (r *routers) Facts(ctx context.Context, d *nas.Device) (nas.DeviceFacts, error) {
	return r.Client.Facts(ctx, d.API)
}

// Check compares a device's configuration with what this server needs. server is where the device reaches it, the zero
// value: anywhere; hosts are what walled subscribers reach beside the portal.
func (r *routers) Check(ctx context.Context, d *nas.Device, server netip.Addr, hosts []string) ([]nas.Remark, error) {
	want := routeros.ExpectationOf(d, r.cfg.WalledAddressList)
	want.Server, want.Hosts, want.Portal = server, hosts, hostOf(r.cfg.WalledPortal)
	want.AuthPort, want.AcctPort = portOf(r.cfg.AuthListen), portOf(r.cfg.AcctListen)
	return r.Client.Check(ctx, d.API, want)
}

// withRouter opens the database and finds a device that has an API.
func withRouter(ctx context.Context, cfg *Config, name string, do func(*database, *nas.Device, *routers) error) error {
	seal, err := openSealer(cfg)
	if err != nil {
		return err
	}
	db, err := openExisting(ctx, cfg, cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer db.close()
	d, err := (&naspg.Store{Pool: db.pool, Sealer: seal}).DeviceByName(ctx, name)
	if err != nil {
		return err
	}
	if !d.API.Known() {
		return fmt.Errorf("device %q has no API: give it the address, user, password and certificate of one", name)
	}
	api := newRouters(cfg)
	defer api.Close()
	return do(db, &d, api)
}

// hostOf is the host of a portal's address, which may be a URL.
func hostOf(portal string) string {
	if u, err := url.Parse(portal); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return portal
}

// portOf is the port of the first of the addresses that are listened on.
func portOf(listen []string) uint16 {
	if len(listen) == 0 {
		return 0
	}
	_, port, _ := net.SplitHostPort(listen[0])
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
