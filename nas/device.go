package nas

import (
	"net/netip"

	"enlace/contracts"
)

// DeviceID numbers a device.
type DeviceID int64

// Device is an access server (NAS, BRAS) that may ask and that can be told.
type Device struct {
	ID      DeviceID
	Name    string
	Source  netip.Prefix // address or prefix its packets come from
	Secret  []byte       // shared secret; never logged
	Dialect string       // name of a Dialect
	// CoA is where CoA- and Disconnect-Requests go. It is a setting, never guessed from packets: source address and
	// NAS-IP-Address may both be unreachable. The zero value means that the device cannot be commanded.
	CoA           netip.AddrPort
	NASIdentifier string // sent in commands when set

	MessageAuthenticator MessageAuthenticator
	InterimSeconds       int // Acct-Interim-Interval in every Access-Accept (RFC 2869, section 5.16)
	CommandsPerSecond    int // the most CoA- and Disconnect-Requests it is sent
	// SwapOctets says that the device reports what the subscriber receives as Acct-Input-Octets, against RFC 2866,
	// section 5.3.
	SwapOctets bool
}

// MessageAuthenticator is a device's policy against forged Access-Requests (CVE-2024-3596, "BlastRADIUS").
type MessageAuthenticator string

const (
	RequireMA  MessageAuthenticator = "yes"  // Access-Requests without one are dropped
	LearnMA    MessageAuthenticator = "auto" // required once the device has been seen to send it
	OptionalMA MessageAuthenticator = "no"
)

// Validate names the first field that cannot be accepted.
func (d *Device) Validate() error {
	switch {
	case d.Name == "" || len(d.Name) > 100:
		return contracts.Invalidf("name", "a device has a name of 1 to 100 bytes")
	case !d.Source.IsValid():
		return contracts.Invalidf("source", "a device has a source address or prefix")
	case d.Source != d.Source.Masked():
		return contracts.Invalidf("source", "%s has bits set beyond its length; did you mean %s?", d.Source, d.Source.Masked())
	case len(d.Secret) < 6 || len(d.Secret) > 128:
		return contracts.Invalidf("secret", "a secret has 6 to 128 bytes")
	case DialectByName(d.Dialect) == nil:
		return contracts.Invalidf("dialect", "%q is not a known dialect", d.Dialect)
	case d.CoA != (netip.AddrPort{}) && (!d.CoA.IsValid() || d.CoA.Port() == 0):
		return contracts.Invalidf("coa", "a CoA address has an address and a port")
	case d.MessageAuthenticator != RequireMA && d.MessageAuthenticator != LearnMA && d.MessageAuthenticator != OptionalMA:
		return contracts.Invalidf("message_authenticator", "%q is not yes, auto or no", d.MessageAuthenticator)
	case d.InterimSeconds < 60 || d.InterimSeconds > 86400:
		return contracts.Invalidf("interim_seconds", "an interim interval is 60 to 86400 seconds")
	case d.CommandsPerSecond < 1 || d.CommandsPerSecond > 10000:
		return contracts.Invalidf("commands_per_second", "a command rate is 1 to 10000 a second")
	}
	return nil
}
