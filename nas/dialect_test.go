package nas_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/vendors/mikrotik"
	"layeh.com/radius/vendors/wispr"

	"enlace/contracts"
	"enlace/nas"
)

var (
	full    = nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, Plan: "Fibra 500"}
	reduced = nas.Service{Outcome: contracts.OutcomeReduced, Profile: contracts.Profile{DownBps: 50e6, UpBps: 25e6}, Plan: "Fibra 500"}
	walled  = nas.Service{Outcome: contracts.OutcomeWalled, Profile: contracts.Profile{DownBps: 1e6, UpBps: 1e6}, Plan: "Fibra 500"}
	reject  = nas.Service{Outcome: contracts.OutcomeReject}
)

// text writes the attributes the dialects use, in order, as name=value.
func text(t *testing.T, attrs radius.Attributes) string {
	t.Helper()
	var out []string
	for _, a := range attrs {
		switch a.Type {
		case rfc2865.FilterID_Type:
			out = append(out, "Filter-Id="+string(a.Attribute))
		case rfc2869.FramedPool_Type:
			out = append(out, "Framed-Pool="+string(a.Attribute))
		case rfc2865.VendorSpecific_Type:
			vendor, v := binary.BigEndian.Uint32(a.Attribute), a.Attribute[4:]
			if int(v[1]) != len(v) {
				t.Fatalf("vendor attribute of length %d says %d", len(v), v[1])
			}
			switch value := v[2:]; {
			case vendor == 14988 && v[0] == 8:
				out = append(out, "Mikrotik-Rate-Limit="+string(value))
			case vendor == 14988 && v[0] == 19:
				out = append(out, "Mikrotik-Address-List="+string(value))
			case vendor == 14122 && v[0] == 4:
				out = append(out, "WISPr-Redirection-URL="+string(value))
			case vendor == 14122 && v[0] == 7:
				out = append(out, fmt.Sprintf("WISPr-Bandwidth-Max-Up=%d", binary.BigEndian.Uint32(value)))
			case vendor == 14122 && v[0] == 8:
				out = append(out, fmt.Sprintf("WISPr-Bandwidth-Max-Down=%d", binary.BigEndian.Uint32(value)))
			default:
				t.Fatalf("vendor %d attribute %d", vendor, v[0])
			}
		default:
			t.Fatalf("attribute %d", a.Type)
		}
	}
	return strings.Join(out, " ")
}

func garden() nas.Garden {
	g := nas.DefaultGarden()
	g.RedirectURL = "http://pay.example/"
	return g
}

func TestAcceptSaysTheGoldenStrings(t *testing.T) {
	pool := garden()
	pool.Pool = "walled"
	for _, c := range []struct {
		dialect string
		garden  nas.Garden
		service nas.Service
		want    string
	}{
		{"mikrotik", garden(), full, "Mikrotik-Rate-Limit=250M/500M"},
		{"mikrotik", garden(), reduced, "Mikrotik-Rate-Limit=25M/50M"},
		{"mikrotik", garden(), walled, "Mikrotik-Rate-Limit=1M/1M Mikrotik-Address-List=enlace-walled"},
		{"accel-ppp", garden(), full, "Filter-Id=500000/250000"},
		{"accel-ppp", garden(), reduced, "Filter-Id=50000/25000"},
		{"accel-ppp", garden(), walled, "Filter-Id=1000/1000"},
		{"accel-ppp", pool, walled, "Filter-Id=1000/1000 Framed-Pool=walled"},
		{"accel-ppp", pool, full, "Filter-Id=500000/250000"},
		{"standard", garden(), full, "WISPr-Bandwidth-Max-Up=250000000 WISPr-Bandwidth-Max-Down=500000000"},
		{"standard", garden(), reduced, "WISPr-Bandwidth-Max-Up=25000000 WISPr-Bandwidth-Max-Down=50000000"},
		{"standard", garden(), walled, "WISPr-Bandwidth-Max-Up=1000000 WISPr-Bandwidth-Max-Down=1000000 Filter-Id=enlace-walled WISPr-Redirection-URL=http://pay.example/"},
	} {
		attrs, err := nas.NewDialects(c.garden).Named(c.dialect).Accept(c.service)
		if err != nil {
			t.Errorf("%s %s: %v", c.dialect, c.service, err)
		} else if got := text(t, attrs); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.dialect, c.service, got, c.want)
		}
	}
}

func TestRatesThatAreNotRound(t *testing.T) {
	for _, c := range []struct {
		dialect  string
		down, up uint64
		want     string
	}{
		{"mikrotik", 1_500_000, 64_000, "Mikrotik-Rate-Limit=64k/1500k"},
		{"mikrotik", 10_000_000_000, 2_500_000_000, "Mikrotik-Rate-Limit=2500M/10000M"},
		{"mikrotik", 64_001, 64_000, "Mikrotik-Rate-Limit=64k/64001"},
		{"accel-ppp", 64_001, 10_000_000_000, "Filter-Id=65/10000000"},
	} {
		s := nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: c.down, UpBps: c.up}}
		attrs, err := nas.NewDialects(garden()).Named(c.dialect).Accept(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, attrs); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.dialect, got, c.want)
		}
	}
}

func TestWhatADialectCannotSayIsRefused(t *testing.T) {
	ten := nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 10e9, UpBps: 10e9}}
	if _, err := nas.NewDialects(garden()).Named("standard").Accept(ten); err == nil || !strings.Contains(err.Error(), "4294967295") {
		t.Errorf("10 Gbit/s in 32 bits: %v", err)
	}
	if _, err := nas.Plan(nas.NewDialects(garden()).Named("standard"), 0, ten); err == nil {
		t.Error("10 Gbit/s in 32 bits by CoA is not refused")
	}
	for _, d := range nas.NewDialects(garden()).All() {
		if _, err := d.Accept(reject); err == nil {
			t.Errorf("%s says REJECT in an Access-Accept", d.Name)
		}
		if _, err := d.Accept(nas.Service{Outcome: contracts.OutcomeFull}); err == nil {
			t.Errorf("%s says a rate of nothing, which means no limit", d.Name)
		}
		if _, err := nas.Plan(d, 0, nas.Service{}); err == nil {
			t.Errorf("%s plans for no outcome at all", d.Name)
		}
	}
}

func TestPlan(t *testing.T) {
	pool := garden()
	pool.Pool = "walled"
	noOpen := garden()
	noOpen.OpenFilter = ""
	other := reduced
	other.Plan = "another name"
	const (
		up   = "WISPr-Bandwidth-Max-Up="
		down = " WISPr-Bandwidth-Max-Down="
	)
	for _, c := range []struct {
		dialect string
		garden  nas.Garden
		have    nas.Digest
		want    nas.Service
		says    string
	}{
		{"mikrotik", garden(), full.Digest(), full, ""},
		{"mikrotik", garden(), reduced.Digest(), other, ""},
		{"mikrotik", garden(), full.Digest(), reduced, "coa Mikrotik-Rate-Limit=25M/50M"},
		{"mikrotik", garden(), reduced.Digest(), full, "coa Mikrotik-Rate-Limit=250M/500M"},
		{"mikrotik", garden(), full.Digest(), walled, "disconnect"},
		{"mikrotik", garden(), walled.Digest(), full, "disconnect"},
		{"mikrotik", garden(), walled.Digest(), reduced, "disconnect"},
		{"mikrotik", garden(), walled.Digest(), reject, "disconnect"},
		{"mikrotik", garden(), reject.Digest(), reject, "disconnect"},
		{"mikrotik", garden(), 0, full, "coa Mikrotik-Rate-Limit=250M/500M"},
		{"mikrotik", garden(), 0, walled, "disconnect"},
		{"accel-ppp", garden(), full.Digest(), reduced, "coa Filter-Id=50000/25000"},
		{"accel-ppp", garden(), full.Digest(), walled, "coa Filter-Id=1000/1000"},
		{"accel-ppp", garden(), walled.Digest(), full, "coa Filter-Id=500000/250000"},
		{"accel-ppp", pool, full.Digest(), walled, "disconnect"},
		{"accel-ppp", pool, walled.Digest(), full, "disconnect"},
		{"accel-ppp", pool, full.Digest(), reduced, "coa Filter-Id=50000/25000"},
		{"accel-ppp", garden(), full.Digest(), reject, "disconnect"},
		{"standard", garden(), full.Digest(), reduced, "coa " + up + "25000000" + down + "50000000"},
		{"standard", garden(), reduced.Digest(), walled, "coa " + up + "1000000" + down + "1000000 Filter-Id=enlace-walled WISPr-Redirection-URL=http://pay.example/"},
		{"standard", garden(), walled.Digest(), full, "coa " + up + "250000000" + down + "500000000 Filter-Id=enlace-open"},
		{"standard", garden(), 0, full, "coa " + up + "250000000" + down + "500000000 Filter-Id=enlace-open"},
		{"standard", noOpen, walled.Digest(), full, "disconnect"},
		{"standard", noOpen, full.Digest(), walled, "disconnect"},
	} {
		cmd, err := nas.Plan(nas.NewDialects(c.garden).Named(c.dialect), c.have, c.want)
		if err != nil {
			t.Errorf("%s %s: %v", c.dialect, c.want, err)
			continue
		}
		got := string(cmd.Method)
		for _, step := range cmd.Steps {
			got += " " + text(t, step)
		}
		if got != c.says {
			t.Errorf("%s %s -> %s\n got %q\nwant %q", c.dialect, c.have.Outcome(), c.want, got, c.says)
		}
	}
}

func TestDigestKeepsTheOutcome(t *testing.T) {
	seen := map[nas.Digest]nas.Service{}
	for _, s := range []nas.Service{full, reduced, walled, reject, {Outcome: contracts.OutcomeReduced, Profile: full.Profile}} {
		d := s.Digest()
		if d == 0 || d.Outcome() != s.Outcome {
			t.Errorf("%s: digest %x says %s", s, uint64(d), d.Outcome())
		}
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one digest", s, other)
		}
		seen[d] = s
	}
	// Sessions that were open before plans had profile names carry these in their Class.
	for s, was := range map[nas.Service]nas.Digest{full: 0x151a41b3abf9a3b, reduced: 0x2718858879d8e29, walled: 0x350666c1fc35a7e} {
		if s.Digest() != was {
			t.Errorf("%s has digest %#x, and had %#x", s, uint64(s.Digest()), uint64(was))
		}
		s.Profile.Name = "fibra"
		if s.Digest() == was {
			t.Errorf("%s: a profile name is not part of the digest", s)
		}
	}
	renamed := full
	renamed.Plan = "x"
	if renamed.Digest() != full.Digest() {
		t.Error("a plan's name changes the digest")
	}
}

func TestRestores(t *testing.T) {
	for _, c := range []struct {
		have nas.Digest
		want nas.Service
		is   bool
	}{
		{walled.Digest(), full, true}, {walled.Digest(), reduced, true}, {reduced.Digest(), full, true},
		{full.Digest(), walled, false}, {full.Digest(), full, false}, {0, full, false}, {walled.Digest(), reject, false},
	} {
		if got := nas.Restores(c.have, c.want); got != c.is {
			t.Errorf("from %s to %s: %v", c.have.Outcome(), c.want, got)
		}
	}
}

func TestCookieRoundTrip(t *testing.T) {
	c := nas.Cookie{Access: 47, Granted: reduced.Digest()}
	text := c.Append(nil)
	if got, ok := nas.ParseCookie(text); !ok || got != c {
		t.Errorf("%s reads as %+v, %v", text, got, ok)
	}
}

func FuzzParseCookie(f *testing.F) {
	for _, s := range []string{"enl1:2f:9c0ffee000000001", "enl1::", "enl1:-1:0000000000000000", "enl1:2f:9c0ffee00000000g", "", "other"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, class []byte) {
		c, ok := nas.ParseCookie(class)
		if !ok {
			return
		}
		if again, ok := nas.ParseCookie(c.Append(nil)); !ok || again != c {
			t.Errorf("%q reads as %+v, which reads as %+v, %v", class, c, again, ok)
		}
	})
}

// The attribute numbers above are written out so that they do not come from the library that the dialects use; this
// holds the two together.
func TestAccessorsAgree(t *testing.T) {
	attrs, err := nas.NewDialects(garden()).Named("mikrotik").Accept(walled)
	if err != nil {
		t.Fatal(err)
	}
	if got := mikrotik.MikrotikAddressList_GetString(&radius.Packet{Attributes: attrs}); got != "enlace-walled" {
		t.Errorf("Mikrotik-Address-List is %q", got)
	}
	attrs, err = nas.NewDialects(garden()).Named("standard").Accept(full)
	if err != nil {
		t.Fatal(err)
	}
	if got := wispr.WISPrBandwidthMaxDown_Get(&radius.Packet{Attributes: attrs}); got != 500_000_000 {
		t.Errorf("WISPr-Bandwidth-Max-Down is %d", got)
	}
}
