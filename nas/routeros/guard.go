package routeros

import (
	"errors"
	"fmt"
	"net"
)

const (
	// maxWord bounds a word. The longest that RouterOS has to say are scripts and comments.
	maxWord = 256 << 10
	// maxReply bounds a reply: the secrets and sessions of a hundred thousand subscribers fit.
	maxReply = 64 << 20
)

var (
	errReserved = errors.New("the router sends a control byte that has no meaning")
	errReply    = fmt.Errorf("the router's reply is longer than %d MiB", maxReply>>20)
)

// guard follows the words that a router sends and ends the connection before one is announced that is too long: who
// reads a word's length believes it and makes room for it.
type guard struct {
	net.Conn
	prefix int    // bytes of a word's length that are still to come
	length uint32 // of the word that begins, as far as it has come
	left   int    // bytes of the word itself that are still to come
	budget int    // bytes that the reply may still have
	err    error
}

// begin lets one reply come.
func (g *guard) begin() { g.budget = maxReply }

// Read hands on what has been looked at. An error comes after the bytes before it.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.Conn.Read(p)
	good, bad := g.follow(p[:n])
	if bad != nil {
		g.err = bad
		if good == 0 {
			return 0, bad
		}
		return good, nil
	}
	return n, err
}

// follow says how many of the bytes may be handed on.
func (g *guard) follow(b []byte) (int, error) {
	for i := 0; i < len(b); {
		if g.left > 0 {
			step := min(g.left, len(b)-i)
			g.left, i = g.left-step, i+step
			continue
		}
		c := b[i]
		switch {
		case g.prefix > 0:
			g.length, g.prefix = g.length<<8|uint32(c), g.prefix-1
		case c < 0x80:
			g.length = uint32(c)
		case c < 0xc0:
			g.length, g.prefix = uint32(c&0x3f), 1
		case c < 0xe0:
			g.length, g.prefix = uint32(c&0x1f), 2
		case c < 0xf0:
			g.length, g.prefix = uint32(c&0x0f), 3
		case c < 0xf8:
			g.length, g.prefix = 0, 4
		default:
			return i, errReserved
		}
		if g.prefix == 0 {
			if g.length > maxWord {
				return i, fmt.Errorf("the router announces a word of %d bytes", g.length)
			}
			g.left = int(g.length)
		}
		i++
	}
	if g.budget -= len(b); g.budget < 0 {
		return 0, errReply
	}
	return len(b), nil
}
