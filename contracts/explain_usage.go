package contracts

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// UsageNow is what usage and the time of day make of a contract's span at an instant.
type UsageNow struct {
	Span    Span
	Plan    Plan
	Tally   Tally
	Verdict Verdict
	Details []string // in words: what was used, and what decides; none for a plain plan without traffic
}

// UsageAt answers for the state at t: span is the one that holds then, days the traffic of its billing cycle. Traffic of
// the day of t is counted whole.
func UsageAt(d *Dossier, span Span, days []DayUsage, t time.Time, lang Language) UsageNow {
	c := d.Contract
	u := UsageNow{Span: span, Plan: d.Plans[span.PlanID], Tally: TallyAt(c, d.Facts, days, t)}
	u.Verdict = u.Plan.Decide(span.Outcome, c.Zone, u.Tally, t)
	w := wording{lang: lang, zone: c.Zone}
	if a := u.Plan.Allowance; a != nil {
		u.Details = append(u.Details, w.used(a, &u.Tally))
	}
	switch v := &u.Verdict; {
	case v.Rule == RuleAllowance && v.Outcome == OutcomeWalled:
		u.Details = append(u.Details, w.say("In the walled garden because the allowance is used up, until it begins anew on %s or more is added.",
			"No jardim murado porque a franquia foi usada, até que recomece em %s ou seja ampliada.", w.date(u.Tally.Until)))
	case v.Rule == RuleAllowance:
		u.Details = append(u.Details, w.say("Reduced to %s because the allowance is used up, until it begins anew on %s or more is added.",
			"Reduzido para %s porque a franquia foi usada, até que recomece em %s ou seja ampliada.", ratesText(v.Profile), w.date(u.Tally.Until)))
	case v.Rule == RuleHours:
		u.Details = append(u.Details, w.say("From %s to %s the plan runs at %s.", "Das %s às %s o plano tem %s.", v.Hours.From, v.Hours.Until, ratesText(v.Profile)))
	}
	return u
}

// used says how much of an allowance is used.
func (w wording) used(a *Allowance, u *Tally) string {
	kind := map[Counting][2]string{CountBoth: {"traffic", "tráfego"}, CountDownload: {"download", "download"}, CountUpload: {"upload", "upload"}}[a.Counts]
	of := kind[0]
	if w.lang == Portuguese {
		of = kind[1]
	}
	line := w.say("%s of %s of %s used in the cycle %s to %s", "%s de %s de %s usados no ciclo de %s a %s",
		FormatBytes(a.Of(u.Counted), w.lang), FormatBytes(addUpTo(a.Bytes, u.Extra), w.lang), of, w.date(u.From), w.date(u.Until-1))
	if u.Extra > 0 {
		line += w.say(", %s of it added", ", %s deles acrescentados", FormatBytes(u.Extra, w.lang))
	}
	return line + "."
}

// FormatBytes writes octets with a decimal prefix, as plans are sold: 1.5 GB is 1,500,000,000.
func FormatBytes(n uint64, lang Language) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	i, unit := 0, uint64(1)
	for i < len(units)-1 && n/unit >= 1000 {
		i, unit = i+1, unit*1000
	}
	text := strconv.FormatUint(n/unit, 10)
	if rest := n % unit * 10 / max(unit, 1); unit > 1 && rest > 0 {
		text += "." + strconv.FormatUint(rest, 10)
	}
	if lang == Portuguese {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text + " " + units[i]
}

// ratesText is rates in Mbit/s, download first.
func ratesText(p Profile) string {
	mega := func(bps uint64) string {
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", float64(bps)/1e6), "0"), ".")
	}
	return mega(p.DownBps) + "/" + mega(p.UpBps) + " Mbit/s"
}
