package nastest

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
	"enlace/nas"
)

// applied is what a session was told, as the access server understood it.
type applied struct {
	rates       contracts.Profile
	addressList string // mikrotik
	pool        string // accel-ppp
	filter      string // standard
}

// walled recognises the garden by what the dialect expresses it with. On accel-ppp without a pool that is the rate
// alone.
func (a *applied) walled(dialect string, g nas.Garden) bool {
	switch dialect {
	case "mikrotik":
		return a.addressList != "" && a.addressList == g.AddressList
	case "accel-ppp":
		return a.rates == g.Profile && a.pool == g.Pool
	}
	return a.filter != "" && a.filter == g.Filter
}

const (
	vendorMikrotik = 14988
	vendorWISPr    = 14122
)

// readAccept applies an Access-Accept to nothing.
func readAccept(dialect string, p *radius.Packet) (applied, error) {
	var a applied
	err := a.read(dialect, p)
	return a, err
}

// read applies the attributes that the dialect knows and passes over the others.
func (a *applied) read(dialect string, p *radius.Packet) error {
	var err error
	for _, attr := range p.Attributes {
		switch {
		case attr.Type == rfc2865.FilterID_Type && dialect == "accel-ppp":
			a.rates.DownBps, a.rates.UpBps, err = ratePair(string(attr.Attribute), 1000)
		case attr.Type == rfc2865.FilterID_Type && dialect == "standard":
			a.filter = string(attr.Attribute)
		case attr.Type == rfc2869.FramedPool_Type && dialect == "accel-ppp":
			a.pool = string(attr.Attribute)
		case attr.Type == rfc2865.VendorSpecific_Type:
			err = a.readVendor(dialect, attr.Attribute)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applied) readVendor(dialect string, attr radius.Attribute) error {
	var err error
	return eachVendorAttribute(attr, func(vendor uint32, number byte, value []byte) error {
		switch {
		case dialect == "mikrotik" && vendor == vendorMikrotik && number == 8:
			a.rates.UpBps, a.rates.DownBps, err = ratePair(string(value), 1)
		case dialect == "mikrotik" && vendor == vendorMikrotik && number == 19:
			a.addressList = string(value)
		case dialect == "standard" && vendor == vendorWISPr && number == 7 && len(value) == 4:
			a.rates.UpBps = uint64(binary.BigEndian.Uint32(value))
		case dialect == "standard" && vendor == vendorWISPr && number == 8 && len(value) == 4:
			a.rates.DownBps = uint64(binary.BigEndian.Uint32(value))
		}
		return err
	})
}

// eachVendorAttribute walks the attributes inside a Vendor-Specific one.
func eachVendorAttribute(attr radius.Attribute, do func(vendor uint32, number byte, value []byte) error) error {
	if len(attr) < 4 {
		return fmt.Errorf("a Vendor-Specific attribute of %d bytes", len(attr))
	}
	vendor := binary.BigEndian.Uint32(attr)
	for rest := []byte(attr[4:]); len(rest) > 0; rest = rest[rest[1]:] {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return fmt.Errorf("a malformed attribute of vendor %d", vendor)
		}
		if err := do(vendor, rest[0], rest[2:rest[1]]); err != nil {
			return err
		}
	}
	return nil
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
	case strings.HasSuffix(text, "M"):
		number, unit = text[:len(text)-1], 1000_000
	}
	v, err := strconv.ParseUint(number, 10, 64)
	if err != nil || v > 1<<40 {
		return 0, fmt.Errorf("%q is not a rate", text)
	}
	return v * unit, nil
}
