package radius

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// waiting tells how much of a TCP connection waits in the kernel to be read (SIOCINQ). Not for concurrent use.
type waiting struct {
	raw syscall.RawConn // nil: it cannot be told
	n   int
	ask func(fd uintptr)
}

func newWaiting(c net.Conn) *waiting {
	w := &waiting{}
	w.ask = func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		if w.n = n; err != nil {
			w.n = 0
		}
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		w.raw, _ = tcp.SyscallConn()
	}
	return w
}

// bytes is how many wait; 0 when it cannot be told.
func (w *waiting) bytes() int {
	if w.raw == nil || w.raw.Control(w.ask) != nil {
		return 0
	}
	return w.n
}
