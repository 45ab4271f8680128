package nastest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc4818"
)

// Block is a public address and ports of carrier-grade NAT, both inclusive.
type Block struct {
	Addr     netip.Addr
	From, To uint16
}

// NATStyle is how an access server reports blocks.
type NATStyle string

const (
	HuaweiNAT NATStyle = "huawei"   // Huawei-NAT-Public-Address, -Start-Port, -End-Port, -Port-Range-Update
	NokiaNAT  NATStyle = "nokia"    // Alc-Nat-Port-Range: all that the session has
	RFC8045   NATStyle = "rfc 8045" // IP-Port-Range
)

// Renumber gives the session another IPv4 address, which its next record says.
func (s *Session) Renumber(ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.ip = ip
}

// Delegate gives the session a delegated IPv6 prefix in place of the one it has.
func (s *Session) Delegate(p netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.delegated = p
}

// Take gives the session a block, and says so in an Interim-Update.
func (s *Session) Take(ctx context.Context, style NATStyle, b Block) error {
	s.mu.Lock()
	s.state.style = style
	s.state.blocks = append(slices.Clone(s.state.blocks), b)
	s.mu.Unlock()
	return s.Interim(ctx)
}

// Give takes a block from the session, and says so in an Interim-Update.
func (s *Session) Give(ctx context.Context, b Block) error {
	s.mu.Lock()
	s.state.blocks = slices.DeleteFunc(slices.Clone(s.state.blocks), func(have Block) bool { return have == b })
	st := s.state
	s.mu.Unlock()
	if st.style == NokiaNAT {
		return s.Interim(ctx)
	}
	st.released = []Block{b}
	return s.send(ctx, st, rfc2866.AcctStatusType_Value_InterimUpdate, 0, 0)
}

// addresses says what the session has beside its IPv4 address.
func (st *state) addresses(p *radius.Packet) error {
	if d := st.delegated; d.IsValid() {
		a := d.Addr().As16()
		value := append([]byte{0, byte(d.Bits())}, a[:(d.Bits()+7)/8]...)
		p.Add(rfc4818.DelegatedIPv6Prefix_Type, value)
	}
	blocks, released := st.blocks, len(st.released) > 0
	if released {
		blocks = st.released
	}
	if len(blocks) == 0 {
		return nil
	}
	switch st.style {
	case HuaweiNAT:
		for _, b := range blocks {
			a := b.Addr.As4()
			if err := addVendor(p, 2011, 161, a[:], 162, number(uint32(b.From)), 163, number(uint32(b.To))); err != nil {
				return err
			}
		}
		if released {
			return addVendor(p, 2011, 165, number(1))
		}
	case NokiaNAT:
		var ranges []string
		for _, b := range blocks {
			ranges = append(ranges, fmt.Sprintf("%d-%d", b.From, b.To))
		}
		return addVendor(p, 6527, 121, []byte(fmt.Sprintf("%s %s router base", blocks[0].Addr, strings.Join(ranges, ","))))
	case RFC8045:
		event := uint32(1)
		if released {
			event = 2
		}
		for _, b := range blocks {
			a := b.Addr.As4()
			p.Add(241, append([]byte{6}, pairs(8, number(event), 3, a[:], 9, number(uint32(b.From)), 10, number(uint32(b.To)))...))
		}
	}
	return nil
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// pairs writes types and values, each with its length.
func pairs(list ...any) []byte {
	var out []byte
	for i := 0; i < len(list); i += 2 {
		v := list[i+1].([]byte)
		out = append(append(out, byte(list[i].(int)), byte(len(v)+2)), v...)
	}
	return out
}

func addVendor(p *radius.Packet, vendor uint32, list ...any) error {
	v, err := radius.NewVendorSpecific(vendor, pairs(list...))
	if err != nil {
		return err
	}
	p.Add(rfc2865.VendorSpecific_Type, v)
	return nil
}
