package main

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is the most datagrams in one system call.
const batchSize = 64

// outbox gathers datagrams for one socket, inbox takes them from one: many in a system call (sendmmsg, recvmmsg), so
// that the crowd leaves the processor to the server. The calls do not wait, and are made without telling Go's scheduler
// (RawSyscall6), which would hand a loop's processor over in the middle of one.
type outbox struct {
	headers [batchSize]unix.Mmsghdr
	vectors [batchSize]unix.Iovec
	n       int
}

func newOutbox() *outbox {
	o := &outbox{}
	for i := range o.headers {
		o.headers[i].Hdr.Iov = &o.vectors[i]
		o.headers[i].Hdr.SetIovlen(1)
	}
	return o
}

// put adds a datagram, which must stay as it is until flush; false when the outbox is full.
func (o *outbox) put(b []byte) bool {
	if o.n == batchSize {
		return false
	}
	o.vectors[o.n].Base = &b[0]
	o.vectors[o.n].SetLen(len(b))
	o.n++
	return true
}

// flush sends everything on a connected socket, and returns how many the system refused. A datagram that it refuses is
// passed over: its request counts as unanswered.
func (o *outbox) flush(fd int) (refused int) {
	for at := 0; at < o.n; {
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&o.headers[at])), uintptr(o.n-at), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			refused++
			at++
		default:
			at += int(sent)
		}
	}
	o.n = 0
	return refused
}

type inbox struct {
	headers [batchSize]unix.Mmsghdr
	vectors [batchSize]unix.Iovec
	buffers [batchSize][maxPacket]byte
}

func newInbox() *inbox {
	in := &inbox{}
	for i := range in.headers {
		in.vectors[i].Base = &in.buffers[i][0]
		in.vectors[i].SetLen(maxPacket)
		in.headers[i].Hdr.Iov = &in.vectors[i]
		in.headers[i].Hdr.SetIovlen(1)
	}
	return in
}

// fill takes what has come, without waiting, and returns how many datagrams that is.
func (in *inbox) fill(fd int) int {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n)
		case unix.EINTR:
			continue
		}
		return 0 // nothing there, or the news that nobody listens: those requests have no reply
	}
}

func (in *inbox) datagram(i int) []byte { return in.buffers[i][:in.headers[i].Len] }

// dial opens a socket that does not block, from one loopback address to another.
func dial(from netip.Addr, to netip.AddrPort) (fd int, err error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a socket: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20); err != nil {
		return -1, fmt.Errorf("giving a socket a buffer: %w", err)
	}
	if err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
		return -1, fmt.Errorf("binding a socket to %s: %w", from, err)
	}
	if err = unix.Connect(fd, sockaddr(to)); err != nil {
		return -1, fmt.Errorf("connecting a socket to %s: %w", to, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
