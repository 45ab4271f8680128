package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"enlace/radius"
)

// echoServer sends every datagram back.
type echoServer struct{}

func (echoServer) Run(ctx context.Context, out io.Writer) error {
	return radius.Echo(ctx, "127.0.0.1:0", func(a netip.AddrPort) { fmt.Fprintln(out, a) })
}

type echoCmd struct {
	crowdFlags
}

func (c *echoCmd) Run(ctx context.Context, out io.Writer) error {
	server, err := startEcho(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	frame, err := c.crowd([ports]string{portAuth: server.address})
	if err != nil {
		return err
	}
	p, err := c.people()
	if err != nil {
		return err
	}
	r, err := echoes(ctx, frame, p, c.Rounds)
	return report(out, "echoes", r, err)
}

// echoProcess is an echo server in a process of its own.
type echoProcess struct {
	*process
	address string
}

func startEcho(ctx context.Context) (*echoProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	address := make(chan string, 1)
	p, err := start(self, []string{"echo-server"}, func(line string) {
		select {
		case address <- line:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case a := <-address:
		if _, err := netip.ParseAddrPort(strings.TrimSpace(a)); err != nil {
			p.stop()
			return nil, fmt.Errorf("the echo server said %q", a)
		}
		return &echoProcess{p, strings.TrimSpace(a)}, nil
	case <-p.gone:
		return nil, p.died()
	case <-ctx.Done():
		p.stop()
		return nil, ctx.Err()
	}
}

// echoLoad sends login requests and expects them back.
type echoLoad struct{ *authLoad }

func echoes(ctx context.Context, c crowd, p *people, rounds int) (*result, error) {
	return c.run(ctx, func(slots []*slot, r *result) load {
		return echoLoad{newAuthLoad(c, p, "echo", methodPAP, rounds, slots, r)}
	})
}

// judge implements load.
func (e echoLoad) judge(s *slot, reply []byte) (verdict, bool) {
	if !bytes.Equal(s.request, reply) {
		e.result.blame("an echo is not what was sent")
		return wrong, false
	}
	return answered, false
}
