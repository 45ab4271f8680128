package radius

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"enlace/contracts"
	"enlace/nas"
)

// Attributes by which a request shows where it comes from.
const (
	attrNASPort   = 5
	attrNASPortID = 87

	vendorCisco     = 9
	vendorADSLForum = 3561
	vendorERX       = 4874
	vendorNokia     = 6527

	adslCircuitID = 1  // Agent-Circuit-Id (RFC 4679, section 3.3.1)
	adslRemoteID  = 2  // Agent-Remote-Id (section 3.3.2)
	ciscoAVPair   = 1  // name=value
	erxDHCPMAC    = 56 // ERX-Dhcp-Mac-Addr
	nokiaClientHW = 27 // Alc-Client-Hardware-Addr
)

// bearing is what a request shows of the line that it comes from. Its slices point into the datagram, or into the
// worker's own space for a port that is a number.
type bearing struct {
	mac      contracts.MAC // from Calling-Station-Id, else from the vendor's attribute
	named    contracts.MAC // User-Name, where it is a MAC address
	circuit  []byte
	remote   []byte
	port     []byte
	vlan     contracts.VLAN
	portText [10]byte
}

var (
	ciscoMAC     = []byte("client-mac-address=")
	ciscoCircuit = []byte("circuit-id-tag=")
	ciscoRemote  = []byte("remote-id-tag=")
)

// readBearing gathers what a request shows. A vendor's own attribute counts where the standard one says nothing.
func (b *bearing) read(v View, login []byte) {
	*b = bearing{}
	var vendorMAC contracts.MAC
	for rest := v.b[headerLen:]; len(rest) > 0; rest = rest[rest[1]:] {
		value := rest[2:rest[1]]
		switch rest[0] {
		case attrCallingStation:
			if b.mac == (contracts.MAC{}) {
				b.mac, _ = contracts.ParseMAC(value)
			}
		case attrNASPortID:
			b.port = value
		case attrNASPort:
			if len(b.port) == 0 && len(value) == 4 {
				b.port = strconv.AppendUint(b.portText[:0], uint64(binary.BigEndian.Uint32(value)), 10)
			}
		case attrVendorSpecific:
			if len(value) >= 4 {
				b.readVendor(binary.BigEndian.Uint32(value), value[4:], &vendorMAC)
			}
		}
	}
	if b.mac == (contracts.MAC{}) {
		b.mac = vendorMAC
	}
	b.named, _ = contracts.ParseMAC(login)
	b.vlan = contracts.VLANOf(b.port)
}

func (b *bearing) readVendor(vendor uint32, sub []byte, mac *contracts.MAC) {
	switch vendor {
	case vendorADSLForum, vendorCisco, vendorERX, vendorNokia:
	default:
		return
	}
	for ; len(sub) >= 2 && sub[1] >= 2 && int(sub[1]) <= len(sub); sub = sub[sub[1]:] {
		value := sub[2:sub[1]]
		switch {
		case vendor == vendorADSLForum && sub[0] == adslCircuitID:
			b.circuit = value
		case vendor == vendorADSLForum && sub[0] == adslRemoteID:
			b.remote = value
		case vendor == vendorCisco && sub[0] == ciscoAVPair:
			if text, ok := bytes.CutPrefix(value, ciscoMAC); ok {
				*mac, _ = contracts.ParseMAC(text)
			} else if text, ok := bytes.CutPrefix(value, ciscoCircuit); ok && b.circuit == nil {
				b.circuit = text
			} else if text, ok := bytes.CutPrefix(value, ciscoRemote); ok && b.remote == nil {
				b.remote = text
			}
		case vendor == vendorERX && sub[0] == erxDHCPMAC, vendor == vendorNokia && sub[0] == nokiaClientHW:
			*mac, _ = contracts.ParseMAC(value)
		}
	}
}

// device is the MAC address that the request comes from. Only where the device says none is it the one in User-Name,
// which a PPPoE subscriber chooses and a DHCP server does not; so it counts only for accesses without a password.
func (b *bearing) device(withoutPassword bool) contracts.MAC {
	if b.mac == (contracts.MAC{}) && withoutPassword {
		return b.named
	}
	return b.mac
}

// mismatch says what a line requires that a request does not show; "" when it shows everything. A binding that has not
// learned yet requires nothing.
func (b *bearing) mismatch(l *contracts.Line, d nas.DeviceID) string {
	mac := b.device(l.NoPassword)
	switch {
	case l.NoPassword && b.mac != (contracts.MAC{}) && b.named != (contracts.MAC{}) && b.mac != b.named:
		return fmt.Sprintf("User-Name says the MAC address %s, and the device says %s", b.named, b.mac)
	case l.MAC.To != (contracts.MAC{}) && l.MAC.To != mac:
		return fmt.Sprintf("MAC address: seen %s, expected %s", orNone(mac.String()), l.MAC.To)
	case l.Device.To != 0 && l.Device.To != int64(d):
		return fmt.Sprintf("access server: seen number %d, expected %d", d, l.Device.To)
	case l.Port.To != "" && string(l.Port.To) != string(b.port):
		return fmt.Sprintf("port: seen %s, expected %s", shown(b.port), l.Port.To)
	case l.CircuitID != "" && string(l.CircuitID) != string(b.circuit):
		return fmt.Sprintf("circuit id: seen %s, expected %s", shown(b.circuit), l.CircuitID)
	case l.RemoteID != "" && string(l.RemoteID) != string(b.remote):
		return fmt.Sprintf("remote id: seen %s, expected %s", shown(b.remote), l.RemoteID)
	case l.VLAN != (contracts.VLAN{}) && l.VLAN != b.vlan:
		return fmt.Sprintf("VLAN: seen %s (port %s), expected %s", orNone(b.vlan.String()), shown(b.port), l.VLAN)
	}
	return ""
}

func shown(raw []byte) string { return orNone(contracts.Octets(raw).String()) }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
