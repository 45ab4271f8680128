package radius

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socketMemory reads how full a socket's receive buffer is and what it had no room for (SO_MEMINFO). Not for concurrent
// use.
type socketMemory struct {
	values [9]uint32 // SK_MEMINFO_*, linux/sock_diag.h
	ok     bool
	try    func(fd uintptr)
}

const (
	memoryUsed  = 0 // SK_MEMINFO_RMEM_ALLOC
	memoryMost  = 1 // SK_MEMINFO_RCVBUF
	memoryDrops = 8 // SK_MEMINFO_DROPS
)

func newSocketMemory() *socketMemory {
	m := &socketMemory{}
	m.try = func(fd uintptr) {
		size := uint32(unsafe.Sizeof(m.values))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&m.values)), uintptr(unsafe.Pointer(&size)), 0)
		m.ok = errno == 0
	}
	return m
}

// share is the part of the buffer that is in use; 0 when it cannot be told.
func (m *socketMemory) share(c syscall.RawConn) float64 {
	if err := c.Control(m.try); err != nil || !m.ok || m.values[memoryMost] == 0 {
		return 0
	}
	return float64(m.values[memoryUsed]) / float64(m.values[memoryMost])
}

// drops is how many datagrams the socket has dropped since it was opened.
func (m *socketMemory) drops(c syscall.RawConn) uint32 {
	if err := c.Control(m.try); err != nil || !m.ok {
		return 0
	}
	return m.values[memoryDrops]
}
