package contracts

import "time"

// localInstants are the ways in which people write an instant on a clock of theirs.
var localInstants = []string{
	"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly,
	"02/01/2006 15:04:05", "02/01/2006 15:04",
}

// ParseInstant reads an instant as people write it: with an offset of its own, or as a clock of the zone shows it; a date
// alone is its midnight there. The error is of kind Invalid and names the field.
func ParseInstant(field, s string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	for _, layout := range localInstants {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, Invalidf(field, "%q is not an instant: write it as 2026-03-10T14:00 or with an offset", s)
}
