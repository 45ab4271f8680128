package radius

import (
	"encoding/binary"
	"hash/maphash"

	"enlace/contracts"
	"enlace/nas"
)

// The directory finds an access without a password by its mark (contracts.Line.Mark), under a key of the mark, the
// device it is fixed to (0 for any) and its value. The database lets no two accesses that a device could mean share one.

// appendMark writes a key; the length of the first value keeps two values apart.
func appendMark[A, B ~string | ~[]byte](dst []byte, m contracts.Mark, device int64, a A, b B) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, byte(m)), uint64(device))
	return append(append(append(dst, byte(len(a))), a...), b...)
}

// appendMarkOf writes the key of an access; nothing when it has none.
func appendMarkOf(dst []byte, l *contracts.Line) []byte {
	if l == nil || !l.NoPassword {
		return dst
	}
	device := int64(0)
	if l.Device.Mode == contracts.BindFixed {
		device = l.Device.To
	}
	switch m := l.Mark(); m {
	case contracts.MarkCircuit:
		return appendMark(dst, m, device, l.CircuitID, l.RemoteID)
	case contracts.MarkMAC:
		return appendMark(dst, m, device, l.MAC.To[:], "")
	case contracts.MarkPort:
		return appendMark(dst, m, device, l.Port.To, "")
	case contracts.MarkVLAN:
		return appendMark(dst, m, device, vlanKey(l.VLAN), "")
	}
	return dst
}

func vlanKey(v contracts.VLAN) []byte {
	return []byte{byte(v.Outer >> 8), byte(v.Outer), byte(v.Inner >> 8), byte(v.Inner)}
}

// index follows a change of a login's entry from old to new; either may be nil.
func (d *Directory) index(old, new *Subscriber) {
	var was, is []byte
	if old != nil {
		was = appendMarkOf(nil, old.Line)
	}
	if new != nil {
		is = appendMarkOf(nil, new.Line)
	}
	if len(was) > 0 && string(was) != string(is) {
		sh := &d.shards[maphash.Bytes(d.seed, was)%directoryShards]
		sh.Lock()
		if s := sh.byMark[string(was)]; s != nil && s.Access == old.Access { // another access may have it by now
			delete(sh.byMark, string(was))
			d.marked.Add(-1)
		}
		sh.Unlock()
	}
	if len(is) > 0 {
		sh := &d.shards[maphash.Bytes(d.seed, is)%directoryShards]
		sh.Lock()
		if sh.byMark == nil {
			sh.byMark = map[string]*Subscriber{}
		}
		before := len(sh.byMark)
		sh.byMark[string(is)] = new
		d.marked.Add(int64(len(sh.byMark) - before))
		sh.Unlock()
	}
}

func (d *Directory) byMark(key []byte) *Subscriber {
	sh := &d.shards[maphash.Bytes(d.seed, key)%directoryShards]
	sh.RLock()
	s := sh.byMark[string(key)]
	sh.RUnlock()
	return s
}

// recognise finds the access without a password that a request's line belongs to, the marks in their order of
// precedence, each as fixed to the device before it on any device; nil when none is. It does not allocate.
func (d *Directory) recognise(b *bearing, device nas.DeviceID) *Subscriber {
	if d.marked.Load() == 0 {
		return nil
	}
	var space [1 + 8 + 1 + 2*maxValue]byte
	for _, on := range [...]int64{int64(device), 0} {
		// Circuit and remote id together say more than either alone.
		for _, pair := range [...]struct{ circuit, remote []byte }{{b.circuit, b.remote}, {b.circuit, nil}, {nil, b.remote}} {
			if len(pair.circuit) == 0 && len(pair.remote) == 0 {
				continue
			}
			if s := d.byMark(appendMark(space[:0], contracts.MarkCircuit, on, pair.circuit, pair.remote)); s != nil {
				return s
			}
		}
	}
	if mac := b.device(true); mac != (contracts.MAC{}) {
		for _, on := range [...]int64{int64(device), 0} {
			if s := d.byMark(appendMark(space[:0], contracts.MarkMAC, on, mac[:], "")); s != nil {
				return s
			}
		}
	}
	if len(b.port) > 0 {
		if s := d.byMark(appendMark(space[:0], contracts.MarkPort, int64(device), b.port, "")); s != nil {
			return s
		}
	}
	if b.vlan != (contracts.VLAN{}) {
		key := [4]byte{byte(b.vlan.Outer >> 8), byte(b.vlan.Outer), byte(b.vlan.Inner >> 8), byte(b.vlan.Inner)}
		return d.byMark(appendMark(space[:0], contracts.MarkVLAN, int64(device), key[:], ""))
	}
	return nil
}
