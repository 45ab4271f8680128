package nas

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"

	"enlace/contracts"
)

// DeviceID numbers a device.
type DeviceID int64

// Device is an access server (NAS, BRAS) that may ask and that can be told.
type Device struct {
	ID   DeviceID
	Name string
	// Source is the address or prefix its datagrams come from; the zero value where it speaks RadSec only. Devices may
	// share one, each with a NASIdentifier of its own.
	Source netip.Prefix
	Secret []byte // shared secret; never logged
	// OlderSecret is accepted too while the device is given a new one; nil when there is none.
	OlderSecret []byte
	// Certificate is whose certificate makes a RadSec connection this device's: a DNS name or "sha256:" and the hexadecimal
	// fingerprint, as CertificateIdentity writes them. Empty: it speaks no RadSec.
	Certificate string
	Dialect     string // name of one of the Dialects
	// CoA is where CoA- and Disconnect-Requests go. It is a setting, never guessed from packets: source address and
	// NAS-IP-Address may both be unreachable. The zero value means that the device cannot be commanded.
	CoA netip.AddrPort
	// NASIdentifier is sent in commands when set, and tells apart devices that share a source.
	NASIdentifier string

	MessageAuthenticator MessageAuthenticator
	LimitProxyState      LimitProxyState
	Observed             Observation // what has been seen of its datagrams
	InterimSeconds       int         // Acct-Interim-Interval in every Access-Accept (RFC 2869, section 5.16)
	CommandsPerSecond    int         // the most datagrams of commands that it is sent, retransmissions counted, and calls of its API
	// SwapOctets says that the device reports what the subscriber receives as Acct-Input-Octets, against RFC 2866,
	// section 5.3.
	SwapOctets bool
	// IPv4Pool and DelegatedPool lend addresses and delegated prefixes to those who have none of their own; 0: the access
	// server chooses.
	IPv4Pool, DelegatedPool PoolID

	API  API
	Site Site

	Conformance Conformance // what was found of it, and what an operator has fixed of how it is commanded
}

// MessageAuthenticator is a device's policy against forged Access-Requests (CVE-2024-3596, "BlastRADIUS").
type MessageAuthenticator string

const (
	RequireMA  MessageAuthenticator = "yes"  // Access-Requests without one are dropped
	LearnMA    MessageAuthenticator = "auto" // required once the device has been seen to send it
	OptionalMA MessageAuthenticator = "no"
)

// LimitProxyState is a device's policy on Access-Requests that carry Proxy-State and no Message-Authenticator, which is
// what an attack of CVE-2024-3596 looks like on its way to the server. A proxy that does not sign looks the same.
type LimitProxyState string

const (
	ForbidProxyState LimitProxyState = "yes"  // they are dropped
	LearnProxyState  LimitProxyState = "auto" // dropped, unless one was among the device's first requests
	AllowProxyState  LimitProxyState = "no"
)

// Validate names the first field that cannot be accepted.
func (d *Device) Validate() error {
	switch {
	case d.Name == "" || len(d.Name) > 100:
		return contracts.Invalidf("name", "a device has a name of 1 to 100 bytes")
	case !d.Source.IsValid() && d.Certificate == "":
		return contracts.Invalidf("source", "a device has a source address or prefix, or a certificate")
	case d.Source.IsValid() && d.Source != d.Source.Masked():
		return contracts.Invalidf("source", "%s has bits set beyond its length; did you mean %s?", d.Source, d.Source.Masked())
	case (len(d.Secret) < 6 || len(d.Secret) > 128) && (d.needsSecret() || len(d.Secret) > 0):
		return contracts.Invalidf("secret", "a secret has 6 to 128 bytes")
	case len(d.OlderSecret) > 128 || d.OlderSecret != nil && bytes.Equal(d.Secret, d.OlderSecret):
		return contracts.Invalidf("secret", "the device has that secret already")
	case d.Certificate != "" && !isIdentity(d.Certificate):
		return contracts.Invalidf("certificate", "%q is neither a DNS name nor sha256: and 64 hexadecimal digits", d.Certificate)
	case d.Dialect == "" || len(d.Dialect) > 40:
		return contracts.Invalidf("dialect", "a device speaks a dialect")
	case d.CoA != (netip.AddrPort{}) && (!d.CoA.IsValid() || d.CoA.Port() == 0):
		return contracts.Invalidf("coa", "a CoA address has an address and a port")
	case d.MessageAuthenticator != RequireMA && d.MessageAuthenticator != LearnMA && d.MessageAuthenticator != OptionalMA:
		return contracts.Invalidf("message_authenticator", "%q is not yes, auto or no", d.MessageAuthenticator)
	case d.LimitProxyState != ForbidProxyState && d.LimitProxyState != LearnProxyState && d.LimitProxyState != AllowProxyState:
		return contracts.Invalidf("limit_proxy_state", "%q is not yes, auto or no", d.LimitProxyState)
	case d.InterimSeconds < 60 || d.InterimSeconds > 86400:
		return contracts.Invalidf("interim_seconds", "an interim interval is 60 to 86400 seconds")
	case d.CommandsPerSecond < 1 || d.CommandsPerSecond > 10000:
		return contracts.Invalidf("commands_per_second", "a command rate is 1 to 10000 a second")
	}
	if err := d.API.validate(); err != nil {
		return err
	}
	return d.Site.validate()
}

// needsSecret is false for a device whose certificate is all it is known by.
func (d *Device) needsSecret() bool { return d.Source.IsValid() || d.CoA.IsValid() }

// ChangeSecret gives the device a new shared secret; an empty one changes nothing. With keep the one it has now is
// accepted too, until it is dropped.
func (d *Device) ChangeSecret(secret []byte, keep bool) {
	if len(secret) == 0 {
		return
	}
	older := d.Secret
	if !keep || len(older) == 0 {
		older = nil
	}
	d.Secret, d.OlderSecret = secret, older
}

// SharesSecret reports whether a device has a secret in common with another, which may be itself under older settings.
func (d *Device) SharesSecret(other *Device) bool {
	for _, a := range [][]byte{d.Secret, d.OlderSecret} {
		if a != nil && (bytes.Equal(a, other.Secret) || bytes.Equal(a, other.OlderSecret)) {
			return true
		}
	}
	return false
}

// fingerprintPrefix begins the identity of one certificate, whatever names are in it.
const fingerprintPrefix = "sha256:"

// CertificateIdentity writes what an operator says of a certificate as devices keep it: a DNS name in lower case, or
// "sha256:" and 64 hexadecimal digits, which may come with colons between them as OpenSSL prints a fingerprint. The
// error is Invalid.
func CertificateIdentity(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	plain := strings.ReplaceAll(strings.TrimPrefix(s, fingerprintPrefix), ":", "")
	if sum, err := hex.DecodeString(plain); err == nil && len(sum) == 32 {
		s = fingerprintPrefix + plain
	}
	if s != "" && !isIdentity(s) {
		return "", contracts.Invalidf("certificate", "%q is neither a DNS name nor sha256: and 64 hexadecimal digits", s)
	}
	return s, nil
}

// isIdentity reports whether s is written as CertificateIdentity writes it.
func isIdentity(s string) bool {
	if digits, ok := strings.CutPrefix(s, fingerprintPrefix); ok {
		sum, err := hex.DecodeString(digits)
		return err == nil && len(sum) == 32 && strings.ToLower(digits) == digits
	}
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
