package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// people are the subscribers, numbered from 0; the first one's login has the number 1.
type people struct {
	logins    []string
	passwords []string
	classes   [][]byte // Class of each one's latest Access-Accept, where it is wanted; else nil
	seed      uint64   // of this run: authenticators and challenges follow from it
}

func newPeople(n int, login, password string, seed uint64) (*people, error) {
	for _, pattern := range []string{login, password} {
		if text := fmt.Sprintf(pattern, 1); strings.Contains(text, "%!") || text == "" || len(text) > 128 {
			return nil, fmt.Errorf("%q is not a pattern with one number, such as user%%07d@isp", pattern)
		}
	}
	if n > 1 && fmt.Sprintf(login, 1) == fmt.Sprintf(login, 2) {
		return nil, errors.New("the logins are all the same: the pattern has no number")
	}
	p := &people{logins: make([]string, n), passwords: make([]string, n), seed: seed}
	for i := range n {
		p.logins[i], p.passwords[i] = fmt.Sprintf(login, i+1), fmt.Sprintf(password, i+1)
	}
	return p, nil
}

// keepClasses has the Classes of accepts remembered, for accounting.
func (p *people) keepClasses() {
	if p.classes == nil {
		p.classes = make([][]byte, len(p.logins))
	}
}

// random is 8 bytes that follow from the run's seed and n: fast, and as good as any for a load (splitmix64).
func (p *people) random(n uint64) uint64 {
	z := p.seed + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fill fills b with random bytes.
func (p *people) fill(b []byte, n uint64) {
	var word [8]byte
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(word[:], p.random(n*64+uint64(i)))
		copy(b[i:], word[:])
	}
}

// addLine adds what an access server says of the line a subscriber is on.
func addLine(b []byte, subscriber int) []byte {
	b = addUint32(b, attrNASIPAddress, 10<<24|1)
	b = addUint32(b, attrNASPort, uint32(subscriber))
	b = addUint32(b, attrServiceType, 2)
	b = addUint32(b, attrFramedProtocol, 1)
	b = addUint32(b, attrNASPortType, 15)
	b = addString(b, attrCalledStation, "service1")
	const digits = "0123456789ABCDEF"
	b = append(b, attrCallingStation, 19, '0', '2', ':', '0', '0')
	for shift := 24; shift >= 0; shift -= 8 {
		n := byte(subscriber >> shift)
		b = append(b, ':', digits[n>>4], digits[n&15])
	}
	b = addString(b, attrNASPortID, "ether1-vlan100")
	return addString(b, attrNASIdentifier, nasIdentifier)
}

// nasIdentifier is what the crowd's access servers call themselves.
const nasIdentifier = "bras-1.pop"

// share is the part of the people that a slot asks for: number, number+slots, number+2*slots ...
type share struct{ first, step, size int }

func (p *people) shareOf(s *slot, slots int) share {
	if s.number >= len(p.logins) {
		return share{}
	}
	return share{s.number, slots, (len(p.logins)-s.number-1)/slots + 1}
}

func (s share) at(i int) int { return s.first + i*s.step }
