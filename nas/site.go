package nas

import (
	"time"

	"enlace/contracts"
)

// Site says what a device is and where it stands: for people, and for the times that are shown of it.
type Site struct {
	ShortName string // in lists and logs, where Name is long; may be empty
	Model     string // such as "NE8000 M8"
	POP       string // point of presence
	Zone      string // IANA name of the time zone it stands in; empty: the provider's
	Place     *Coordinates
}

// Coordinates are degrees of WGS 84: north and east are positive.
type Coordinates struct {
	Latitude, Longitude float64
}

func (s *Site) validate() error {
	for _, text := range []struct {
		field, value string
		most         int
	}{{"short_name", s.ShortName, 32}, {"model", s.Model, 100}, {"pop", s.POP, 100}, {"zone", s.Zone, 64}} {
		if len(text.value) > text.most {
			return contracts.Invalidf(text.field, "at most %d bytes", text.most)
		}
		if TextOf(text.value) != text.value {
			return contracts.Invalidf(text.field, "%q has characters that are not printable", text.value)
		}
	}
	if s.Zone != "" {
		if _, err := time.LoadLocation(s.Zone); err != nil || s.Zone == "Local" {
			return contracts.Invalidf("zone", "%q is not a time zone, such as America/Sao_Paulo", s.Zone)
		}
	}
	if p := s.Place; p != nil && !(p.Latitude >= -90 && p.Latitude <= 90 && p.Longitude >= -180 && p.Longitude <= 180) {
		return contracts.Invalidf("place", "a latitude is -90 to 90 degrees, a longitude -180 to 180")
	}
	return nil
}

// Label is the device's short name, or its name where it has none.
func (d *Device) Label() string {
	if d.Site.ShortName != "" {
		return d.Site.ShortName
	}
	return d.Name
}
