package radius

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// PortBlock is a public address and ports that carrier-grade NAT gave a session, as an access server reports it.
type PortBlock struct {
	Addr     netip.Addr
	From, To uint16 // both inclusive; 0 to 65535 where the address is the session's alone
	State    PortBlockState
}

// PortBlockState is what a record says of a block.
type PortBlockState uint8

const (
	BlockHeld     PortBlockState = iota // the session has it, perhaps beside others
	BlockListed                         // the session has it, and no others than those in the record
	BlockReleased                       // the session has it no more
)

const (
	maxPort       = 65535
	maxPortBlocks = 64 // of one record

	nokiaPortRange = 121 // Alc-Nat-Port-Range: "192.0.2.1 1024-1055,2048-2079 router base"

	huawei            = 2011
	huaweiRangeUpdate = 165 // Huawei-NAT-Port-Range-Update: what an unscheduled record says of its block

	attrExtended1 = 241 // RFC 6929, section 2.1
	extPortRange  = 6   // IP-Port-Range (RFC 8045, section 3.1.2), and its TLVs:
	tlvExtAddr    = 3
	tlvAlloc      = 8
	tlvRangeStart = 9
	tlvRangeEnd   = 10
	allocate      = 1
	deallocate    = 2
)

// The values of Huawei-NAT-Port-Range-Update.
const (
	rangeAdded   = 0
	rangeDeleted = 1
	rangeChanged = 3
)

// blockVendor names the attributes of a vendor that reports a block as three: an address, a first and a last port.
type blockVendor struct{ addr, from, to byte }

var blockVendors = map[uint32]blockVendor{
	huawei: {161, 162, 163}, // Huawei-NAT-Public-Address, -Start-Port, -End-Port
	25506:  {32, 33, 34},    // H3C-NAT-IP-Address, -Start-Port, -End-Port
	54268:  {161, 162, 163}, // NetElastic-NAT-Public-Address, -Start-Port, -End-Port
}

// translation gathers what the attributes of one record say of NAT.
type translation struct {
	addrs    []netip.Addr
	from, to []uint32
	blocks   []PortBlock
	update   uint32
	updated  bool
	odd      bool
}

// vendor reads a Vendor-Specific attribute.
func (t *translation) vendor(value []byte) {
	if len(value) < 4 {
		return
	}
	vendor := binary.BigEndian.Uint32(value)
	names, triple := blockVendors[vendor]
	if !triple && vendor != vendorNokia {
		return
	}
	for sub := value[4:]; len(sub) >= 2 && sub[1] >= 2 && int(sub[1]) <= len(sub); sub = sub[sub[1]:] {
		value := sub[2:sub[1]]
		switch {
		case !triple:
			if sub[0] == nokiaPortRange {
				t.nokia(value)
			}
		case sub[0] == names.addr:
			if len(value) != 4 {
				t.odd = true
				continue
			}
			t.addrs = append(t.addrs, netip.AddrFrom4([4]byte(value)))
		case sub[0] == names.from:
			t.from = t.port(t.from, value)
		case sub[0] == names.to:
			t.to = t.port(t.to, value)
		case vendor == huawei && sub[0] == huaweiRangeUpdate:
			if n := t.port(nil, value); len(n) == 1 {
				t.update, t.updated = n[0], true
			}
		}
	}
}

func (t *translation) port(list []uint32, value []byte) []uint32 {
	if len(value) != 4 {
		t.odd = true
		return list
	}
	return append(list, binary.BigEndian.Uint32(value))
}

// nokia reads an address, a space, ranges with commas between them, and what routing instance they are in.
func (t *translation) nokia(value []byte) {
	fields := bytes.Fields(value)
	if len(fields) < 2 {
		t.odd = true
		return
	}
	addr, err := netip.ParseAddr(string(fields[0]))
	if err != nil {
		t.odd = true
		return
	}
	for _, r := range bytes.Split(fields[1], []byte{','}) {
		first, last, found := bytes.Cut(r, []byte{'-'})
		if !found {
			last = first
		}
		from, err1 := strconv.ParseUint(string(first), 10, 16)
		to, err2 := strconv.ParseUint(string(last), 10, 16)
		if err1 != nil || err2 != nil {
			t.odd = true
			continue
		}
		t.add(addr, uint32(from), uint32(to), BlockListed)
	}
}

// extended reads an attribute of the first extended space (RFC 6929, section 2.1): its type and the TLVs of a range.
func (t *translation) extended(value []byte) {
	if len(value) < 1 || value[0] != extPortRange {
		return
	}
	var addr netip.Addr
	from, to, state := uint32(0), uint32(maxPort), BlockHeld
	rest := value[1:]
	for ; len(rest) >= 2 && rest[1] >= 2 && int(rest[1]) <= len(rest); rest = rest[rest[1]:] {
		kind, v := rest[0], rest[2:rest[1]]
		switch kind {
		case tlvExtAddr, tlvAlloc, tlvRangeStart, tlvRangeEnd:
		default:
			continue
		}
		if len(v) != 4 {
			t.odd = true
			return
		}
		n := binary.BigEndian.Uint32(v)
		switch kind {
		case tlvExtAddr:
			addr = netip.AddrFrom4([4]byte(v))
		case tlvRangeStart:
			from = n
		case tlvRangeEnd:
			to = n
		case tlvAlloc:
			switch n {
			case allocate:
			case deallocate:
				state = BlockReleased
			default:
				t.odd = true
				return
			}
		}
	}
	if len(rest) > 0 || !addr.IsValid() {
		t.odd = true
		return
	}
	t.add(addr, from, to, state)
}

func (t *translation) add(addr netip.Addr, from, to uint32, state PortBlockState) {
	if from > to || to > maxPort || addr.IsUnspecified() || addr.Zone() != "" || len(t.blocks) >= maxPortBlocks {
		t.odd = true
		return
	}
	t.blocks = append(t.blocks, PortBlock{addr.Unmap(), uint16(from), uint16(to), state})
}

// finish is the blocks of the record.
func (t *translation) finish() []PortBlock {
	state := BlockHeld
	if t.updated {
		switch t.update {
		case rangeAdded:
		case rangeDeleted:
			state = BlockReleased
		case rangeChanged:
			state = BlockListed
		default:
			t.odd = true
		}
	}
	switch {
	case len(t.addrs) == 0 && len(t.from)+len(t.to) == 0:
	case len(t.addrs) == 0 || len(t.from) != len(t.to) || len(t.from) > 0 && len(t.addrs) != 1 && len(t.addrs) != len(t.from):
		t.odd = true
	case len(t.from) == 0: // addresses of its own
		for _, a := range t.addrs {
			t.add(a, 0, maxPort, state)
		}
	default:
		for i := range t.from {
			t.add(t.addrs[min(i, len(t.addrs)-1)], t.from[i], t.to[i], state)
		}
	}
	return t.blocks
}
