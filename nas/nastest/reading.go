package nastest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
)

// applied is what a session was told, as the access server understood it.
type applied struct {
	rates    contracts.Profile // 0 in a direction: no limit
	list     string            // address list
	filter   string
	pool     string
	redirect string    // where its browser is sent
	up, down string    // names of policies
	services []service // active, the newest last
	timeout  time.Duration
	interim  time.Duration
	class    []radius.Attribute
}

// service is one that is activated by name, and what it shapes to.
type service struct {
	name  string
	rates contracts.Profile
}

// names are all that the session has by name.
func (a *applied) names() []string {
	names := []string{a.list, a.filter, a.pool, a.up, a.down}
	for _, s := range a.services {
		names = append(names, s.name)
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

// activate begins a service, anew where it is active already. The newest that shapes decides.
func (a *applied) activate(s service) {
	a.deactivate(s.name)
	a.services = append(a.services, s)
	a.shape()
}

// deactivate ends a service; one that is not active is no matter.
func (a *applied) deactivate(name string) {
	a.services = slices.DeleteFunc(slices.Clone(a.services), func(s service) bool { return s.name == name })
	a.shape()
}

func (a *applied) shape() {
	a.rates = contracts.Profile{}
	for _, s := range a.services {
		if s.rates.UpBps != 0 {
			a.rates.UpBps = s.rates.UpBps
		}
		if s.rates.DownBps != 0 {
			a.rates.DownBps = s.rates.DownBps
		}
	}
}

// readCommon takes the attributes that are the same everywhere, and reports whether it was one.
func (a *applied) readCommon(attr avp) bool {
	switch radius.Type(attr.kind) {
	case rfc2865.Class_Type:
		a.class = append(slices.Clip(a.class), attr.value)
	case rfc2865.SessionTimeout_Type:
		a.timeout = attr.seconds()
	case rfc2869.AcctInterimInterval_Type:
		a.interim = attr.seconds()
	case rfc2865.IdleTimeout_Type, rfc2865.ReplyMessage_Type, rfc2865.ServiceType_Type, rfc2865.FramedProtocol_Type:
	default:
		return false
	}
	return true
}

// readNames takes the filter and the pool of the standard, and reports whether it was one.
func (a *applied) readNames(attr avp) bool {
	switch {
	case attr.standard(rfc2865.FilterID_Type):
		a.filter = attr.text()
	case attr.standard(rfc2869.FramedPool_Type):
		a.pool = attr.text()
	default:
		return false
	}
	return true
}

// avp is one attribute, out of its Vendor-Specific wrapping where it has a vendor.
type avp struct {
	vendor uint32 // 0: of the standard
	kind   byte
	value  []byte
}

func (v avp) is(vendor uint32, kind byte) bool { return v.vendor == vendor && v.kind == kind }
func (v avp) standard(t radius.Type) bool      { return v.vendor == 0 && radius.Type(v.kind) == t }
func (v avp) text() string                     { return string(v.value) }

// number reads an integer of 32 or 64 bits; anything else is 0, which shapes nothing.
func (v avp) number() uint64 {
	switch len(v.value) {
	case 4:
		return uint64(binary.BigEndian.Uint32(v.value))
	case 8:
		return binary.BigEndian.Uint64(v.value)
	}
	return 0
}

func (v avp) seconds() time.Duration { return time.Duration(v.number()) * time.Second }

// flatten gives a packet's attributes one by one.
func flatten(attrs radius.Attributes) ([]avp, error) {
	var out []avp
	for _, a := range attrs {
		if a.Type != rfc2865.VendorSpecific_Type {
			out = append(out, avp{kind: byte(a.Type), value: a.Attribute})
			continue
		}
		if len(a.Attribute) < 4 {
			return nil, fmt.Errorf("a Vendor-Specific attribute of %d bytes", len(a.Attribute))
		}
		vendor := binary.BigEndian.Uint32(a.Attribute)
		for rest := []byte(a.Attribute[4:]); len(rest) > 0; rest = rest[rest[1]:] {
			if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
				return nil, fmt.Errorf("a malformed attribute of vendor %d", vendor)
			}
			out = append(out, avp{vendor, rest[0], rest[2:rest[1]]})
		}
	}
	return out, nil
}

// ratePair reads "first/second", or one number for both; what follows a space is bursts, which are not shaped here.
// unit is what a number without a suffix counts.
func ratePair(text string, unit uint64) (first, second uint64, err error) {
	text, _, _ = strings.Cut(text, " ")
	a, b, two := strings.Cut(text, "/")
	if first, err = rate(a, unit); err != nil {
		return 0, 0, err
	}
	if !two {
		return first, first, nil
	}
	second, err = rate(b, unit)
	return first, second, err
}

func rate(text string, unit uint64) (uint64, error) {
	number := text
	switch {
	case strings.HasSuffix(text, "k"):
		number, unit = text[:len(text)-1], 1000
	case strings.HasSuffix(text, "M"), strings.HasSuffix(text, "m"):
		number, unit = text[:len(text)-1], 1000_000
	}
	v, err := strconv.ParseUint(number, 10, 64)
	if err != nil || v > 1<<40 {
		return 0, fmt.Errorf("%q is not a rate", text)
	}
	return v * unit, nil
}
