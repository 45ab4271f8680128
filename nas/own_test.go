package nas_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
)

func TestOwnDialects(t *testing.T) {
	word := func(s string) *string { return &s }
	list := func(s ...string) *[]string { return &s }
	own := nas.Own{
		"huawei": {Garden: nas.GardenWords{Filter: word("bloqueio")}, Accept: nas.OwnAttributes{
			Always: []string{`Huawei-Domain-Name = "isp"`}, Walled: []string{`Huawei-HTTP-Redirect-URL = "http://pay.example/{outcome}"`}}},
		"juniper":  {CoA: &nas.OwnAttributes{Reduced: []string{`Reply-Message = "{down_mbps}"`}}},
		"zte":      {Changes: list("rates", "wall"), IPv6: "covered", CoAPort: 1700, Identify: []string{"Acct-Session-Id", "NAS-Port-Id"}},
		"mikrotik": {Changes: list(), Title: "RouterOS 5"},
		"x-bng": {Like: "accel-ppp", Options: nas.Options{RateAttribute: "Mikrotik-Rate-Limit"}, Accept: nas.OwnAttributes{
			Always: []string{`Vendor-4711-Attr-3 = 0x00ff`, `Vendor-4711-Attr-4 = {up_kbps}`, `Attr-200 = "{{x}}"`, `Idle-Timeout = 600`}}},
		"datacom": {Changes: list("rates"), Accept: nas.OwnAttributes{Always: []string{`Filter-Id = "{down_mbps}/{up_mbps}"`,
			`ERX-Service-Activate:2 = "x"`, `Huawei-Primary-DNS = 192.0.2.53`, `UBNT-Data-Rate-DL = {down_bps}`}}},
		"closed": {Changes: list("rates", "wall"), IPv6: "covered", Accept: nas.OwnAttributes{Always: []string{`Filter-Id = "{down_kbps}"`}, Walled: []string{`Framed-Route = "x"`}},
			CoA: &nas.OwnAttributes{Always: []string{`Filter-Id = "{down_kbps}"`}, Full: []string{`Framed-Route = "open"`}}},
	}
	ds, err := own.Dialects(garden())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range ds.All() {
		names = append(names, d.Name)
	}
	if got := strings.Join(names, " "); got != "mikrotik accel-ppp vyos huawei cisco cisco-isg cisco-xr juniper nokia zte ubiquiti pfsense roaring-penguin standard closed datacom x-bng" {
		t.Errorf("the dialects are %s", got)
	}
	for _, c := range []struct {
		dialect string
		have    nas.Digest
		want    nas.Service
		says    string
	}{
		{"huawei", 0, walled, "2011.2=1000000 2011.3=1000000 2011.5=1000000 2011.6=1000000 11=bloqueio 2011.138=isp 2011.140=http://pay.example/walled"},
		{"huawei", walled.Digest(), full, "2011.2=250000000 2011.3=250000000 2011.5=500000000 2011.6=500000000 11=enlace-open"},
		{"juniper", full.Digest(), reduced, "4874.66=enlace | 4874.65=\x01enlace(25000k,50000k) 18=50"},
		{"juniper", reduced.Digest(), full, "4874.66=enlace | 4874.65=\x01enlace(250000k,500000k)"},
		{"zte", walled.Digest(), reduced, "3902.89=25000000 3902.83=50000000 3902.228=25000000 3902.233=50000000 11=enlace-open"},
		{"mikrotik", full.Digest(), reduced, "disconnect"},
		{"x-bng", 0, full, "14988.8=250000k/500000k 4711.3=\x00\xff 4711.4=\x00\x03\xd0\x90 200={x} 28=\x00\x00\x02\x58"},
		{"x-bng", full.Digest(), reduced, "14988.8=25000k/50000k"},
		{"datacom", 0, full, "11=500/250 4874.65=\x02x 2011.135=\xc0\x00\x02\x35 41112.1=500000000"},
		{"datacom", full.Digest(), reduced, "11=50/25 4874.65=\x02x 2011.135=\xc0\x00\x02\x35 41112.1=50000000"},
		{"datacom", full.Digest(), walled, "disconnect"},
		{"closed", walled.Digest(), full, "11=500000 22=open"},
		{"closed", full.Digest(), walled, "11=1000"},
	} {
		d := ds.Named(c.dialect)
		got := ""
		if c.have == 0 {
			attrs, err := d.Accept(c.want)
			if err != nil {
				t.Errorf("%s %s: %v", c.dialect, c.want, err)
				continue
			}
			got = wireText(t, attrs)
		} else {
			cmd, err := nas.Plan(d, c.have, c.want)
			if err != nil {
				t.Errorf("%s %s: %v", c.dialect, c.want, err)
				continue
			}
			if got = ""; cmd.Method != nas.CoA {
				got = string(cmd.Method)
			}
			for i, step := range cmd.Steps {
				if i > 0 {
					got += " | "
				}
				got += wireText(t, step)
			}
		}
		if got != c.says {
			t.Errorf("%s %s -> %s\n got %q\nwant %q", c.dialect, c.have.Outcome(), c.want, got, c.says)
		}
	}
	if d := ds.Named("zte"); d.CoAPort != 1700 || d.OpenIPv6 || wireText(t, d.Names(nas.Session{Key: nas.SessionKey{ID: "7"}, NASPort: "p"})) != "44=7 87=p" {
		t.Errorf("zte is %+v", d)
	}
	if d := ds.Named("datacom"); !d.OpenIPv6 || d.Title != "datacom" || d.CoAPort != 3799 {
		t.Errorf("datacom is %+v", d)
	}
	if ds.Named("mikrotik").Title != "RouterOS 5" {
		t.Error("a title is not taken")
	}
}

func TestOwnDialectsThatCannotBe(t *testing.T) {
	accept := func(lines ...string) nas.OwnDialect {
		return nas.OwnDialect{Accept: nas.OwnAttributes{Always: append([]string{`Filter-Id = "{down_kbps}"`}, lines...)}}
	}
	list := func(s ...string) *[]string { return &s }
	for _, c := range []struct {
		name    string
		dialect nas.OwnDialect
		says    string
	}{
		{"x", nas.OwnDialect{}, "FULL and REDUCED alike"},
		{"x", nas.OwnDialect{Like: "klingon"}, `no built-in dialect "klingon"`},
		{"huawei", nas.OwnDialect{Like: "cisco"}, "it is built in"},
		{"X_1", accept(), "a-z, 0-9 and -"},
		{strings.Repeat("x", 41), accept(), "1 to 40"},
		{"x", accept(`Filter-Id`), "write an attribute as"},
		{"x", accept(`= "x"`), "write an attribute as"},
		{"x", accept(`Fliter-Id = "x"`), "there is no attribute Fliter-Id"},
		{"x", accept(`Vendor-0-Attr-1 = 1`), "there is no attribute"},
		{"x", accept(`Vendor-9-Attr-256 = 1`), "there is no attribute"},
		{"x", accept(`Attr-0 = 1`), "there is no attribute"},
		{"x", accept(`Filter-Id = x`), "double quotes"},
		{"x", accept(`Filter-Id = "x`), "between double quotes"},
		{"x", accept(`Filter-Id = "x" y`), "between double quotes"},
		{"x", accept(`Filter-Id = ""`), "would be empty"},
		{"x", accept(`Filter-Id = "{plan}"`), "{plan} is none of"},
		{"x", accept(`Filter-Id = "{down_kbps"`), "without its }"},
		{"x", accept(`Filter-Id = "}"`), "without its {"},
		{"x", accept(`Filter-Id:1 = "x"`), "has no tag"},
		{"x", accept(`ERX-Service-Activate:32 = "x"`), "0 to 31"},
		{"x", accept(`Filter-Id = "` + strings.Repeat("x", 254) + `"`), "254 bytes long, of at most 253"},
		{"x", accept(`Vendor-9-Attr-1 = "` + strings.Repeat("x", 248) + `"`), "248 bytes long, of at most 247"},
		{"x", accept(`Reply-Message = "` + strings.Repeat("{name}", 3) + `"`), "270 bytes long"},
		{"x", accept(`Idle-Timeout = 4294967296`), "does not fit Idle-Timeout"},
		{"x", accept(`Idle-Timeout = -1`), "does not fit Idle-Timeout"},
		{"x", accept(`Idle-Timeout = {name}`), "does not fit Idle-Timeout"},
		{"x", accept(`Huawei-Primary-DNS = 2001:db8::1`), "not an IPv4 address"},
		{"x", accept(`Attr-200 = 0x0`), "hexadecimal"},
		{"x", accept(`Session-Timeout = 60`), "not for dialects to say"},
		{"x", accept(`Class = "mine"`), "not for dialects to say"},
		{"x", accept(`Attr-80 = 0x00`), "not for dialects to say"},
		{"x", accept(`Attr-26 = 0x00`), "not for dialects to say"},
		{"x", nas.OwnDialect{Accept: nas.OwnAttributes{Full: []string{`Filter-Id = "a"`}, Walled: []string{`Filter-Id = "b"`}, Reduced: []string{`Filter-Id = "b"`}}}, "REDUCED and WALLED alike"},
		{"x", nas.OwnDialect{Changes: list("rates"), Accept: accept().Accept, CoA: &nas.OwnAttributes{}}, "say nothing"},
		{"x", nas.OwnDialect{Changes: list("rates"), Accept: accept().Accept, CoA: &nas.OwnAttributes{Always: []string{`Filter-Id = "a"`}}}, "CoA-Request says FULL and REDUCED alike"},
		{"x", nas.OwnDialect{Accept: nas.OwnAttributes{Always: []string{`Filter-Id = "{down_kbps}"`}, Reduced: many(20)}}, "of at most 3000"},
		{"x", nas.OwnDialect{Options: nas.Options{Queue: 1}}, "no use for queue"},
		{"huawei", nas.OwnDialect{Options: nas.Options{Service: "x"}}, "no use for service"},
		{"huawei", nas.OwnDialect{Options: nas.Options{DownProfile: "x"}}, "goes with an up_profile"},
		{"huawei", nas.OwnDialect{Options: nas.Options{UpProfile: "{speed}"}}, "{speed} is none of"},
		{"huawei", nas.OwnDialect{Options: nas.Options{UpProfile: "{name}"}}, "FULL and REDUCED alike"},
		{"nokia", nas.OwnDialect{Options: nas.Options{Queue: 33}}, "1 to 32"},
		{"nokia", nas.OwnDialect{Options: nas.Options{FilterV6: 3}}, "goes with a filter_v4"},
		{"nokia", nas.OwnDialect{Options: nas.Options{FilterV4: 65536}}, "1 to 65535"},
		{"vyos", nas.OwnDialect{Options: nas.Options{RateAttribute: "Class"}}, "Filter-Id or Mikrotik-Rate-Limit"},
		{"zte", nas.OwnDialect{Options: nas.Options{Unit: "Mbit/s"}}, "bit/s or kbit/s"},
		{"zte", nas.OwnDialect{Options: nas.Options{UpProfile: "x"}}, "go together"},
		{"mikrotik", nas.OwnDialect{Changes: list("wall")}, "no attributes that change wall"},
		{"mikrotik", nas.OwnDialect{Changes: list("speed")}, "changes are rates and wall"},
		{"mikrotik", nas.OwnDialect{IPv6: "maybe"}, "covered or none"},
		{"mikrotik", nas.OwnDialect{CoAPort: 65536}, "1 to 65535"},
		{"mikrotik", nas.OwnDialect{Title: "a\nb"}, "printable"},
		{"mikrotik", nas.OwnDialect{Identify: []string{"Class"}}, "names no session"},
		{"mikrotik", nas.OwnDialect{Identify: []string{"User-Name", "User-Name"}}, "twice"},
		{"mikrotik", nas.OwnDialect{Identify: []string{"NAS-Port-Id"}}, "at least"},
	} {
		_, err := nas.Own{c.name: c.dialect}.Dialects(garden())
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.name[:1]) {
			t.Errorf("%s %+v\n got %v\nwant %s", c.name, c.dialect, err, c.says)
		}
	}
	long := garden()
	long.Filter = strings.Repeat("x", 254)
	if _, err := (nas.Own{"huawei": {}}).Dialects(long); err == nil || !strings.Contains(err.Error(), "254 bytes") {
		t.Errorf("a word of 254 bytes: %v", err)
	}
}

func many(n int) (lines []string) {
	for range n {
		lines = append(lines, `Reply-Message = "`+strings.Repeat("x", 250)+`"`)
	}
	return lines
}

// What is said in words is what the words say: an attribute that is described can be written in an own dialect, and is
// the same there.
func TestDescribedAttributesCanBeWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOfN(rapid.Byte(), 1, 246).Draw(t, "value")
		vendor := rapid.SampledFrom([]uint32{0, 9, 4874, 14988, 41112, 4711}).Draw(t, "vendor")
		n := rapid.IntRange(1, 255).Draw(t, "number")
		line := fmt.Sprintf("Vendor-%d-Attr-%d = 0x%x", vendor, n, value)
		if vendor == 0 {
			line = fmt.Sprintf("Attr-%d = 0x%x", n, value)
		}
		say := func(line string) (string, []string) {
			ds, err := nas.Own{"x": {Accept: nas.OwnAttributes{Always: []string{line}, Full: []string{`Attr-250 = 1`}, Reduced: []string{`Attr-250 = 2`}}}}.Dialects(garden())
			if err != nil {
				if vendor == 0 && strings.Contains(err.Error(), "not for dialects") {
					t.SkipNow()
				}
				t.Fatalf("%s: %v", line, err)
			}
			attrs, err := ds.Named("x").Accept(full)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%x", attrs[0].Attribute), nas.Describe(attrs[:1])
		}
		first, words := say(line)
		braces := strings.NewReplacer("{", "{{", "}", "}}")
		if again, _ := say(braces.Replace(words[0])); again != first {
			t.Fatalf("%s is described as %s, which says %s instead of %s", line, words[0], again, first)
		}
	})
}

// Whatever an operator writes is read or refused, and what is read fits its attribute.
func FuzzOwnAttribute(f *testing.F) {
	for _, s := range []string{`Filter-Id = "{down_kbps}/{up_kbps}"`, `Vendor-14988-Attr-8 = "x"`, `Attr-200 = 0x00ff`, `ERX-Service-Activate:2 = "v"`, `Idle-Timeout = {up_kbps}`,
		`Cisco-Command-Code = "\x0bX"`, `= = "`, `Filter-Id = "{{}}{name}"`, `Huawei-Primary-DNS = 1.2.3.4`, "Filter-Id\x00 = \"\\\"\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		own := nas.Own{"x": {Accept: nas.OwnAttributes{Always: []string{line}, Full: []string{`Attr-250 = 1`}, Reduced: []string{`Attr-250 = 2`}}}}
		ds, err := own.Dialects(nas.DefaultGarden())
		if err != nil {
			return
		}
		for _, s := range []nas.Service{full, reduced, walled} {
			s.Profile.Name = strings.Repeat("n", contracts.MaxProfileName)
			attrs, err := ds.Named("x").Accept(s)
			if err != nil {
				t.Fatalf("%q was read, and cannot be said: %v", line, err)
			}
			for _, a := range attrs {
				if len(a.Attribute) < 1 || len(a.Attribute) > 253 || a.Type < 1 || a.Type > 255 {
					t.Fatalf("%q is said in %d bytes of attribute %d", line, len(a.Attribute), a.Type)
				}
			}
			wire(t, attrs[:0])
		}
	})
}
