package nas

import (
	"net/netip"

	"enlace/contracts"
)

// API is where and how a device's own management interface is reached, for what RADIUS cannot do there. It is the
// RouterOS API (8729 with TLS, 8728 without).
type API struct {
	Addr     netip.AddrPort // the zero value: the device has none for us
	User     string
	Password []byte // never logged
	// Certificate is the fingerprint that the device's certificate must have, "sha256:" and 64 hexadecimal digits; or
	// PlainAPI, which says that the connection may go without TLS.
	Certificate string
}

// PlainAPI in place of a fingerprint lets the password and the commands travel without TLS.
const PlainAPI = "plain"

// Known reports whether the device has an API for us.
func (a *API) Known() bool { return a.Addr.IsValid() }

func (a *API) validate() error {
	switch {
	case !a.Known() && (a.User != "" || len(a.Password) > 0 || a.Certificate != ""):
		return contracts.Invalidf("api", "an API has an address and a port")
	case !a.Known():
		return nil
	case a.Addr.Port() == 0:
		return contracts.Invalidf("api", "an API has an address and a port")
	case a.User == "" || len(a.User) > 100 || TextOf(a.User) != a.User:
		return contracts.Invalidf("api_user", "a user of the API has 1 to 100 printable bytes")
	case len(a.Password) > 200:
		return contracts.Invalidf("api_password", "a password of the API has at most 200 bytes")
	case a.Certificate != PlainAPI && (len(a.Certificate) != len(fingerprintPrefix)+64 || !isIdentity(a.Certificate)):
		return contracts.Invalidf("api_certificate", "the fingerprint of the certificate is sha256: and 64 hexadecimal digits; %q goes without TLS", PlainAPI)
	}
	return nil
}
