package contracts

import (
	"strconv"
	"time"
)

// Line is what tells an access apart beside its login and password: the marks that a request for it must bear, and its
// own addresses. Most accesses have none, and their Line is zero.
//
// A mark that is set is always required, with a password (PPPoE) as without (IPoE). Without a password the access is
// also found by its marks when User-Name names no login; which one it is found by is Mark's answer.
type Line struct {
	NoPassword bool // the marks are enough; a password, if one is sent, must be a well-known one

	MAC    Binding[MAC]
	Device Binding[int64]  // number of the access server
	Port   Binding[Octets] // NAS-Port-Id, byte for byte; NAS-Port in decimal where there is none

	CircuitID Octets // DHCP Option 82 or PPPoE tag, sub-option 1 (RFC 3046; RFC 4679, section 3.3.1)
	RemoteID  Octets // sub-option 2
	VLAN      VLAN

	Addresses Addresses

	// Version counts what the operator changes, so that a value learned for an older one is not kept.
	Version int64
}

// BindMode says whether a binding is required and where its value comes from.
type BindMode uint8

const (
	BindOff   BindMode = iota // not looked at
	BindFixed                 // required as the operator wrote it
	BindLearn                 // the first value seen at a login is kept and required from then on
)

var bindModes = [...]string{"off", "fixed", "learn"}

// String is "off", "fixed" or "learn".
func (m BindMode) String() string {
	if int(m) < len(bindModes) {
		return bindModes[m]
	}
	return strconv.Itoa(int(m))
}

// ParseBindMode reads what String wrote; nothing at all is off.
func ParseBindMode(s string) (BindMode, error) {
	for i, name := range bindModes {
		if s == name {
			return BindMode(i), nil
		}
	}
	if s == "" {
		return BindOff, nil
	}
	return BindOff, Invalidf("mode", "a binding is off, fixed or learn")
}

// Binding ties an access to a value. The zero value of T is none: not written, or not learned yet.
type Binding[T comparable] struct {
	Mode BindMode
	To   T
}

// Fixed is a binding to a value, or none for the zero value.
func Fixed[T comparable](to T) Binding[T] {
	var none T
	if to == none {
		return Binding[T]{}
	}
	return Binding[T]{BindFixed, to}
}

// Learns reports whether the next login gives the binding its value.
func (b Binding[T]) Learns() bool {
	var none T
	return b.Mode == BindLearn && b.To == none
}

func (b *Binding[T]) validate(field, missing string) error {
	var none T
	switch b.Mode {
	case BindOff:
		b.To = none
	case BindFixed:
		if b.To == none {
			return Invalidf(field, "%s", missing)
		}
	case BindLearn:
	default:
		return Invalidf(field, "a binding is off, fixed or learn")
	}
	return nil
}

// Mark is a way of recognising an access without a password.
type Mark uint8

// The marks in their order of precedence: where the line ends says more than what is plugged into it, and both more
// than a port that many may share.
const (
	NoMark      Mark = iota
	MarkCircuit      // circuit and remote id together, or the one that is set
	MarkMAC
	MarkPort
	MarkVLAN
)

var markNames = [...]string{"", "circuit", "mac", "port", "vlan"}

// String is the mark's stable name.
func (m Mark) String() string {
	if int(m) < len(markNames) {
		return markNames[m]
	}
	return ""
}

// Mark is what an access without a password is found by: the first in precedence of those that the operator fixed. No
// two accesses that a device could mean may share one.
func (l *Line) Mark() Mark {
	switch {
	case l.CircuitID != "" || l.RemoteID != "":
		return MarkCircuit
	case l.MAC.Mode == BindFixed:
		return MarkMAC
	case l.Port.Mode == BindFixed:
		return MarkPort
	case l.VLAN != (VLAN{}):
		return MarkVLAN
	}
	return NoMark
}

// MarkText is the mark with its value, the same for two accesses exactly when they would be mistaken for each other on a
// device that may serve both; "" where the access has a password or no mark.
func (l *Line) MarkText() string {
	if !l.NoPassword {
		return ""
	}
	switch m := l.Mark(); m {
	case MarkCircuit:
		return m.String() + " " + strconv.Quote(l.CircuitID.String()) + " " + strconv.Quote(l.RemoteID.String())
	case MarkMAC:
		return m.String() + " " + l.MAC.To.String()
	case MarkPort:
		return m.String() + " " + l.Port.To.String()
	case MarkVLAN:
		return m.String() + " " + l.VLAN.String()
	}
	return ""
}

// IsZero reports whether the access has nothing beside its login and password.
func (l *Line) IsZero() bool {
	return !l.NoPassword && !l.Bound() && l.Addresses.IsZero()
}

// Bound reports whether a request must bear any mark.
func (l *Line) Bound() bool {
	return l.MAC.Mode != BindOff || l.Device.Mode != BindOff || l.Port.Mode != BindOff || l.Mark() != NoMark
}

// Learns reports whether the next login gives some binding its value.
func (l *Line) Learns() bool { return l.MAC.Learns() || l.Device.Learns() || l.Port.Learns() }

// Learned reports whether some binding has the value of a first login.
func (l *Line) Learned() bool {
	return l.MAC.Mode == BindLearn && !l.MAC.Learns() || l.Device.Mode == BindLearn && !l.Device.Learns() ||
		l.Port.Mode == BindLearn && !l.Port.Learns()
}

// Forget takes away what was learned, so that the next login is a first one.
func (l *Line) Forget() {
	if l.MAC.Mode == BindLearn {
		l.MAC.To = MAC{}
	}
	if l.Device.Mode == BindLearn {
		l.Device.To = 0
	}
	if l.Port.Mode == BindLearn {
		l.Port.To = ""
	}
}

// Learn takes over what a login showed, for the bindings that still learn. It reports whether anything was taken.
func (l *Line) Learn(seen *Learned) (took bool) {
	if l.MAC.Learns() && seen.MAC != (MAC{}) {
		l.MAC.To, took = seen.MAC, true
	}
	if l.Device.Learns() && seen.Device != 0 {
		l.Device.To, took = seen.Device, true
	}
	if l.Port.Learns() && seen.Port != "" {
		l.Port.To, took = seen.Port, true
	}
	return took
}

// Lore is what the bindings have learned so far.
func (l *Line) Lore() *Learned {
	known := &Learned{Version: l.Version}
	if l.MAC.Mode == BindLearn {
		known.MAC = l.MAC.To
	}
	if l.Device.Mode == BindLearn {
		known.Device = l.Device.To
	}
	if l.Port.Mode == BindLearn {
		known.Port = l.Port.To
	}
	return known
}

// Learned is what the first login of an access showed; a zero field was not learned.
type Learned struct {
	Access  AccessID
	Version int64 // of the Line that it was learned for
	At      time.Time
	MAC     MAC
	Device  int64
	Port    Octets
}

// Validate names the first field that cannot be accepted, and clears values that no mode uses.
func (l *Line) Validate() error {
	if err := l.MAC.validate("mac", "a binding to a MAC address names it"); err != nil {
		return err
	}
	if err := l.Device.validate("device", "a binding to an access server names it"); err != nil {
		return err
	}
	if err := l.Port.validate("port", "a binding to a port names it"); err != nil {
		return err
	}
	if l.MAC.To != (MAC{}) && !l.MAC.To.Unicast() {
		return Invalidf("mac", "that is not the MAC address of a device: it is for groups")
	}
	if l.Device.To < 0 {
		return Invalidf("device", "there is no such access server")
	}
	for _, o := range [...]struct {
		field string
		value Octets
	}{{"circuit_id", l.CircuitID}, {"remote_id", l.RemoteID}, {"port", l.Port.To}} {
		if len(o.value) > maxOctets {
			return Invalidf(o.field, "an identifier of a line has at most 247 bytes")
		}
	}
	if !l.VLAN.valid() {
		return Invalidf("vlan", "a VLAN is 1 to 4094, written as 200 or, with the outer tag first, as 100:200")
	}
	if l.NoPassword {
		switch l.Mark() {
		case NoMark:
			return Invalidf("no_password", "an access without a password is recognised by a fixed MAC address, circuit id, remote id, port or VLAN")
		case MarkPort, MarkVLAN:
			if l.Device.Mode != BindFixed {
				return Invalidf("device", "ports and VLANs repeat: name the access server that they belong to")
			}
		}
	}
	return l.Addresses.Validate()
}
