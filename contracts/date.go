package contracts

import (
	"fmt"
	"time"
)

// Date is a civil date, counted in days since 1970-01-01. It has no zone: it is what people agreed on.
// The zero value is not a date (see IsZero); no fact is dated 1970-01-01.
type Date int32

// NewDate is the date of a year, month and day; out-of-range days normalise as in time.Date.
func NewDate(y int, m time.Month, d int) Date {
	return Date(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// DateOf is the civil date that a clock in loc shows at t.
func DateOf(t time.Time, loc *time.Location) Date {
	y, m, d := t.In(loc).Date()
	return NewDate(y, m, d)
}

// ParseDate reads "2006-01-02".
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, Invalidf("", "%q is not a date: write it as 2026-03-10", s)
	}
	if t.Year() < 1990 || t.Year() > 2200 {
		return 0, Invalidf("", "date %q lies outside 1990 to 2200", s)
	}
	return Date(t.Unix() / 86400), nil
}

// IsZero reports whether d is no date at all.
func (d Date) IsZero() bool { return d == 0 }

func (d Date) utc() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// Parts gives year, month and day.
func (d Date) Parts() (int, time.Month, int) { return d.utc().Date() }

// Weekday is Sunday = 0, as in package time.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }

// ISOWeekday is Monday = 1 to Sunday = 7.
func (d Date) ISOWeekday() int {
	if w := d.Weekday(); w != time.Sunday {
		return int(w)
	}
	return 7
}

// AddDays moves by whole days.
func (d Date) AddDays(n int) Date { return d + Date(n) }

// AddMonths moves by whole months and clamps to the month's length: 31 January + 1 month = 28 or 29 February.
func (d Date) AddMonths(n int) Date {
	y, m, day := d.Parts()
	return MonthDay(y, m+time.Month(n), day)
}

// MonthDay is the day of a month, clamped to the month's length; the month may lie outside 1..12.
func MonthDay(y int, m time.Month, day int) Date {
	last := NewDate(y, m+1, 0)
	if d := NewDate(y, m, day); d < last {
		return d
	}
	return last
}

// String is "2006-01-02", or "" for no date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.utc().Format(time.DateOnly)
}

// MarshalText writes String.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "2006-01-02"; empty text is no date.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = 0
		return nil
	}
	v, err := ParseDate(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// At is the first instant, in loc, at which a clock shows date d and a time of day of at least c. A time of day that a
// change to daylight saving skipped becomes the instant of the change: midnight of 2018-11-04 did not exist in
// São Paulo, and time.Date would answer 23:00 of the day before.
func (d Date) At(c ClockTime, loc *time.Location) time.Time {
	y, m, day := d.Parts()
	t := time.Date(y, m, day, int(c)/60, int(c)%60, 0, 0, loc)
	if ly, lm, ld := t.Date(); ly == y && lm == m && ld == day && t.Hour()*60+t.Minute() == int(c) {
		return t.UTC()
	}
	// The wall time is in a gap. Of the two zone periods around it, the gap is where the earlier one ends.
	_, end := t.Add(-24 * time.Hour).ZoneBounds()
	return end.UTC()
}

// Start is the first instant of the date in loc.
func (d Date) Start(loc *time.Location) time.Time { return d.At(0, loc) }

// ClockTime is a time of day in minutes since midnight.
type ClockTime int16

// ParseClockTime reads "15:04".
func ParseClockTime(s string) (ClockTime, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, Invalidf("", "%q is not a time of day: write it as 09:00", s)
	}
	return ClockTime(t.Hour()*60 + t.Minute()), nil
}

func (c ClockTime) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// MarshalText writes "15:04".
func (c ClockTime) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads "15:04".
func (c *ClockTime) UnmarshalText(b []byte) error {
	v, err := ParseClockTime(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}
