package main

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
)

// tap watches what an access server is commanded: no session is told two things at once, and no more is told in a time
// than the device takes.
type tap struct {
	relay  *relay
	secret []byte
	// patience is how long a node waits for an answer, with all retransmissions.
	patience time.Duration

	mu       sync.Mutex
	sessions map[string]*commanded
	arrivals []time.Time // of commands, with retransmissions
	total    int         // of commands, without
	killed   time.Time   // when a node was last killed: what it had sent is answered to nobody
	wrong    []string
}

// commanded is what was seen of one session's commands, oldest first.
type commanded struct{ commands []*wireCommand }

type wireCommand struct {
	from     netip.AddrPort
	header   [20]byte
	code     radius.Code
	at       time.Time
	answer   radius.Code // 0: none was seen
	answered time.Time
}

// newTap stands before an access server's address for commands.
func newTap(t *testing.T, to string, secret string, patience time.Duration) *tap {
	p := &tap{secret: []byte(secret), patience: patience, sessions: map[string]*commanded{}}
	p.relay = newRelay(t, to, "", p.see)
	return p
}

// nameOf is what a command calls its session.
func nameOf(p *radius.Packet) string {
	if id := rfc2866.AcctSessionID_GetString(p); id != "" {
		return id
	}
	return rfc2865.UserName_GetString(p) + " " + rfc2865.FramedIPAddress_Get(p).String()
}

func (p *tap) see(there bool, client netip.AddrPort, datagram []byte) {
	now := time.Now()
	packet, err := radius.Parse(datagram, p.secret)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !there {
		for _, s := range p.sessions {
			for i := len(s.commands) - 1; i >= 0; i-- {
				c := s.commands[i]
				if c.from == client && c.header[1] == datagram[1] && c.answer == 0 && now.Sub(c.at) < p.patience {
					c.answer, c.answered = packet.Code, now
					return
				}
			}
		}
		return
	}
	name := nameOf(packet)
	s := p.sessions[name]
	if s == nil {
		s = &commanded{}
		p.sessions[name] = s
	}
	header := [20]byte(datagram[:20])
	for i, c := range s.commands {
		if c.header != header || c.from != client {
			continue
		}
		if i < len(s.commands)-1 {
			p.complain("%s is told again by %s what a later command has replaced", name, client)
		}
		p.arrivals = append(p.arrivals, now)
		return // a retransmission
	}
	if n := len(s.commands); n > 0 {
		before := s.commands[n-1]
		if before.answer == 0 && now.Sub(before.at) < p.patience && p.killed.Before(before.at) {
			p.complain("%s is told by %s while %s, %s ago, waits for its answer", name, client, before.from, now.Sub(before.at))
		}
	}
	s.commands = append(s.commands, &wireCommand{from: client, header: header, code: packet.Code, at: now})
	p.arrivals = append(p.arrivals, now)
	p.total++
}

func (p *tap) complain(format string, args ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

// kill notes that a node is killed now.
func (p *tap) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = time.Now()
}

// counts are how many commands each session has got, by session.
func (p *tap) counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := map[string]int{}
	for name, s := range p.sessions {
		of[name] = len(s.commands)
	}
	return of
}

// count is how many commands there were, and how many datagrams for them.
func (p *tap) count() (commands, datagrams int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total, len(p.arrivals)
}

// busiest is the most datagrams in any time of a length.
func (p *tap) busiest(length time.Duration) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	most, first := 0, 0
	for i, at := range p.arrivals {
		for at.Sub(p.arrivals[first]) > length {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// orderly wants nothing to have gone wrong.
func (p *tap) orderly(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(p.wrong)-i)
			return
		}
		t.Error(w)
	}
}

// story is what a session was told.
func (p *tap) story(name string) (out string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.sessions[name]; of != nil {
		for _, c := range of.commands {
			out += fmt.Sprintf("%s %s by %s: %v after %v\n", c.at.Format(time.TimeOnly), c.code, c.from, c.answer, c.answered.Sub(c.at))
		}
	}
	return out
}
