package admin

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"enlace/nas"
	"enlace/radius"
)

// deviceView is what an access server's page shows.
type deviceView struct {
	nas.Device
	Online    int
	Pools     map[nas.PoolID]string
	Secret    radius.SecretProof
	Hour      nas.CommandTally // what it was told in the last hour
	Load      nas.DeviceLoad   // what it is to be told
	Pause     *nas.Pause       // its own, or that of all
	Commands  []nas.CommandRecord
	Zone      *time.Location // where it stands
	Elsewhere bool           // that is not the reader's

	Conformance ConformanceReport
}

// deviceCommands is how many of the last commands a device's page shows.
const deviceCommands = 15

func (s *server) devicePage(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	v := deviceView{Pools: map[nas.PoolID]string{}, Secret: s.SecretInUse(number)}
	if v.Device, err = s.Devices.Device(r.Context(), number); err != nil {
		return err
	}
	counts, err := s.Sessions.Counts(r.Context())
	if err != nil {
		return err
	}
	v.Online = counts[number]
	pools, err := s.Devices.Pools(r.Context(), p.now)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		v.Pools[pool.ID] = pool.Name
	}
	tallies, err := s.Devices.CommandTallies(r.Context(), p.now.Add(-time.Hour))
	if err != nil {
		return err
	}
	v.Hour = tallies[number]
	for _, l := range s.Network.Loads() {
		if l.Device == number {
			v.Load = l
		}
	}
	pauses, err := s.Devices.Pauses(r.Context())
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(pauses, func(p nas.Pause) bool { return p.Device == 0 || p.Device == number }); i >= 0 {
		v.Pause = &pauses[i]
	}
	if v.Commands, err = s.Devices.Commands(r.Context(), nas.CommandFilter{Device: number, Limit: deviceCommands}); err != nil {
		return err
	}
	v.Zone = p.zoneOf(&v.Device)
	v.Elsewhere = v.Zone.String() != p.zone.String()
	if v.Conformance, err = s.conformanceOf(r.Context(), &v.Device, p.lang); err != nil {
		return err
	}
	return show(w, r, http.StatusOK, deviceDetail(p, &v))
}

// zoneOf is the clock by which a device's times are shown: that of the place where it stands.
func (p *page) zoneOf(d *nas.Device) *time.Location {
	if d.Site.Zone != "" {
		if zone, err := time.LoadLocation(d.Site.Zone); err == nil {
			return zone
		}
	}
	return p.zone
}

// deviceSub says in a line what a device is and where.
func deviceSub(p *page, d *nas.Device) string {
	text := p.dialectTitle(d.Dialect)
	for _, part := range []string{d.Site.Model, d.Site.POP} {
		if part != "" {
			text += " · " + part
		}
	}
	return text
}

// geoURI leads to a place on whatever map the reader's system has (RFC 5870).
func geoURI(c *nas.Coordinates) string {
	return "geo:" + degrees(c.Latitude) + "," + degrees(c.Longitude)
}

// secretText says which of two secrets a device uses.
func secretText(p *page, v *deviceView) string {
	switch v.Secret {
	case radius.NewerProof:
		return p.T("Two are accepted. What was received last was made with the new one, and commands are signed with it: the older one can be dropped.")
	case radius.OlderProof:
		return p.T("Two are accepted. The access server still uses the older one, and commands are signed with that. Give it the new one.")
	}
	return p.T("Two are accepted. Nothing received since the start shows which one the access server uses: commands are signed with the new one, and with the older one when nothing answers.")
}

// secretClass colours secretText.
func secretClass(v *deviceView) string {
	if v.Secret == radius.NewerProof {
		return "good"
	}
	return "warn"
}

// commandOutcome says in a few words what became of a command, and in which colour.
func commandOutcome(p *page, c *nas.CommandRecord) (text, class string) {
	switch {
	case c.Evidence == nas.EvidenceIgnored:
		return p.T("Acknowledged without effect"), "s-blocked"
	case !c.ConfirmedAt.IsZero():
		return p.T(evidenceLabels[c.Evidence]), "s-active"
	case c.Answer == nas.Acked:
		return p.T("Acknowledged, effect not seen yet"), "s-overdue"
	case c.Answer == nas.Naked && c.ErrorCause != 0:
		return p.T("Refused: %s", causeText(c.ErrorCause)), "s-blocked"
	case c.Answer == nas.Naked:
		return p.T("Refused (NAK)"), "s-blocked"
	case c.Answer == nas.TimedOut:
		return p.T("No answer after %s datagrams", p.Number(c.Attempts)), "s-blocked"
	case c.Answer == nas.Unreachable:
		return p.T("Could not be sent"), "s-closed"
	case c.SentAt.IsZero():
		return p.T("Waiting to be sent"), "s-released"
	}
	return p.T("Waiting for the answer"), "s-released"
}

// evidenceLabels say by what a command's effect was seen.
var evidenceLabels = map[nas.Evidence]string{nas.NoEvidence: "Effect seen", nas.EvidenceInterim: "Seen: accounting goes on", nas.EvidenceTraffic: "Seen: its traffic",
	nas.EvidenceClass: "Seen: the new Class came back", nas.EvidenceStop: "Seen: the session ended", nas.EvidenceLogin: "Seen: a new login", nas.EvidenceIgnored: "Acknowledged without effect"}

// methodShort is a command's name in the protocol.
func methodShort(m nas.Method) string {
	switch m {
	case nas.CoA:
		return "CoA"
	case nas.ViaAPI:
		return "API"
	}
	return "Disconnect"
}

// errorCauses are the names of RFC 5176, section 3.5.
var errorCauses = map[int]string{201: "Residual Session Context Removed", 202: "Invalid EAP Packet", 401: "Unsupported Attribute", 402: "Missing Attribute",
	403: "NAS Identification Mismatch", 404: "Invalid Request", 405: "Unsupported Service", 406: "Unsupported Extension", 407: "Invalid Attribute Value",
	501: "Administratively Prohibited", 502: "Request Not Routable", 503: "Session Context Not Found", 504: "Session Context Not Removable",
	505: "Other Proxy Processing Error", 506: "Resources Unavailable", 507: "Request Initiated", 508: "Multiple Session Selection Unsupported"}

// causeText is an Error-Cause with its name.
func causeText(cause int) string {
	if name, ok := errorCauses[cause]; ok {
		return strconv.Itoa(cause) + " " + name
	}
	return strconv.Itoa(cause)
}

// answerTime is how long a device took to answer.
func answerTime(c *nas.CommandRecord) string {
	if c.SentAt.IsZero() || c.AnsweredAt.IsZero() || c.Answer != nas.Acked && c.Answer != nas.Naked {
		return ""
	}
	return strconv.FormatInt(max(0, c.AnsweredAt.Sub(c.SentAt).Milliseconds()), 10) + " ms"
}

// toneOf is the colour of a figure; nothing has none.
func toneOf(n int, class string) string {
	if n == 0 {
		return ""
	}
	return class
}
