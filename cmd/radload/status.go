package main

import (
	"crypto/rand"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// statusServer asks a server once whether it is there (RFC 5997); false when it does not say so within a moment.
func statusServer(from netip.Addr, to netip.AddrPort, c *codec) (bool, error) {
	fd, err := dial(from, to)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	b := begin(nil, codeStatusServer, 1)
	rand.Read(b[4:headerLen]) // never fails: crypto/rand ends the process instead
	b = addBytes(b, attrMessageAuthenticator, zeros[:])
	c.sign(b)
	if _, err := unix.Write(fd, b); err != nil {
		return false, nil // nobody listens yet
	}
	wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(wait, int((100 * time.Millisecond).Milliseconds())); err != nil {
		return false, nil
	}
	reply := make([]byte, maxPacket)
	n, err := unix.Read(fd, reply)
	return err == nil && c.replyProblem(b, reply[:n]) == "", nil
}
