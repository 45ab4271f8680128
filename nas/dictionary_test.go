package nas

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"layeh.com/radius"
)

// The dictionaries of FreeRADIUS (Debian: freeradius-common) are an independent word on names, numbers and types.
func TestDictionaryAgreesWithFreeRADIUS(t *testing.T) {
	theirs, types := map[string]place{}, map[string]string{}
	vendors := map[string]uint32{}
	files, err := filepath.Glob("/usr/share/freeradius/dictionary*")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no dictionaries of FreeRADIUS: install freeradius-utils, which brings freeradius-common (%v)", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".illegal") || strings.HasSuffix(file, ".conflict") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		vendor := uint32(0)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			switch {
			case len(f) >= 3 && f[0] == "VENDOR":
				n, _ := strconv.ParseUint(f[2], 10, 32)
				vendors[f[1]] = uint32(n)
			case len(f) >= 2 && f[0] == "BEGIN-VENDOR":
				vendor = vendors[f[1]]
			case len(f) >= 1 && f[0] == "END-VENDOR":
				vendor = 0
			case len(f) >= 4 && f[0] == "ATTRIBUTE":
				if n, err := strconv.ParseUint(f[2], 10, 8); err == nil {
					theirs[f[1]] = place{vendor, byte(n)}
					types[f[1]] = f[3]
					if len(f) > 4 && f[4] == "has_tag" {
						types[f[1]] = "tagged"
					}
				}
			}
		}
	}
	want := map[kind][]string{textual: {"string"}, number: {"integer"}, number64: {"integer64"}, address: {"ipaddr"}, octets: {"octets"}, tagged: {"tagged"}}
	for _, a := range dictionary {
		if a.Vendor == vendorUbiquiti {
			continue // Debian's release has no dictionary of it
		}
		at, known := theirs[a.Name]
		switch {
		case !known:
			t.Errorf("FreeRADIUS knows no %s", a.Name)
		case at != place{a.Vendor, a.Number}:
			t.Errorf("%s is %d of vendor %d, not %d of %d", a.Name, at.number, at.vendor, a.Number, a.Vendor)
		case want[a.Kind][0] != types[a.Name]:
			t.Errorf("%s is of type %s", a.Name, types[a.Name])
		}
	}
	if len(attributesByName) != len(dictionary) || len(attributesByPlace) != len(dictionary) {
		t.Errorf("%d attributes have %d names and %d places", len(dictionary), len(attributesByName), len(attributesByPlace))
	}
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		say  func(*saying)
		want string
	}{
		{func(s *saying) { s.text("Filter-Id", `a"b`) }, `Filter-Id = "a\"b"`},
		{func(s *saying) { s.number("Huawei-Input-Peak-Rate", 250e6, "") }, `Huawei-Input-Peak-Rate = 250000000`},
		{func(s *saying) { s.number("UBNT-Data-Rate-DL", 10e9, "") }, `UBNT-Data-Rate-DL = 10000000000`},
		{func(s *saying) { s.text("ERX-Service-Activate", "svc(1m,2m)") }, `ERX-Service-Activate:1 = "svc(1m,2m)"`},
		{func(s *saying) { s.text("Cisco-Command-Code", "\x0bsvc") }, `Cisco-Command-Code = "\vsvc"`},
		{func(s *saying) { s.value(attributeAt(0, 9, octets), []byte{255, 255, 255, 0}) }, `Framed-IP-Netmask = 255.255.255.0`},
		{func(s *saying) { s.value(attributeAt(4711, 3, octets), []byte{0xff, 1}) }, `Vendor-4711-Attr-3 = 0xff01`},
		{func(s *saying) { s.value(attributeAt(0, 200, octets), []byte{0xff}) }, `Attr-200 = 0xff`},
	} {
		s := &saying{}
		c.say(s)
		attrs, err := s.done()
		if err != nil {
			t.Fatal(err)
		}
		if got := Describe(attrs); len(got) != 1 || got[0] != c.want {
			t.Errorf("%q, want %s", got, c.want)
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		fits bool
	}{
		{"Filter-Id", 253, true}, {"Filter-Id", 254, false}, {"Filter-Id", 0, false},
		{"Cisco-AVPair", 247, true}, {"Cisco-AVPair", 248, false}, {"Cisco-AVPair", 0, false},
		{"ERX-Service-Activate", 246, true}, {"ERX-Service-Activate", 247, false}, {"ERX-Service-Activate", 0, false},
		{"No-Such-Attribute", 1, false},
	} {
		s := &saying{}
		s.text(c.name, strings.Repeat("x", c.size))
		attrs, err := s.done()
		if (err == nil) != c.fits {
			t.Errorf("%s of %d bytes: %v", c.name, c.size, err)
		}
		if err != nil {
			continue
		}
		p := radius.New(radius.CodeAccessAccept, []byte("secret"))
		p.Attributes = attrs
		wire, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := radius.Parse(wire, []byte("secret"))
		if err != nil || len(again.Attributes) != 1 || !bytes.Equal(again.Attributes[0].Attribute, attrs[0].Attribute) {
			t.Errorf("%s of %d bytes does not come back: %v", c.name, c.size, err)
		}
	}
}
