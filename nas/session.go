package nas

import (
	"net/netip"
	"time"

	"enlace/contracts"
)

// SessionKey names an open session. Acct-Session-Id alone is not unique between access servers; any byte may occur in it.
type SessionKey struct {
	Device DeviceID
	ID     string // Acct-Session-Id, raw bytes
}

// Session is an open session as far as a command needs to name it.
type Session struct {
	Key            SessionKey
	Login          string // User-Name, as the access server sent it
	Access         contracts.AccessID
	StartedAt      time.Time
	FramedIP       netip.Addr
	CallingStation string
	NASPort        string // NAS-Port-Id, or NAS-Port as a number
	NASIdentifier  string
	Applied        Digest // what the last Access-Accept or ACKed CoA carried; 0 when unknown
}

// Report is what accounting has said of an open session by now: the evidence of what is applied to it. The zero value says
// nothing, such as of a session that was stored.
type Report struct {
	At            time.Time // of the newest record
	Seconds       int64     // Acct-Session-Time, by the device's clock
	Input, Output uint64    // octets from the subscriber and to him since the session began
	Class         Digest    // of our cookie in this record's Class; 0 where none came back
}

// Garden says how the walled garden is expressed; each dialect uses the parts it can.
type Garden struct {
	Profile     contracts.Profile // low rates
	AddressList string            // Mikrotik-Address-List
	Filter      string            // name of the filter of a walled session: Filter-Id, a user group, an SLA profile, an ACL
	OpenFilter  string            // name of the filter that a CoA gives to a session leaving the garden
	Service     string            // name of the service of a walled session, where services are activated by name
	RedirectURL string            // the portal, where an attribute says it
	Pool        string            // Framed-Pool, where the dialect walls by pool
	Timeout     uint32            // Session-Timeout in seconds, so that a lost CoA heals by itself
}

// DefaultGarden is what a device gets unless configured otherwise.
func DefaultGarden() Garden {
	return Garden{
		Profile:     contracts.Profile{DownBps: 1_000_000, UpBps: 1_000_000},
		AddressList: "enlace-walled", Filter: "enlace-walled", OpenFilter: "enlace-open", Service: "enlace-walled", Timeout: 3600,
	}
}
