package nas_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"layeh.com/radius"
	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
)

// failing is what the helpers need of a test or of a property.
type failing interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// numbers are the attributes with a number of 32 bits, by vendor; the tests read bytes without the dialects' own table.
var numbers = map[uint32][]byte{2011: {2, 3, 5, 6}, 3902: {83, 89, 228, 233}, 10055: {1, 2}, 13644: {1, 2}, 14122: {7, 8}}

// pair is an attribute as it is on the wire: "vendor.number" or "number", and its value as text.
type pair struct{ name, value string }

func (p pair) String() string { return p.name + "=" + p.value }

func wire(t failing, attrs radius.Attributes) []pair {
	t.Helper()
	var out []pair
	for _, a := range attrs {
		if a.Type != 26 {
			out = append(out, pair{strconv.Itoa(int(a.Type)), string(a.Attribute)})
			continue
		}
		vendor, v := binary.BigEndian.Uint32(a.Attribute), a.Attribute[4:]
		if int(v[1]) != len(v) {
			t.Fatalf("vendor attribute of length %d says %d", len(v), v[1])
		}
		value := string(v[2:])
		switch {
		case slices.Contains(numbers[vendor], v[0]):
			if len(v) != 6 {
				t.Fatalf("%d.%d has %d bytes, not a number's", vendor, v[0], len(v)-2)
			}
			value = strconv.FormatUint(uint64(binary.BigEndian.Uint32(v[2:])), 10)
		case vendor == 41112:
			if len(v) != 10 {
				t.Fatalf("%d.%d has %d bytes, not a long number's", vendor, v[0], len(v)-2)
			}
			value = strconv.FormatUint(binary.BigEndian.Uint64(v[2:]), 10)
		}
		out = append(out, pair{fmt.Sprintf("%d.%d", vendor, v[0]), value})
	}
	return out
}

func wireText(t failing, attrs radius.Attributes) string {
	var out []string
	for _, p := range wire(t, attrs) {
		out = append(out, p.String())
	}
	return strings.Join(out, " ")
}

// set is the dialects with options for one of them.
func set(t failing, g nas.Garden, name string, o nas.Options) *nas.Dialect {
	t.Helper()
	own := nas.Own{name: {Options: o}}
	ds, err := own.Dialects(g)
	if err != nil {
		t.Fatal(err)
	}
	return ds.Named(name)
}

func TestVendorsSayTheGoldenStrings(t *testing.T) {
	named := func(s nas.Service) nas.Service {
		s.Profile.Name = "Fibra500"
		return s
	}
	for _, c := range []struct {
		dialect string
		options nas.Options
		service nas.Service
		want    string
	}{
		{"accel-ppp", nas.Options{RateAttribute: "Mikrotik-Rate-Limit"}, full, "14988.8=250000k/500000k"},
		{"accel-ppp", nas.Options{RateAttribute: "Mikrotik-Rate-Limit"}, reduced, "14988.8=25000k/50000k"},
		{"vyos", nas.Options{}, full, "11=500000/250000"},
		{"vyos", nas.Options{RateAttribute: "Mikrotik-Rate-Limit"}, walled, "14988.8=1000k/1000k"},
		{"huawei", nas.Options{}, full, "2011.2=250000000 2011.3=250000000 2011.5=500000000 2011.6=500000000"},
		{"huawei", nas.Options{}, reduced, "2011.2=25000000 2011.3=25000000 2011.5=50000000 2011.6=50000000"},
		{"huawei", nas.Options{}, walled, "2011.2=1000000 2011.3=1000000 2011.5=1000000 2011.6=1000000 11=enlace-walled"},
		{"huawei", nas.Options{UpProfile: "{name}-{outcome}"}, named(full), "2011.31=fibra500-full"},
		{"huawei", nas.Options{UpProfile: "{name}-UP", DownProfile: "{name}-DOWN-{outcome}"}, named(reduced), "2011.31=fibra500-up 2011.182=fibra500-down-reduced"},
		{"huawei", nas.Options{UpProfile: "{outcome}-{name}"}, walled, "2011.31=walled-walled 11=enlace-walled"},
		{"roaring-penguin", nas.Options{}, full, "10055.1=250000 10055.2=500000"},
		{"roaring-penguin", nas.Options{}, reduced, "10055.1=25000 10055.2=50000"},
		{"nokia", nas.Options{}, full, "6527.126=i:q:1:pir=250000 6527.126=e:r:rate=500000"},
		{"nokia", nas.Options{}, reduced, "6527.126=i:q:1:pir=25000 6527.126=e:r:rate=50000"},
		{"nokia", nas.Options{Queue: 3}, walled, "6527.13=enlace-walled 6527.126=i:q:3:pir=1000 6527.126=e:r:rate=1000"},
		{"nokia", nas.Options{FilterV4: 100, FilterV6: 101}, walled, "6527.126=i:q:1:pir=1000 6527.126=e:r:rate=1000 6527.134=Ingr-v4:100,Ingr-v6:101"},
		{"nokia", nas.Options{SLAProfile: "home"}, full, "6527.13=home 6527.126=i:q:1:pir=250000 6527.126=e:r:rate=500000"},
		{"nokia", nas.Options{SubscriberProfile: "{name}", SLAProfile: "{name}-{outcome}"}, named(full), "6527.12=Fibra500 6527.13=Fibra500-full"},
		{"cisco", nas.Options{UpProfile: "{name}-up", DownProfile: "{name}-{down_mbps}"}, named(full), "9.1=ip:sub-qos-policy-in=Fibra500-up 9.1=ip:sub-qos-policy-out=Fibra500-500"},
		{"cisco", nas.Options{}, reduced, "9.1=ip:sub-qos-policy-in=enlace-up-25000k 9.1=ip:sub-qos-policy-out=enlace-down-50000k"},
		{"cisco", nas.Options{}, walled, "9.1=ip:sub-qos-policy-in=enlace-up-1000k 9.1=ip:sub-qos-policy-out=enlace-down-1000k 11=enlace-walled.in"},
		{"cisco-xr", nas.Options{}, full, "9.1=subscriber:sub-qos-policy-in=enlace-up-250000k 9.1=subscriber:sub-qos-policy-out=enlace-down-500000k"},
		{"cisco-xr", nas.Options{UpProfile: "u", DownProfile: "d-{outcome}"}, walled, "9.1=subscriber:sub-qos-policy-in=u 9.1=subscriber:sub-qos-policy-out=d-walled 9.1=subscriber:inacl=enlace-walled 9.1=subscriber:ipv6_inacl=enlace-walled"},
		{"cisco-isg", nas.Options{}, full, "9.250=Aenlace-500000k-250000k"},
		{"cisco-isg", nas.Options{Service: "{name}.{outcome}"}, named(full), "9.250=AFibra500.full"},
		{"cisco-isg", nas.Options{}, walled, "9.250=Aenlace-walled"},
		{"juniper", nas.Options{Service: "svc-{down_mbps}-{up_mbps}({up_mbps}m,{down_mbps}m)"}, full, "4874.65=\x01svc-500-250(250m,500m)"},
		{"juniper", nas.Options{}, reduced, "4874.65=\x01enlace(25000k,50000k)"},
		{"juniper", nas.Options{}, walled, "4874.65=\x01enlace-walled"},
		{"zte", nas.Options{}, full, "3902.89=250000000 3902.83=500000000 3902.228=250000000 3902.233=500000000"},
		{"zte", nas.Options{Unit: "kbit/s"}, reduced, "3902.89=25000 3902.83=50000 3902.228=25000 3902.233=50000"},
		{"zte", nas.Options{UpProfile: "u-{up_mbps}", DownProfile: "d-{down_mbps}"}, full, "3902.94=u-250 3902.82=d-500 3902.232=u-250 3902.237=d-500"},
		{"zte", nas.Options{}, walled, "3902.89=1000000 3902.83=1000000 3902.228=1000000 3902.233=1000000 11=enlace-walled"},
		{"ubiquiti", nas.Options{}, full, "41112.1=500000000 41112.3=250000000"},
		{"pfsense", nas.Options{}, full, "13644.1=250000000 13644.2=500000000"},
		{"pfsense", nas.Options{Unit: "kbit/s"}, walled, "13644.1=1000 13644.2=1000 14122.4=http://pay.example/"},
	} {
		attrs, err := set(t, garden(), c.dialect, c.options).Accept(c.service)
		if err != nil {
			t.Errorf("%s %s: %v", c.dialect, c.service, err)
		} else if got := wireText(t, attrs); got != c.want {
			t.Errorf("%s %s\n got %q\nwant %q", c.dialect, c.service, got, c.want)
		}
	}
}

func TestVendorsPlan(t *testing.T) {
	recall := func(d nas.Digest) (nas.Service, bool) {
		for _, s := range []nas.Service{full, reduced} {
			if s.Digest() == d {
				return s, true
			}
		}
		return nas.Service{}, false
	}
	const svc = "svc-{down_mbps}-{up_mbps}({up_mbps}m,{down_mbps}m)"
	for _, c := range []struct {
		dialect string
		options nas.Options
		recall  bool
		have    nas.Digest
		want    nas.Service
		says    string
	}{
		{"huawei", nas.Options{}, false, full.Digest(), reduced, "coa 2011.2=25000000 2011.3=25000000 2011.5=50000000 2011.6=50000000"},
		{"huawei", nas.Options{UpProfile: "{outcome}"}, false, full.Digest(), walled, "coa 2011.31=walled 11=enlace-walled"},
		{"huawei", nas.Options{UpProfile: "{outcome}"}, false, walled.Digest(), full, "coa 2011.31=full 11=enlace-open"},
		{"huawei", nas.Options{}, false, full.Digest(), reject, "disconnect"},
		{"cisco", nas.Options{}, false, full.Digest(), reduced, "coa 9.1=ip:sub-qos-policy-in=enlace-up-25000k 9.1=ip:sub-qos-policy-out=enlace-down-50000k"},
		{"cisco", nas.Options{}, false, full.Digest(), walled, "disconnect"},
		{"cisco-xr", nas.Options{UpProfile: "u", DownProfile: "d-{outcome}"}, false, walled.Digest(), full,
			"coa 9.1=subscriber:command=account-update 9.1=subscriber:sub-qos-policy-in=u 9.1=subscriber:sub-qos-policy-out=d-full 9.1=subscriber:inacl=enlace-open 9.1=subscriber:ipv6_inacl=enlace-open"},
		{"cisco-isg", nas.Options{}, true, full.Digest(), reduced, "coa 9.252=\x0cenlace-500000k-250000k | 9.252=\x0benlace-50000k-25000k"},
		{"cisco-isg", nas.Options{}, true, full.Digest(), walled, "coa 9.252=\x0cenlace-500000k-250000k | 9.252=\x0benlace-walled"},
		{"cisco-isg", nas.Options{}, true, walled.Digest(), reduced, "coa 9.252=\x0cenlace-walled | 9.252=\x0benlace-50000k-25000k"},
		{"cisco-isg", nas.Options{}, false, full.Digest(), reduced, "disconnect"},
		{"cisco-isg", nas.Options{}, true, 0, reduced, "disconnect"},
		{"juniper", nas.Options{}, false, full.Digest(), reduced, "coa 4874.66=enlace | 4874.65=\x01enlace(25000k,50000k)"},
		{"juniper", nas.Options{}, false, reduced.Digest(), walled, "coa 4874.66=enlace | 4874.65=\x01enlace-walled"},
		{"juniper", nas.Options{}, false, walled.Digest(), full, "coa 4874.66=enlace-walled | 4874.65=\x01enlace(250000k,500000k)"},
		{"juniper", nas.Options{Service: svc}, true, full.Digest(), reduced, "coa 4874.66=svc-500-250 | 4874.65=\x01svc-50-25(25m,50m)"},
		{"juniper", nas.Options{Service: svc}, false, full.Digest(), reduced, "disconnect"},
		{"juniper", nas.Options{}, true, nas.Unsure, reduced, "disconnect"},
		{"nokia", nas.Options{}, false, full.Digest(), reduced, "coa 6527.126=i:q:1:pir=25000 6527.126=e:r:rate=50000"},
		{"nokia", nas.Options{}, false, walled.Digest(), reduced, "coa 6527.126=i:q:1:pir=25000 6527.126=e:r:rate=50000 6527.13=enlace-open"},
		{"nokia", nas.Options{SLAProfile: "home"}, false, walled.Digest(), reduced, "coa 6527.13=home 6527.126=i:q:1:pir=25000 6527.126=e:r:rate=50000"},
		{"nokia", nas.Options{FilterV4: 100, FilterV6: 101}, false, walled.Digest(), reduced, "coa 6527.126=i:q:1:pir=25000 6527.126=e:r:rate=50000 6527.134=Ingr-v4:-2,Ingr-v6:-2"},
		{"nokia", nas.Options{FilterV4: 100}, false, full.Digest(), walled, "disconnect"}, // IPv6 would stay
		{"zte", nas.Options{}, false, full.Digest(), reduced, "disconnect"},
		{"ubiquiti", nas.Options{}, false, full.Digest(), reduced, "disconnect"},
		{"pfsense", nas.Options{}, false, full.Digest(), reduced, "disconnect"},
		{"roaring-penguin", nas.Options{}, false, full.Digest(), reduced, "disconnect"},
		{"vyos", nas.Options{}, false, full.Digest(), reduced, "coa 11=50000/25000"},
	} {
		d := set(t, garden(), c.dialect, c.options)
		if c.recall {
			d.Recall = recall
		}
		cmd, err := nas.Plan(d, c.have, c.want)
		if err != nil {
			t.Errorf("%s %s: %v", c.dialect, c.want, err)
			continue
		}
		got := string(cmd.Method)
		for i, step := range cmd.Steps {
			if i > 0 {
				got += " |"
			}
			got += " " + wireText(t, step)
		}
		if got != c.says {
			t.Errorf("%s %s -> %s\n got %q\nwant %q", c.dialect, c.have.Outcome(), c.want, got, c.says)
		}
	}
}

// Ten gigabits do not fit 32 bits of bit/s; the error names what helps, and that does help.
func TestTenGigabits(t *testing.T) {
	ten := nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 10e9, UpBps: 10e9, Name: "giga10"}}
	for _, c := range []struct {
		dialect string
		option  string // named by the error; empty: the rate can be said
		options nas.Options
		want    string
	}{
		{"huawei", "up_profile", nas.Options{UpProfile: "{name}-{outcome}"}, "2011.31=giga10-full"},
		{"zte", "up_profile", nas.Options{UpProfile: "{name}", DownProfile: "{outcome}"}, "3902.94=giga10 3902.82=full 3902.232=giga10 3902.237=full"},
		{"cisco", "", nas.Options{UpProfile: "{name}", DownProfile: "{outcome}"}, "9.1=ip:sub-qos-policy-in=giga10 9.1=ip:sub-qos-policy-out=full"},
		{"nokia", "", nas.Options{SLAProfile: "{name}.{outcome}"}, "6527.13=giga10.full"},
		{"juniper", "", nas.Options{}, "4874.65=\x01enlace(10000000k,10000000k)"},
		{"ubiquiti", "", nas.Options{}, "41112.1=10000000000 41112.3=10000000000"},
		{"roaring-penguin", "", nas.Options{}, "10055.1=10000000 10055.2=10000000"},
		{"mikrotik", "", nas.Options{}, "14988.8=10000M/10000M"},
		{"accel-ppp", "", nas.Options{}, "11=10000000/10000000"},
		{"pfsense", "names of profiles", nas.Options{Unit: "kbit/s"}, "13644.1=10000000 13644.2=10000000"},
		{"standard", "names of profiles", nas.Options{}, ""},
	} {
		_, err := nas.NewDialects(garden()).Named(c.dialect).Accept(ten)
		if (err != nil) != (c.option != "") || err != nil && !strings.Contains(err.Error(), c.option) {
			t.Errorf("%s: %v, which should name %q", c.dialect, err, c.option)
		}
		if c.want == "" {
			continue
		}
		attrs, err := set(t, garden(), c.dialect, c.options).Accept(ten)
		if err != nil {
			t.Errorf("%s with %+v: %v", c.dialect, c.options, err)
		} else if got := wireText(t, attrs); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.dialect, got, c.want)
		}
	}
}

func TestVendorsNameASession(t *testing.T) {
	s := nas.Session{Key: nas.SessionKey{Device: 1, ID: "81a0"}, Login: "ana", FramedIP: netip.MustParseAddr("10.0.0.1")}
	for dialect, want := range map[string]string{
		"huawei": "44=81a0", "juniper": "44=81a0", "nokia": "44=81a0", "cisco": "44=81a0", "cisco-isg": "44=81a0", "cisco-xr": "44=81a0",
		"mikrotik": "1=ana 44=81a0 8=\x0a\x00\x00\x01", "accel-ppp": "1=ana 44=81a0 8=\x0a\x00\x00\x01",
	} {
		if got := wireText(t, nas.NewDialects(garden()).Named(dialect).Names(s)); got != want {
			t.Errorf("%s: %q", dialect, got)
		}
	}
	for dialect, want := range map[string]uint16{"cisco": 1700, "cisco-isg": 1700, "cisco-xr": 1700, "huawei": 3799, "juniper": 3799} {
		if got := nas.NewDialects(garden()).Named(dialect).CoAPort; got != want {
			t.Errorf("%s listens on %d", dialect, got)
		}
	}
}

// seen is what an access server has understood.
type seen struct {
	down, up uint64 // bit/s
	walled   bool
	services []string // of those that activate services
	pairs    map[string]string
}

// understand has an access server of a dialect take attributes, over what it had.
func understand(t failing, dialect string, had seen, attrs radius.Attributes) seen {
	s := seen{down: had.down, up: had.up, walled: had.walled, services: slices.Clone(had.services), pairs: map[string]string{}}
	for k, v := range had.pairs {
		s.pairs[k] = v
	}
	must := func(text, layout string, into ...any) {
		if n, err := fmt.Sscanf(text, layout, into...); err != nil || n != len(into) {
			t.Fatalf("%s reads %q as %q: %v", dialect, text, layout, err)
		}
	}
	activate := func(name string) {
		if slices.Contains(s.services, name) {
			t.Fatalf("%s activates %q twice", dialect, name)
		}
		s.services = append(s.services, name)
	}
	for _, p := range wire(t, attrs) {
		switch dialect + " " + p.name {
		case "accel-ppp 11", "vyos 11":
			must(p.value, "%d/%d", &s.down, &s.up)
			s.down, s.up, s.walled = s.down*1000, s.up*1000, false
		case "mikrotik 14988.8":
			up, down, _ := strings.Cut(p.value, "/")
			s.up, s.down = suffixed(t, up), suffixed(t, down)
		case "mikrotik 14988.19":
			s.walled = p.value == "enlace-walled"
		case "cisco 9.1", "cisco-xr 9.1":
			key, value, _ := strings.Cut(p.value, "=")
			s.pairs[key] = value
		case "cisco-isg 9.250":
			activate(strings.TrimPrefix(p.value, "A"))
		case "cisco-isg 9.252", "juniper 4874.66", "juniper 4874.65":
			name := p.value
			if dialect == "cisco-isg" || p.name == "4874.65" {
				name = name[1:]
			}
			if p.name == "4874.65" || p.value[0] == 0x0b {
				activate(name)
				break
			}
			i := slices.IndexFunc(s.services, func(s string) bool { return s == name || strings.HasPrefix(s, name+"(") })
			if i < 0 {
				t.Fatalf("%s deactivates %q of %q", dialect, name, s.services)
			}
			s.services = slices.Delete(s.services, i, i+1)
		case "nokia 6527.126":
			if strings.HasPrefix(p.value, "i:") {
				must(p.value, "i:q:1:pir=%d", &s.up)
				s.up *= 1000
			} else {
				must(p.value, "e:r:rate=%d", &s.down)
				s.down *= 1000
			}
		case "nokia 6527.13", "huawei 11", "standard 11", "zte 11", "ubiquiti 11", "roaring-penguin 11":
			s.walled = p.value == "enlace-walled"
		case "cisco 11":
			s.walled = p.value == "enlace-walled.in"
		case "huawei 2011.2", "huawei 2011.3", "standard 14122.7", "zte 3902.89", "zte 3902.228", "ubiquiti 41112.3", "pfsense 13644.1":
			must(p.value, "%d", &s.up)
		case "huawei 2011.5", "huawei 2011.6", "standard 14122.8", "zte 3902.83", "zte 3902.233", "ubiquiti 41112.1", "pfsense 13644.2":
			must(p.value, "%d", &s.down)
		case "roaring-penguin 10055.1":
			must(p.value, "%d", &s.up)
			s.up *= 1000
		case "roaring-penguin 10055.2":
			must(p.value, "%d", &s.down)
			s.down *= 1000
		case "standard 14122.4", "pfsense 14122.4":
		default:
			t.Fatalf("%s is sent %s", dialect, p)
		}
	}
	switch dialect {
	case "cisco", "cisco-xr":
		protocol := map[string]string{"cisco": "ip", "cisco-xr": "subscriber"}[dialect]
		must(s.pairs[protocol+":sub-qos-policy-in"], "enlace-up-%dk", &s.up)
		must(s.pairs[protocol+":sub-qos-policy-out"], "enlace-down-%dk", &s.down)
		s.up, s.down = s.up*1000, s.down*1000
		if dialect == "cisco-xr" {
			v4, v6 := s.pairs["subscriber:inacl"] == "enlace-walled", s.pairs["subscriber:ipv6_inacl"] == "enlace-walled"
			if v4 != v6 {
				t.Fatalf("%s walls IPv4 %v and IPv6 %v", dialect, v4, v6)
			}
			s.walled = v4
		}
	case "cisco-isg", "juniper":
		s.down, s.up, s.walled = 0, 0, false
		for _, name := range s.services {
			switch {
			case name == "enlace-walled":
				s.walled = true
			case dialect == "juniper":
				must(name, "enlace(%dk,%dk)", &s.up, &s.down)
			default:
				must(name, "enlace-%dk-%dk", &s.down, &s.up)
			}
		}
		s.down, s.up = s.down*1000, s.up*1000
	}
	return s
}

func suffixed(t failing, s string) uint64 {
	unit := uint64(1)
	switch {
	case strings.HasSuffix(s, "k"):
		unit = 1000
	case strings.HasSuffix(s, "M"):
		unit = 1_000_000
	}
	n, err := strconv.ParseUint(strings.TrimRight(s, "kM"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * unit
}

// Whatever the rates, a dialect refuses or has the access server apply at least those, rounded by less than a kbit/s; and
// what a change makes of what a login gave is what a login would give.
func TestEveryDialectIsUnderstood(t *testing.T) {
	for _, d := range nas.NewDialects(nas.DefaultGarden()).All() {
		t.Run(d.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				draw := func(name string) nas.Service {
					s := nas.Service{Outcome: contracts.Outcome(rapid.IntRange(int(contracts.OutcomeFull), int(contracts.OutcomeWalled)).Draw(t, name)), Profile: contracts.Profile{
						DownBps: rapid.OneOf(rapid.Uint64Range(64_000, 5e9), rapid.Uint64Range(64_000, contracts.MaxBps)).Draw(t, name+" down"),
						UpBps:   rapid.OneOf(rapid.Uint64Range(64_000, 5e9), rapid.Uint64Range(64_000, contracts.MaxBps)).Draw(t, name+" up")}}
					if s.Outcome == contracts.OutcomeWalled {
						s.Profile = nas.DefaultGarden().Profile
					}
					return s
				}
				have, want := draw("have"), draw("want")
				d := *d
				d.Recall = func(nas.Digest) (nas.Service, bool) { return have, true }
				login := func(s nas.Service) (seen, bool) {
					attrs, err := d.Accept(s)
					if err != nil {
						if s.Profile.DownBps <= 4294967295 && s.Profile.UpBps <= 4294967295 {
							t.Fatalf("%s is refused: %v", s, err)
						}
						return seen{}, false
					}
					return understand(t, d.Name, seen{}, attrs), true
				}
				has, ok := login(have)
				if !ok {
					return
				}
				wallAlone := d.Name == "cisco-isg" || d.Name == "juniper" // the garden's service has its own rates
				if !(wallAlone && has.walled) && (has.down < have.Profile.DownBps || has.down-have.Profile.DownBps >= 1000 || has.up < have.Profile.UpBps || has.up-have.Profile.UpBps >= 1000) {
					t.Fatalf("%s is understood as %+v", have, has)
				}
				rateOnly := d.Name == "accel-ppp" || d.Name == "vyos" || d.Name == "pfsense"
				if !rateOnly && has.walled != (have.Outcome == contracts.OutcomeWalled) {
					t.Fatalf("%s is understood as %+v", have, has)
				}
				should, ok := login(want)
				cmd, err := nas.Plan(&d, have.Digest(), want)
				if (err == nil) != ok && !(err == nil && cmd.Method != nas.CoA) {
					t.Fatalf("Accept of %s: %v, Plan: %v", want, ok, err)
				}
				if err != nil || cmd.Method != nas.CoA {
					return
				}
				for _, step := range cmd.Steps {
					if len(step) == 0 {
						t.Fatal("a step says nothing")
					}
					has = understand(t, d.Name, has, step)
				}
				if has.down != should.down || has.up != should.up || has.walled != should.walled || !slices.Equal(has.services, should.services) {
					t.Fatalf("from %s to %s\nchanged %+v\n  login %+v", have, want, has, should)
				}
			})
		})
	}
}
