package pg

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // minimal systems lack the zone files

	"enlace/contracts"
)

var zones sync.Map // name -> *time.Location: a million contracts share a handful

func location(name string) (*time.Location, error) {
	if l, ok := zones.Load(name); ok {
		return l.(*time.Location), nil
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("reading time zone %q: %w", name, err)
	}
	zones.Store(name, l)
	return l, nil
}

// Zone is a time zone by its IANA name, as people enter it.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, contracts.Invalidf("zone", "a time zone has an IANA name, such as America/Sao_Paulo")
	}
	l, err := location(name)
	if err != nil {
		return nil, contracts.Invalidf("zone", "%q is not an IANA time zone, such as America/Sao_Paulo", name)
	}
	return l, nil
}
