package radius

import (
	"bytes"
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
//
// Its call and the outbox's never wait, so they are made without telling the scheduler (RawSyscall6): it would otherwise
// hand the processor over to another thread during one call out of many, which costs more than the call.
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
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
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

const (
	// cutMost is the largest reply that goes out together with others: with its headers it is a datagram that every path
	// takes whole (RFC 791, section 3.1, has 576 octets), because what is cut is never fragmented.
	cutMost = 508

	// controlSpace is room for packet information and the size to cut to.
	controlSpace = packetInfoSpace + unix.SizeofCmsghdr + 8
)

// cuts reports whether the kernel knows how to cut a message; one that does not would send it as it is.
func cuts(c syscall.RawConn) bool { return setOption(c, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 0) == nil }

// outbox sends letters on a socket, several in one system call (sendmmsg(2)). Those of one size to one address go as one
// message, which the kernel cuts into datagrams at the end of its way (UDP_SEGMENT, udp(7)). Not for concurrent use.
type outbox struct {
	letters  [batchSize]letter
	n        int // letters put
	headers  [batchSize]unix.Mmsghdr
	vectors  [batchSize]unix.Iovec // of all letters, those of a message together
	names    [batchSize]unix.RawSockaddrInet6
	controls [batchSize][controlSpace]byte
	messages int // made of the letters
	at       int // messages dealt with
	again    bool
	doubt    bool // a message was refused as the whole it was
	uncut    bool // and its letters were not: the system cannot cut
	refused  func(to netip.AddrPort, errno syscall.Errno)
	try      func(fd uintptr) (done bool)
}

func newOutbox() *outbox {
	o := &outbox{}
	o.try = o.transmit
	return o
}

func (o *outbox) full() bool { return o.n == batchSize }

// put adds a letter; what it holds must stay as it is until flush.
func (o *outbox) put(l letter) {
	o.letters[o.n] = l
	o.n++
}

// flush sends what was put; cut allows messages of several letters. It waits while the socket's buffer is full. A letter
// that the system refuses is told to refused and passed over; the error is that the socket is closed, when the rest is
// told too.
func (o *outbox) flush(c syscall.RawConn, cut bool, refused func(to netip.AddrPort, errno syscall.Errno)) error {
	o.at, o.again, o.doubt, o.uncut, o.refused = 0, false, false, false, refused
	o.arrange(cut)
	err := error(nil)
	if o.messages > 0 {
		err = c.Write(o.try)
	}
	for o.scatter(); o.at < o.messages; o.at++ {
		refused(o.to(o.at), syscall.EBADF)
	}
	o.n = 0
	return err
}

// arrange makes messages of the letters, each where the first of its letters stands.
func (o *outbox) arrange(cut bool) {
	var of, first, count [batchSize]uint8 // the message of a letter; the first letter and the number of those of a message
	m := 0
	for i := range o.n {
		g, l := m, &o.letters[i]
		if cut && len(l.bytes) <= cutMost {
			for g = 0; g < m && !o.letters[first[g]].goesWith(l); g++ {
			}
		}
		if g == m {
			first[m], m = uint8(i), m+1
		}
		of[i] = uint8(g)
		count[g]++
	}
	var next [batchSize]uint8 // vector of each message
	for g, v := 0, uint8(0); g < m; g++ {
		next[g] = v
		l, h := &o.letters[first[g]], &o.headers[g].Hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&o.names[g])), putAddrPort(&o.names[g], l.to)
		h.Iov = &o.vectors[v]
		h.SetIovlen(int(count[g]))
		h.Control = unsafe.SliceData(l.oob)
		h.SetControllen(len(l.oob))
		if count[g] > 1 {
			b := appendCut(append(o.controls[g][:0], l.oob...), len(l.bytes))
			h.Control = &b[0]
			h.SetControllen(len(b))
		}
		v += count[g]
	}
	for i := range o.n {
		l, v := &o.letters[i], &o.vectors[next[of[i]]]
		v.Base = unsafe.SliceData(l.bytes)
		v.SetLen(len(l.bytes))
		next[of[i]]++
	}
	o.messages = m
}

// goesWith reports whether two letters can go as one message.
func (l *letter) goesWith(o *letter) bool {
	return len(l.bytes) == len(o.bytes) && l.to == o.to && bytes.Equal(l.oob, o.oob)
}

// appendCut appends the control message that has the kernel cut a message into datagrams of a size.
func appendCut(b []byte, size int) []byte {
	at := len(b)
	b = b[:at+unix.CmsgSpace(2)]
	clear(b[at:])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[at+unix.CmsgLen(0):], uint16(size))
	return b
}

// scatter makes a message of each letter that is not dealt with.
func (o *outbox) scatter() {
	last := o.at
	for g := o.at; g < o.messages; g++ {
		last += int(o.headers[g].Hdr.Iovlen)
	}
	// From the end, so that no message is overwritten before its letters are read.
	for g, to := o.messages-1, last; g >= o.at; g-- {
		h := o.headers[g].Hdr
		n := int(h.Iovlen)
		if n > 1 {
			h.SetControllen(int(h.Controllen) - unix.CmsgSpace(2))
		}
		vectors := unsafe.Slice(h.Iov, n)
		h.SetIovlen(1)
		for i := n - 1; i >= 0; i-- {
			to--
			h.Iov = &vectors[i]
			o.headers[to].Hdr = h
		}
	}
	o.messages = last
}

// to is where a message goes.
func (o *outbox) to(message int) netip.AddrPort {
	return addrPort((*unix.RawSockaddrInet6)(unsafe.Pointer(o.headers[message].Hdr.Name)))
}

func (o *outbox) transmit(fd uintptr) (done bool) {
	for o.at < o.messages {
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&o.headers[o.at])), uintptr(o.messages-o.at), unix.MSG_DONTWAIT, 0, 0)
		switch { // errno is of the first message; one that fails later ends the batch before it
		case errno == 0:
			o.uncut = o.uncut || o.doubt
			o.at, o.again, o.doubt = o.at+int(sent), false, false
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return false
		case o.headers[o.at].Hdr.Iovlen > 1:
			o.doubt = errno == unix.EIO || errno == unix.EINVAL
			o.scatter()
		case !o.again && (errno == unix.ENOBUFS || errno == unix.ENOMEM): // a queue below the socket is full, perhaps for a moment
			o.again = true
		default:
			o.refused(o.to(o.at), errno)
			o.at, o.again, o.doubt = o.at+1, false, false
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
