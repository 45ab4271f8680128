package admin

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

type refusal = radius.Refusal

var reasonLabels = map[radius.Reason]string{
	radius.EAPUnsupported: "EAP is not spoken here", radius.NoCredentials: "No credentials", radius.PasswordChange: "Asks for another password", radius.UserUnknown: "Unknown login",
	radius.BadPassword: "Wrong password", radius.ContractState: "Contract not in force", radius.LoginDisabled: "Access switched off",
	radius.BindingMismatch: "Not from its own line",
	radius.Simultaneous:    "As many sessions online as allowed", radius.Blocked: "Blocked", radius.NoAddress: "The access server's pool is exhausted", radius.ServiceUnencodable: "The device cannot be told this service",
}

func reasonLabel(r radius.Reason) string {
	if l, ok := reasonLabels[r]; ok {
		return l
	}
	return r.String()
}

// shownLogin is a login as it can be shown: whatever bytes were sent.
func shownLogin(s string) string {
	if s == "" {
		return "–"
	}
	return nas.TextOf(s)
}

func commandClass(c nas.CommandRecord) string {
	switch {
	case c.Evidence == nas.EvidenceIgnored:
		return "f-harm"
	case !c.ConfirmedAt.IsZero():
		return "f-pay"
	case c.Answer == nas.Naked || c.Answer == nas.TimedOut:
		return "f-harm"
	}
	return "f-notice"
}

func commandTitle(p *page, c nas.CommandRecord) string {
	switch c.Method {
	case nas.CoA:
		return p.T("Change to %s", p.wanted(c.Want))
	case nas.ViaAPI:
		return p.T("By the API: %s", p.wanted(c.Want))
	}
	return p.T("Disconnect")
}

// commandFate is what became of a command: reason, answer and evidence.
func commandFate(p *page, c nas.CommandRecord, zone *time.Location) string {
	var out []string
	if c.Reason != "" {
		out = append(out, p.reason(c.Reason))
	}
	switch c.Answer {
	case nas.Acked:
		out = append(out, p.T("acknowledged in %s ms", strconv.FormatInt(max(0, c.AnsweredAt.Sub(c.SentAt).Milliseconds()), 10)))
	case nas.Naked:
		text := p.T("refused by the access server")
		if c.ErrorCause != 0 {
			text += " (" + causeText(c.ErrorCause) + ")"
		}
		out = append(out, text)
	case nas.TimedOut:
		out = append(out, p.T("no answer after %d attempts", c.Attempts))
	case nas.Unreachable:
		out = append(out, p.T("could not be sent"))
	default:
		if c.SentAt.IsZero() {
			out = append(out, p.T("waiting to be sent"))
		} else {
			out = append(out, p.T("waiting for the answer"))
		}
	}
	switch {
	case c.Evidence == nas.EvidenceIgnored:
		out = append(out, p.T("without effect"))
	case !c.ConfirmedAt.IsZero():
		out = append(out, p.T("confirmed at %s", c.ConfirmedAt.In(zone).Format("15:04:05")))
	}
	return strings.Join(out, " · ")
}

func sortedPlans(plans map[contracts.PlanID]contracts.Plan) []contracts.Plan {
	var out []contracts.Plan
	for _, pl := range plans {
		out = append(out, pl)
	}
	slices.SortFunc(out, func(a, b contracts.Plan) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func planChoices(p *page, plans []contracts.Plan) []choice {
	out := make([]choice, len(plans))
	for i, pl := range plans {
		out[i] = choice{strconv.FormatInt(int64(pl.ID), 10), pl.Name + " · " + rates(pl.Full) + " · " + p.Money(pl.Price)}
	}
	return out
}
