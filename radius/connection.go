package radius

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// Connection is who had an address, from an instant to another.
type Connection struct {
	Claim
	Key            nas.SessionKey
	StartedAt      time.Time // of the session
	Login          string
	CallingStation string
	NASPort        string
	Device         string             // its name
	Access         contracts.AccessID // 0 when the login is none of ours
	Contract       contracts.ContractID
	Customer       contracts.CustomerID
	CustomerName   string // as it is now
	Document       string
}

// Shared reports whether the address was the session's only in part.
func (c *Connection) Shared() bool { return c.PortFrom > 0 || c.PortTo < maxPort }

// AnyPort asks for every port of an address.
const AnyPort = -1

// AddressQuestion is of an address: who had it at an instant.
type AddressQuestion struct {
	Address netip.Addr
	Port    int // 0 to 65535, or AnyPort
	At      time.Time
	Limit   int // 1 to 1000; 100 when 0
}

// SubscriberQuestion is of a subscriber: what addresses a login or a customer had, from an instant to another.
type SubscriberQuestion struct {
	Login       string // exactly; or
	Customer    contracts.CustomerID
	From, Until time.Time
	Limit       int // 1 to 1000; 100 when 0
}

// ParseAddressPort reads 192.0.2.1, 192.0.2.1:5060, 2001:db8::1 or [2001:db8::1]:5060; without a port it is AnyPort.
// Errors are of contracts.Invalid.
func ParseAddressPort(s string) (netip.Addr, int, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().WithZone(""), AnyPort, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), int(ap.Port()), nil
	}
	return netip.Addr{}, 0, contracts.Invalidf("address", "%q is not one address: write it as 192.0.2.1, 192.0.2.1:5060, 2001:db8::1 or [2001:db8::1]:5060", s)
}

// ParsePort reads a port; nothing is AnyPort. Errors are of contracts.Invalid.
func ParsePort(s string) (int, error) {
	if s = strings.TrimSpace(s); s == "" {
		return AnyPort, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, contracts.Invalidf("port", "%q is not a port: it is 0 to 65535", s)
	}
	return int(n), nil
}
