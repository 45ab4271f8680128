package radius

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call takes or sends at most. The first of a batch waits for its reply
	// until the last was handled.
	batchSize = 32

	// bufferStride keeps the beginnings of datagrams, all that most of them have, from sharing lines of the cache.
	bufferStride = maxPacket + 64
)

// inbox takes the datagrams that wait in a socket, several in one system call (recvmmsg(2)). Not for concurrent use.
type inbox struct {
	headers  [batchSize]unix.Mmsghdr
	vectors  [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrInet6 // room for either family
	controls [batchSize][packetInfoSpace]byte
	buffers  [batchSize][bufferStride]byte // what lies beyond maxPacket is padding, or the packet is malformed
	info     bool                          // control messages are wanted
	n        int                           // datagrams taken by the last fill
	errno    syscall.Errno
	try      func(fd uintptr) (done bool)
}

func newInbox(info bool) *inbox {
	in := &inbox{info: info}
	for i := range in.headers {
		in.vectors[i].Base = &in.buffers[i][0]
		in.vectors[i].SetLen(maxPacket)
		h := &in.headers[i].Hdr
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&in.names[i])), &in.vectors[i]
		h.SetIovlen(1)
	}
	in.n = batchSize
	in.try = in.receive
	return in
}

// fill waits for datagrams and takes those that there are. Its error is that of the waiting: the socket was closed or
// its deadline has passed; errno is that of the taking.
func (in *inbox) fill(c syscall.RawConn) error { return c.Read(in.try) }

func (in *inbox) receive(fd uintptr) (done bool) {
	for i := range in.n { // what the last fill used
		h := &in.headers[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		if in.info {
			h.Control = &in.controls[i][0]
			h.SetControllen(packetInfoSpace)
		}
	}
	in.n = 0
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			in.n = int(n)
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		in.errno = errno
		return true
	}
}

// datagram is the i-th that was taken. It is valid until the next fill.
func (in *inbox) datagram(i int) []byte { return in.buffers[i][:in.headers[i].Len] }

// from is where it came from.
func (in *inbox) from(i int) netip.AddrPort { return addrPort(&in.names[i]) }

// replyInfo is the control message that makes its reply leave from the address it was sent to; nil for none.
func (in *inbox) replyInfo(i int) []byte {
	if !in.info {
		return nil
	}
	return replyInfo(in.controls[i][:in.headers[i].Hdr.Controllen])
}

// outbox sends letters on a socket, several in one system call (sendmmsg(2)). Not for concurrent use.
type outbox struct {
	headers [batchSize]unix.Mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6
	n, at   int // letters put, and dealt with
	again   bool
	refused func(to netip.AddrPort, errno syscall.Errno)
	try     func(fd uintptr) (done bool)
}

func newOutbox() *outbox {
	o := &outbox{}
	for i := range o.headers {
		h := &o.headers[i].Hdr
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&o.names[i])), &o.vectors[i]
		h.SetIovlen(1)
	}
	o.try = o.transmit
	return o
}

func (o *outbox) full() bool { return o.n == batchSize }

// put adds a letter; what it holds must stay as it is until flush.
func (o *outbox) put(l letter) {
	h := &o.headers[o.n].Hdr
	h.Namelen = putAddrPort(&o.names[o.n], l.to)
	o.vectors[o.n].Base = unsafe.SliceData(l.bytes)
	o.vectors[o.n].SetLen(len(l.bytes))
	h.Control = unsafe.SliceData(l.oob)
	h.SetControllen(len(l.oob))
	o.n++
}

// flush sends what was put. It waits while the socket's buffer is full. A letter that the system refuses is told to
// refused and passed over; the error is that the socket is closed, when the rest is told too.
func (o *outbox) flush(c syscall.RawConn, refused func(to netip.AddrPort, errno syscall.Errno)) error {
	o.at, o.again, o.refused = 0, false, refused
	err := error(nil)
	if o.n > 0 {
		err = c.Write(o.try)
	}
	for ; o.at < o.n; o.at++ {
		refused(addrPort(&o.names[o.at]), syscall.EBADF)
	}
	o.n = 0
	return err
}

func (o *outbox) transmit(fd uintptr) (done bool) {
	for o.at < o.n {
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&o.headers[o.at])), uintptr(o.n-o.at), unix.MSG_DONTWAIT, 0, 0)
		switch errno { // of the first letter; one that fails later ends the batch before it
		case 0:
			o.at, o.again = o.at+int(sent), false
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		case unix.ENOBUFS, unix.ENOMEM: // a queue below the socket is full, perhaps for a moment
			if !o.again {
				o.again = true
				continue
			}
			fallthrough
		default:
			o.refused(addrPort(&o.names[o.at]), errno)
			o.at, o.again = o.at+1, false
		}
	}
	return true
}

// addrPort reads a socket address of either family. The zone of a link-local address is its interface's number.
func addrPort(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkOrder(v4.Port))
	}
	a := netip.AddrFrom16(name.Addr)
	if name.Scope_id != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, networkOrder(name.Port))
}

// putAddrPort writes a socket address as addrPort reads it, and returns its length.
func putAddrPort(name *unix.RawSockaddrInet6, a netip.AddrPort) (length uint32) {
	if addr := a.Addr(); addr.Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(a.Port()), Addr: addr.As4()}
		return unix.SizeofSockaddrInet4
	}
	scope, _ := strconv.ParseUint(a.Addr().Zone(), 10, 32) // 0, which is none, for what is no number
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(a.Port()), Addr: a.Addr().As16(), Scope_id: uint32(scope)}
	return unix.SizeofSockaddrInet6
}

// networkOrder turns a port from this machine's order of bytes into the network's, or back.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
