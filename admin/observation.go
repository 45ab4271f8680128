package admin

import (
	"strconv"
	"time"

	"enlace/nas"
)

var proxyStateLabels = map[nas.LimitProxyState]string{nas.ForbidProxyState: "Dropped", nas.LearnProxyState: "Dropped, unless seen at first", nas.AllowProxyState: "Allowed"}

// maEvidence says in a sentence whether a device's requests would all pass if Message-Authenticator were required.
func (p *page) maEvidence(o *nas.Observation) string {
	all, since := p.count(o.Signed+o.Unsigned), p.Instant(o.Since, nil)
	switch o.RequireMA() {
	case nas.NothingSeen:
		return p.T("No Access-Request over UDP has been seen since %s.", since)
	case nas.NotYet:
		return p.T("Not yet: %s of %s Access-Requests since %s lacked Message-Authenticator, the last on %s. “Required” drops such requests.",
			p.count(o.Unsigned), all, since, p.Second(o.LastUnsigned, nil))
	case nas.TooFew:
		return p.T("Every one of %s Access-Requests since %s carried Message-Authenticator, but they are too few to go by.", all, since)
	}
	return p.T("Every one of %s Access-Requests since %s carried Message-Authenticator: “Required” is safe.", all, since)
}

// proxyEvidence says whether they would all pass if Proxy-State were forbidden where Message-Authenticator lacks.
func (p *page) proxyEvidence(o *nas.Observation) string {
	all, since := p.count(o.Signed+o.Unsigned), p.Instant(o.Since, nil)
	switch o.ForbidProxyState() {
	case nas.NothingSeen:
		return p.T("No Access-Request over UDP has been seen since %s.", since)
	case nas.NotYet:
		return p.T("Not yet: %s of %s Access-Requests since %s carried Proxy-State without Message-Authenticator, the last on %s. “Dropped” drops such requests.",
			p.count(o.UnsignedProxied), all, since, p.Second(o.LastUnsignedProxied, nil))
	case nas.TooFew:
		return p.T("None of %s Access-Requests since %s carried Proxy-State without Message-Authenticator, but they are too few to go by.", all, since)
	}
	return p.T("None of %s Access-Requests since %s carried Proxy-State without Message-Authenticator: “Dropped” is safe.", all, since)
}

// learned says what the automatic settings have made of it, where they are set.
func (p *page) learned(d *nas.Device) (lines []string) {
	if d.MessageAuthenticator == nas.LearnMA {
		if d.Observed.Signs {
			lines = append(lines, p.T("Learned: it sends Message-Authenticator, which is required of it now."))
		} else {
			lines = append(lines, p.T("Learning: Message-Authenticator is required from the first request that carries it."))
		}
	}
	if d.LimitProxyState == nas.LearnProxyState {
		switch {
		case d.Observed.ProxiesBare:
			lines = append(lines, p.T("Learned: it is a proxy that does not sign, whose Proxy-State is allowed."))
		case d.Observed.Learning():
			lines = append(lines, p.T("Learning: its first requests decide whether Proxy-State without Message-Authenticator is allowed."))
		default:
			lines = append(lines, p.T("Learned: Proxy-State without Message-Authenticator is dropped."))
		}
	}
	return lines
}

// count is Number for what only grows.
func (p *page) count(n uint64) string {
	if n > 1<<53 {
		return strconv.FormatUint(n, 10)
	}
	return p.Number(int(n))
}

// adviceClass colours a sentence by what it advises.
func adviceClass(a nas.Advice) string {
	switch a {
	case nas.Safe:
		return "good"
	case nas.NotYet:
		return "warn"
	}
	return "info"
}

type observationJSON struct {
	Since               *time.Time `json:"since,omitempty" doc:"What came before does not count"`
	Signed              uint64     `json:"signed" doc:"Access-Requests over UDP with a valid Message-Authenticator"`
	Unsigned            uint64     `json:"unsigned" doc:"Those with none"`
	LastUnsigned        *time.Time `json:"last_unsigned,omitempty"`
	UnsignedProxied     uint64     `json:"unsigned_proxied" doc:"Those with Proxy-State and no Message-Authenticator"`
	LastUnsignedProxied *time.Time `json:"last_unsigned_proxied,omitempty"`
	RequireMA           string     `json:"require_message_authenticator" enum:"nothing_seen,too_few,safe,not_yet" doc:"Whether yes would have dropped any"`
	ForbidProxyState    string     `json:"limit_proxy_state" enum:"nothing_seen,too_few,safe,not_yet" doc:"Whether yes would have dropped any"`
	Says                []string   `json:"says" doc:"The same in words; “Required” and “Dropped” are yes"`
}

func observationJSONOf(p *page, d *nas.Device) observationJSON {
	o := &d.Observed
	return observationJSON{Since: unlessZero(o.Since), Signed: o.Signed, Unsigned: o.Unsigned, LastUnsigned: unlessZero(o.LastUnsigned),
		UnsignedProxied: o.UnsignedProxied, LastUnsignedProxied: unlessZero(o.LastUnsignedProxied), RequireMA: string(o.RequireMA()),
		ForbidProxyState: string(o.ForbidProxyState()), Says: append([]string{p.maEvidence(o), p.proxyEvidence(o)}, p.learned(d)...)}
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
