package admin

import (
	"fmt"
	"strconv"
	"strings"

	"enlace/contracts"
	"enlace/nas"
)

// termsOf reads a plan's allowance and hours out of its form.
func termsOf(f *form, p *contracts.Plan) {
	if f.has("allowance") {
		a := &contracts.Allowance{Bytes: uint64(f.gigabytes("allowance")), Counts: contracts.Counting(f.get("allowance_counts")),
			Beyond: contracts.Beyond(f.get("allowance_beyond")), Percent: f.number("allowance_percent", 0)}
		if f.has("allowance_down") || f.has("allowance_up") {
			a.Profile = contracts.Profile{DownBps: f.rate("allowance_down"), UpBps: f.rate("allowance_up")}
		}
		p.Allowance = a
	}
	for i := range contracts.MaxHours {
		name := func(field string) string { return fmt.Sprintf("hours_%s_%d", field, i) }
		if !f.has(name("from")) && !f.has(name("until")) {
			continue
		}
		h := contracts.Hours{From: f.clockTime(name("from")), Until: f.clockTime(name("until")), Percent: f.number(name("percent"), 0), Free: f.get(name("free")) == "yes"}
		if f.has(name("down")) || f.has(name("up")) {
			h.Profile = contracts.Profile{DownBps: f.rate(name("down")), UpBps: f.rate(name("up"))}
		}
		for _, d := range strings.FieldsFunc(f.get(name("days")), func(r rune) bool { return r == ',' || r == ' ' }) {
			n, err := strconv.Atoi(d)
			if err != nil {
				f.wrong(contracts.Invalidf("hours", "days of the week are 1 (Monday) to 7 (Sunday), each once"))
			}
			h.Days = append(h.Days, n)
		}
		p.Hours = append(p.Hours, h)
	}
}

// clockTime reads a time of day.
func (f *form) clockTime(name string) contracts.ClockTime {
	c, err := contracts.ParseClockTime(f.get(name))
	if err != nil {
		f.wrong(contracts.Invalidf("hours", "hours have a beginning and an end, such as 22:00 and 06:00"))
	}
	return c
}

// fillTerms writes a plan's allowance and hours into its form.
func fillTerms(p *contracts.Plan, f *form) {
	f.values["allowance_counts"], f.values["allowance_beyond"] = string(contracts.CountBoth), string(contracts.BeyondReduce)
	part := func(name string, percent int) {
		if percent > 0 {
			f.values[name] = strconv.Itoa(percent)
		}
	}
	own := func(down, up string, rates contracts.Profile) {
		if rates != (contracts.Profile{}) {
			f.values[down], f.values[up] = nas.Rate(rates.DownBps), nas.Rate(rates.UpBps)
		}
	}
	if a := p.Allowance; a != nil {
		f.values["allowance"] = strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%09d", a.Bytes/1e9, a.Bytes%1e9), "0"), ".")
		f.values["allowance_counts"], f.values["allowance_beyond"] = string(a.Counts), string(a.Beyond)
		part("allowance_percent", a.Percent)
		own("allowance_down", "allowance_up", a.Profile)
	}
	for i, h := range p.Hours {
		name := func(field string) string { return fmt.Sprintf("hours_%s_%d", field, i) }
		f.values[name("from")], f.values[name("until")] = h.From.String(), h.Until.String()
		f.values[name("days")] = strings.Trim(strings.ReplaceAll(fmt.Sprint(h.Days), " ", ","), "[]")
		part(name("percent"), h.Percent)
		own(name("down"), name("up"), h.Profile)
		if h.Free {
			f.values[name("free")] = "yes"
		}
	}
}

// hoursRows are how many rows for hours a form shows: those filled in, and one more.
func hoursRows(f *form) int {
	n := 0
	for i := range contracts.MaxHours {
		if f.has(fmt.Sprintf("hours_from_%d", i)) {
			n = i + 1
		}
	}
	return min(n+1, contracts.MaxHours)
}
