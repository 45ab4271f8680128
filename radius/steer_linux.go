package radius

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// setOption sets an integer option on a socket.
func setOption(c syscall.RawConn, level, option, value int) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return err
}

// reusePort lets other sockets of this user share the port.
func reusePort(c syscall.RawConn) error {
	return setOption(c, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// wantPacketInfo asks for the local address of every datagram.
func wantPacketInfo(c syscall.RawConn, v6 bool) error {
	if v6 {
		return setOption(c, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return setOption(c, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

// steer spreads datagrams over the n sockets of a port by the RADIUS Identifier, their second byte. By default the
// kernel spreads by addresses and ports, and an access server that asks from one port would occupy one socket only. A
// retransmission keeps its Identifier, so it reaches the worker that remembers the reply.
func steer(conn *net.UDPConn, n int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 1},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(n)},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &fprog)
	}); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("steering datagrams by Identifier: %w", err)
	}
	return nil
}

// packetInfoSpace is enough for one control message with either family's packet information.
const packetInfoSpace = 64

// replyInfo turns the packet information of a request into that of its reply: the same local address, any interface,
// except for link-local addresses, which mean nothing without theirs. It changes oob in place; nil when there is none.
func replyInfo(oob []byte) []byte {
	if len(oob) < unix.SizeofCmsghdr {
		return nil
	}
	header, data, _, err := unix.ParseOneSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	switch {
	case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		clear(data[:4])
	case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		if linkLocal := data[0] == 0xfe && data[1]&0xc0 == 0x80; !linkLocal {
			clear(data[16:20])
		}
	default:
		return nil
	}
	return oob
}

// widen asks for a receive buffer of this many bytes: a smaller one serves too.
func widen(c *net.UDPConn, bytes int) {
	if raw, err := c.SyscallConn(); err == nil && setOption(raw, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
		_ = setOption(raw, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	}
}
