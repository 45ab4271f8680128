package contracts

import (
	"slices"
	"time"
)

// Hours are a stretch of some days, on a clock in the contract's zone, in which a plan has other rates, or traffic that
// no allowance counts. Where several hold at once, the first of the plan's list decides.
type Hours struct {
	Days  []int     `json:"days,omitempty"` // ISO weekdays (1 = Monday) on which they begin; none: every day
	From  ClockTime `json:"from"`
	Until ClockTime `json:"until"` // not included; up to From: on the day after
	// Rates in these hours: own rates when set, otherwise Percent of the plan's, and with neither the plan's.
	Profile Profile `json:"profile,omitzero"`
	Percent int     `json:"percent,omitempty"`
	Free    bool    `json:"free,omitempty"` // traffic in these hours is not counted
}

// MaxHours bounds the hours of a plan.
const MaxHours = 24

// maxPercent bounds rates in hours, as a part of the plan's.
const maxPercent = 1000

// stretch is the one that begins on day d; empty where a change to daylight saving skipped all of it, or h does not
// begin on that day of the week.
func (h *Hours) stretch(d Date, zone *time.Location) (from, until time.Time) {
	if len(h.Days) > 0 && !slices.Contains(h.Days, d.ISOWeekday()) {
		return from, until
	}
	end := d
	if h.Until <= h.From {
		end++
	}
	return d.At(h.From, zone), end.At(h.Until, zone)
}

// holds reports whether t lies in the hours.
func (h *Hours) holds(t time.Time, today Date, zone *time.Location) bool {
	for d := today - 1; d <= today; d++ {
		if from, until := h.stretch(d, zone); !t.Before(from) && t.Before(until) {
			return true
		}
	}
	return false
}

// HoursAt is the plan's hours that hold at t on a clock in zone; nil outside all of them.
func (p *Plan) HoursAt(t time.Time, zone *time.Location) *Hours {
	if len(p.Hours) == 0 {
		return nil
	}
	today := DateOf(t, zone)
	for i := range p.Hours {
		if h := &p.Hours[i]; h.holds(t, today, zone) {
			return h
		}
	}
	return nil
}

// HoursProfile is the plan's profile in some of its hours; nil: outside.
func (p *Plan) HoursProfile(h *Hours) Profile {
	switch {
	case h == nil, h.Profile == Profile{} && h.Percent == 0:
		return p.Full
	case h.Profile != (Profile{}):
		return p.named(h.Profile, p.Full)
	}
	return p.named(p.Full.percent(h.Percent), p.Full)
}

// ratesUntil is when the rates that the hours give at t end; zero when they do not change within the week after.
func (p *Plan) ratesUntil(t time.Time, zone *time.Location) time.Time {
	if !slices.ContainsFunc(p.Hours, func(h Hours) bool { return p.HoursProfile(&h) != p.Full }) {
		return time.Time{} // only what counts differs
	}
	now := p.HoursProfile(p.HoursAt(t, zone))
	last := DateOf(t, zone) + 8
	for at := t; ; {
		var next time.Time
		today := DateOf(at, zone)
		for i := range p.Hours {
			for d := today - 1; d <= last; d++ {
				from, until := p.Hours[i].stretch(d, zone)
				if !from.Before(until) {
					continue
				}
				for _, b := range [...]time.Time{from, until} {
					if b.After(at) && (next.IsZero() || b.Before(next)) {
						next = b
					}
				}
				if from.After(at) {
					break
				}
			}
		}
		if next.IsZero() || DateOf(next, zone) > last {
			return time.Time{}
		}
		if p.HoursProfile(p.HoursAt(next, zone)) != now {
			return next
		}
		at = next
	}
}

func (h *Hours) validate() error {
	switch {
	case h.From < 0 || h.From >= 24*60 || h.Until < 0 || h.Until >= 24*60:
		return Invalidf("hours", "hours lie between 00:00 and 23:59; 00:00 as their end is midnight")
	case h.Percent < 0 || h.Percent > maxPercent:
		return Invalidf("hours", "rates in hours are 1 to %d %% of the plan's", maxPercent)
	case h.Profile != (Profile{}) && (h.Profile.DownBps < floorBps || h.Profile.UpBps < floorBps || h.Profile.DownBps > MaxBps || h.Profile.UpBps > MaxBps):
		return Invalidf("hours", "rates in hours are at least 64 kbit/s and at most 10 Tbit/s")
	case h.Profile == (Profile{}) && h.Percent == 0 && !h.Free:
		return Invalidf("hours", "hours have rates of their own, or traffic that is free")
	}
	for i, d := range h.Days {
		if d < 1 || d > 7 || slices.Contains(h.Days[:i], d) {
			return Invalidf("hours", "days of the week are 1 (Monday) to 7 (Sunday), each once")
		}
	}
	return nil
}
