package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// echoServer sends every datagram back: the sockets of a RADIUS server without its work. As many sockets as processors
// share the port, spread by the second byte, which in RADIUS is the Identifier.
type echoServer struct{}

func (echoServer) Run(ctx context.Context, out io.Writer) error {
	var conns []*net.UDPConn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); e != nil {
			return e
		}
		return err
	}}
	address, n := "127.0.0.1:0", runtime.GOMAXPROCS(0)
	for range n {
		pc, err := config.ListenPacket(ctx, "udp4", address)
		if err != nil {
			return fmt.Errorf("listening for echoes: %w", err)
		}
		c := pc.(*net.UDPConn)
		conns = append(conns, c)
		address = c.LocalAddr().String()
		if err := c.SetReadBuffer(4 << 20); err != nil {
			return fmt.Errorf("giving the echo a buffer: %w", err)
		}
	}
	if err := spread(conns[0], n); err != nil {
		return err
	}
	fmt.Fprintln(out, address)
	var serving sync.WaitGroup
	for _, c := range conns {
		serving.Go(func() { echo(c) })
	}
	<-ctx.Done()
	for _, c := range conns {
		c.Close()
	}
	serving.Wait()
	return nil
}

func echo(c *net.UDPConn) {
	b := make([]byte, maxPacket)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if _, err := c.WriteToUDPAddrPort(b[:n], from); err != nil {
			return
		}
	}
}

// spread gives each datagram to the socket that its second byte names, modulo n.
func spread(c *net.UDPConn, n int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 1},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(n)},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &filter)
	}); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("spreading datagrams over sockets: %w", err)
	}
	return nil
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
