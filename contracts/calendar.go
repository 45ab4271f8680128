package contracts

import "time"

// Calendars are the holidays in force, by calendar name ("national", "bank", "chapeco").
type Calendars map[string]map[Date]bool

// Holiday reports whether d is a holiday in any of the named calendars. An unknown name has no holidays.
func (c Calendars) Holiday(d Date, names ...string) bool {
	for _, n := range names {
		if c[n][d] {
			return true
		}
	}
	return false
}

// NextBusinessDay is d or the first following day that is neither Saturday, Sunday nor a holiday of the calendars.
func (c Calendars) NextBusinessDay(d Date, names ...string) Date {
	for d.ISOWeekday() >= 6 || c.Holiday(d, names...) {
		d++
	}
	return d
}

// Validate names the first calendar that cannot be accepted.
func (c Calendars) Validate() error {
	for name, days := range c {
		if err := validCalendarNames("calendars", []string{name}); err != nil {
			return err
		}
		for d := range days {
			if err := ValidDate("calendars", d); err != nil {
				return err
			}
		}
	}
	return nil
}

func validCalendarNames(field string, names []string) error {
	if len(names) > 100 {
		return Invalidf(field, "at most 100 calendars are named")
	}
	for _, n := range names {
		if n == "" {
			return Invalidf(field, "a calendar has a name")
		}
		if err := ValidText(field, n, 100); err != nil {
			return err
		}
	}
	return nil
}

// Easter is Easter Sunday of a Gregorian year (the anonymous computus of Meeus, Jones and Butcher).
func Easter(year int) Date {
	a, b, c := year%19, year/100, year%100
	d, e := b/4, b%4
	g := (8*b + 13) / 25
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 19*l) / 433
	month := (h + l - 7*m + 90) / 25
	day := (h + l - 7*m + 33*month + 19) % 32
	return NewDate(year, time.Month(month), day)
}

// BrazilianCalendars are the national holidays and the bank-only days of the years given (inclusive).
// National: Law 662/1949 as amended by 10.607/2002, Law 6.802/1980 (12 October) and, from 2024, Law 14.759/2023
// (20 November); Good Friday is kept by every state. Bank only: Carnival Monday and Tuesday and Corpus Christi
// (CMN Resolution 4.880/2020).
func BrazilianCalendars(from, to int) Calendars {
	national, bank := map[Date]bool{}, map[Date]bool{}
	for y := from; y <= to; y++ {
		for _, md := range [][2]int{{1, 1}, {4, 21}, {5, 1}, {9, 7}, {10, 12}, {11, 2}, {11, 15}, {12, 25}} {
			national[NewDate(y, time.Month(md[0]), md[1])] = true
		}
		if y >= 2024 {
			national[NewDate(y, 11, 20)] = true
		}
		easter := Easter(y)
		national[easter-2] = true
		bank[easter-48], bank[easter-47], bank[easter+60] = true, true, true
	}
	return Calendars{"national": national, "bank": bank}
}
