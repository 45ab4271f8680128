package nastest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
	"enlace/nas/nastest"
)

// said is attributes in the order in which they are written.
type said []func(*radius.Packet)

func vsa(vendor uint32, number byte, value []byte) func(*radius.Packet) {
	return func(p *radius.Packet) {
		v, err := radius.NewVendorSpecific(vendor, append([]byte{number, byte(len(value) + 2)}, value...))
		if err != nil {
			panic(err)
		}
		p.Add(rfc2865.VendorSpecific_Type, v)
	}
}

func text(vendor uint32, number byte, value string) func(*radius.Packet) {
	return vsa(vendor, number, []byte(value))
}

func integer(vendor uint32, number byte, value uint32) func(*radius.Packet) {
	return vsa(vendor, number, binary.BigEndian.AppendUint32(nil, value))
}

func long(vendor uint32, number byte, value uint64) func(*radius.Packet) {
	return vsa(vendor, number, binary.BigEndian.AppendUint64(nil, value))
}

func plain(t radius.Type, value string) func(*radius.Packet) {
	return func(p *radius.Packet) { p.Add(t, radius.Attribute(value)) }
}

func seconds(t radius.Type, value uint32) func(*radius.Packet) {
	return plain(t, string(binary.BigEndian.AppendUint32(nil, value)))
}

var policies = map[string]nastest.Policy{
	"up-250": {Rates: contracts.Profile{UpBps: 250e6}}, "down-500": {Rates: contracts.Profile{DownBps: 500e6}},
	"up-25": {Rates: contracts.Profile{UpBps: 25e6}}, "down-50": {Rates: contracts.Profile{DownBps: 50e6}},
	"fibra-500": {Rates: full.Profile}, "fibra-50": {Rates: contracts.Profile{DownBps: 50e6, UpBps: 25e6}},
	"wall": {Rates: contracts.Profile{DownBps: 1e6, UpBps: 1e6}, Walled: true},
}

var (
	tenth  = contracts.Profile{DownBps: 50e6, UpBps: 25e6}
	walled = contracts.Profile{DownBps: 1e6, UpBps: 1e6}
)

// accepts are how each vendor is told of 500/250 Mbit/s at login.
var accepts = map[string]said{
	"mikrotik":        {text(14988, 8, "250M/500M")},
	"huawei":          {integer(2011, 2, 250e6), integer(2011, 3, 250e6), integer(2011, 5, 500e6), integer(2011, 6, 500e6)},
	"cisco":           {text(9, 1, "ip:sub-qos-policy-in=up-250"), text(9, 1, "ip:sub-qos-policy-out=down-500")},
	"cisco-isg":       {text(9, 250, "Afibra-500")},
	"cisco-xr":        {text(9, 1, "ip:sub-qos-policy-in=up-250"), text(9, 1, "ip:sub-qos-policy-out=down-500")},
	"juniper":         {text(4874, 65, "\x01svc-500-250(250m,500m)")},
	"nokia":           {text(6527, 126, "i:q:1:pir=250000"), text(6527, 126, "e:r:rate=500000")},
	"zte":             {integer(3902, 83, 500e6), integer(3902, 89, 250e6)},
	"accel-ppp":       {plain(rfc2865.FilterID_Type, "500000/250000")},
	"vyos":            {plain(rfc2865.FilterID_Type, "500000/250000")},
	"ubiquiti":        {long(41112, 1, 500e6), long(41112, 3, 250e6)},
	"pfsense":         {integer(13644, 1, 250e6), integer(13644, 2, 500e6)},
	"roaring-penguin": {integer(10055, 1, 250000), integer(10055, 2, 500000)},
	"standard":        {integer(14122, 7, 250e6), integer(14122, 8, 500e6)},
}

// play starts a vendor with a subscriber of 500/250 Mbit/s online.
func play(t *testing.T, vendor string, cfg nastest.Config) (*nastest.NAS, *log, *nastest.Session) {
	t.Helper()
	cfg.Dialect = vendor
	if cfg.Policies == nil {
		cfg.Policies = policies
	}
	n, l := start(t, cfg, func(r *nastest.Responder) {
		r.Accept = func(string) radius.Attributes {
			p := &radius.Packet{}
			for _, add := range accepts[vendor] {
				add(p)
			}
			p.Add(rfc2865.Class_Type, radius.Attribute("granted"))
			return p.Attributes
		}
	})
	return n, l, login(t, n)
}

func TestEveryVendorReadsItsRates(t *testing.T) {
	ids := map[string]string{}
	for _, vendor := range nastest.Vendors() {
		t.Run(vendor, func(t *testing.T) {
			_, _, s := play(t, vendor, nastest.Config{})
			if s.Rates() != full.Profile || s.Walled() {
				t.Errorf("it runs at %+v, walled %v", s.Rates(), s.Walled())
			}
			ids[vendor] = s.ID()
		})
	}
	if id := ids["roaring-penguin"]; len(id) != 14 || id[:3] != "%lX" || id[11:] != "%hX" {
		t.Errorf("pppd's session id is %q", id)
	}
}

// TestVendorsObeyInTheirWay gives each vendor one CoA-Request after another; the last answer counts.
func TestVendorsObeyInTheirWay(t *testing.T) {
	const ack, nak = radius.CodeCoAACK, radius.CodeCoANAK
	class := plain(rfc2865.Class_Type, "changed")
	for _, c := range []struct {
		vendor, name string
		quirks       nastest.Quirks
		packets      []said // beside Acct-Session-Id
		code         radius.Code
		cause        uint32
		rates        contracts.Profile
		walled       bool
		class        string
	}{
		{"huawei", "rates", nastest.Quirks{}, []said{{integer(2011, 3, 25e6), integer(2011, 6, 50e6), class}}, ack, 0, tenth, false, "changed"},
		{"huawei", "a profile, in small letters", nastest.Quirks{}, []said{{text(2011, 31, "Fibra-50")}}, ack, 0, tenth, false, "granted"},
		{"huawei", "a user group that is the wall", nastest.Quirks{}, []said{{plain(rfc2865.FilterID_Type, "wall")}}, ack, 0, full.Profile, true, "granted"},
		{"huawei", "a missing profile, validated", nastest.Quirks{Validates: true}, []said{{text(2011, 31, "none")}}, nak, 404, full.Profile, false, "granted"},
		{"cisco", "policies", nastest.Quirks{}, []said{{text(9, 1, "ip:sub-qos-policy-in=up-25"), text(9, 1, "ip:sub-qos-policy-out=down-50")}}, ack, 0, tenth, false, "granted"},
		{"cisco", "half of it is not configured", nastest.Quirks{}, []said{{text(9, 1, "ip:sub-qos-policy-in=up-25"), text(9, 1, "ip:sub-qos-policy-out=none")}}, nak, 404, full.Profile, false, "granted"},
		{"cisco-isg", "one service for another", nastest.Quirks{}, []said{{text(9, 252, "\x0cfibra-500")}, {text(9, 252, "\x0bfibra-50")}}, ack, 0, tenth, false, "granted"},
		{"cisco-isg", "the wall by a pair", nastest.Quirks{}, []said{{text(9, 1, "subscriber:command=activate-service"), text(9, 1, "subscriber:service-name=wall")}}, ack, 0, walled, true, "granted"},
		{"cisco-isg", "out of the wall", nastest.Quirks{}, []said{{text(9, 252, "\x0bwall")}, {text(9, 252, "\x0cwall")}}, ack, 0, full.Profile, false, "granted"},
		{"cisco-xr", "policies", nastest.Quirks{}, []said{{text(9, 1, "subscriber:command=account-update"), text(9, 1, "ip:sub-qos-policy-in=up-25"), text(9, 1, "ip:sub-qos-policy-out=down-50")}}, ack, 0, tenth, false, "granted"},
		{"cisco-xr", "access lists that are the wall", nastest.Quirks{}, []said{{text(9, 1, "subscriber:command=account-update"), text(9, 1, "subscriber:inacl=wall"), text(9, 1, "subscriber:ipv6_inacl=wall")}}, ack, 0, full.Profile, true, "granted"},
		{"cisco-xr", "without its command", nastest.Quirks{}, []said{{text(9, 1, "ip:sub-qos-policy-in=up-25")}}, nak, 402, full.Profile, false, "granted"},
		{"juniper", "one service for another", nastest.Quirks{}, []said{{text(4874, 66, "svc-500-250")}, {text(4874, 65, "\x01svc-50-25(25m,50m)")}}, ack, 0, tenth, false, "granted"},
		{"juniper", "the half that it can", nastest.Quirks{}, []said{{text(4874, 66, "svc-500-250"), text(4874, 65, "\x01none")}}, ack, 0, contracts.Profile{}, false, "granted"},
		{"juniper", "what it does not know", nastest.Quirks{Unknown: []nastest.Attribute{{4874, 65}}}, []said{{text(4874, 65, "\x01svc-50-25(25m,50m)")}}, ack, 0, full.Profile, false, "granted"},
		{"juniper", "what it does not know, validated", nastest.Quirks{Validates: true, Unknown: []nastest.Attribute{{4874, 65}}}, []said{{text(4874, 65, "\x01svc-50-25(25m,50m)")}}, nak, 401, full.Profile, false, "granted"},
		{"juniper", "all or nothing, validated", nastest.Quirks{Validates: true}, []said{{text(4874, 66, "svc-500-250"), text(4874, 65, "\x01none")}}, nak, 404, full.Profile, false, "granted"},
		{"nokia", "overrides", nastest.Quirks{}, []said{{text(6527, 126, "i:q:1:pir=25000,cir=5000"), text(6527, 126, "e:r:rate=50000"), class}}, ack, 0, tenth, false, "changed"},
		{"nokia", "an SLA profile that is the wall", nastest.Quirks{}, []said{{text(6527, 13, "wall")}}, ack, 0, walled, true, "granted"},
		{"nokia", "silently ignored", nastest.Quirks{Unknown: []nastest.Attribute{{6527, 126}}}, []said{{text(6527, 126, "i:q:1:pir=25000")}}, ack, 0, full.Profile, false, "granted"},
		{"nokia", "a time that has passed", nastest.Quirks{}, []said{{seconds(rfc2865.SessionTimeout_Type, 0)}, {seconds(rfc2865.SessionTimeout_Type, 3600)}, {seconds(rfc2865.SessionTimeout_Type, 0)}}, nak, 404, full.Profile, false, "granted"},
		{"zte", "rates", nastest.Quirks{}, []said{{integer(3902, 83, 50e6), integer(3902, 89, 25e6)}}, ack, 0, tenth, false, "granted"},
		{"zte", "a profile that is not configured", nastest.Quirks{}, []said{{text(3902, 82, "none")}}, nak, 404, full.Profile, false, "granted"},
		{"accel-ppp", "the first of Class and Session-Timeout", nastest.Quirks{}, []said{{seconds(rfc2865.SessionTimeout_Type, 0), plain(rfc2865.FilterID_Type, "50000/25000"), class}}, ack, 0, tenth, false, "changed"},
		{"vyos", "a pool is for logins", nastest.Quirks{}, []said{{plain(rfc2869.FramedPool_Type, "wall")}}, ack, 0, full.Profile, false, "granted"},
		{"ubiquiti", "rates", nastest.Quirks{}, []said{{long(41112, 1, 50e6), long(41112, 3, 25e6)}}, ack, 0, tenth, false, "granted"},
		{"roaring-penguin", "nothing", nastest.Quirks{}, []said{{integer(10055, 2, 50000)}}, nak, 405, full.Profile, false, "granted"},
		{"standard", "what it does not know", nastest.Quirks{}, []said{{integer(14122, 8, 50e6), text(6527, 13, "wall")}}, nak, 401, full.Profile, false, "granted"},
		{"standard", "no effect", nastest.Quirks{NoEffect: true}, []said{{integer(14122, 8, 50e6)}}, ack, 0, full.Profile, false, "granted"},
		{"mikrotik", "Class is not on its list", nastest.Quirks{}, []said{{text(14988, 8, "25M/50M"), class}}, nak, 401, full.Profile, false, "granted"},
	} {
		t.Run(c.vendor+" "+c.name, func(t *testing.T) {
			n, l, s := play(t, c.vendor, nastest.Config{Quirks: c.quirks})
			var code radius.Code
			var cause uint32
			for _, packet := range c.packets {
				code, cause = send(t, n, radius.CodeCoARequest, append(said{plain(rfc2866.AcctSessionID_Type, s.ID())}, packet...)...)
			}
			if code != c.code || cause != c.cause || s.Rates() != c.rates || s.Walled() != c.walled {
				t.Errorf("%s %d, %+v, walled %v; want %s %d, %+v, walled %v", code, cause, s.Rates(), s.Walled(), c.code, c.cause, c.rates, c.walled)
			}
			if err := s.Interim(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := string(rfc2865.Class_Get(l.of(3, s.ID())[0])); got != c.class {
				t.Errorf("Class comes back as %q, want %q", got, c.class)
			}
		})
	}
}

func TestHuaweiTakesASubscriberOffLineOverAMissingProfile(t *testing.T) {
	n, l, s := play(t, "huawei", nastest.Config{})
	code, _ := send(t, n, radius.CodeCoARequest, plain(rfc2866.AcctSessionID_Type, s.ID()), text(2011, 31, "none"))
	if code != radius.CodeCoAACK {
		t.Errorf("answered with %s", code)
	}
	eventually(t, "a Stop", func() bool { return !s.Online() && len(l.of(2, s.ID())) == 1 })
}

func TestWhoIsMeant(t *testing.T) {
	const notFound = 503
	for _, c := range []struct {
		vendor, name string
		command      radius.Code
		by           func(s *nastest.Session) said
		cause        uint32
	}{
		{"nokia", "port and address", radius.CodeCoARequest, func(s *nastest.Session) said {
			return said{plain(rfc2869.NASPortID_Type, s.PortID()), address(s)}
		}, 0},
		{"nokia", "login and id that contradict", radius.CodeCoARequest, func(s *nastest.Session) said {
			return said{plain(rfc2866.AcctSessionID_Type, s.ID()), plain(rfc2865.UserName_Type, "bia")}
		}, notFound},
		{"nokia", "an id that contradicts port and address", radius.CodeCoARequest, func(s *nastest.Session) said {
			return said{plain(rfc2869.NASPortID_Type, s.PortID()), address(s), plain(rfc2866.AcctSessionID_Type, "other")}
		}, notFound},
		{"nokia", "another's address beside the id", radius.CodeCoARequest, func(s *nastest.Session) said {
			return said{plain(rfc2866.AcctSessionID_Type, s.ID()), func(p *radius.Packet) { _ = rfc2865.FramedIPAddress_Add(p, net.IPv4(1, 2, 3, 4)) }}
		}, notFound},
		{"cisco-isg", "the address", radius.CodeDisconnectRequest, func(s *nastest.Session) said {
			return said{text(9, 250, "S"+s.IP().String())}
		}, 0},
		{"cisco-isg", "another's address", radius.CodeDisconnectRequest, func(s *nastest.Session) said { return said{text(9, 250, "S1.2.3.4")} }, notFound},
		{"cisco-isg", "no address", radius.CodeDisconnectRequest, func(s *nastest.Session) said { return said{text(9, 250, "Snowhere")} }, 404},
		{"juniper", "no session id", radius.CodeDisconnectRequest, func(s *nastest.Session) said { return said{plain(rfc2865.UserName_Type, "ana")} }, 402},
		{"juniper", "its session id", radius.CodeDisconnectRequest, func(s *nastest.Session) said { return said{plain(rfc2866.AcctSessionID_Type, s.ID())} }, 0},
		{"accel-ppp", "another access server", radius.CodeDisconnectRequest, func(s *nastest.Session) said {
			return said{plain(rfc2866.AcctSessionID_Type, s.ID()), plain(rfc2865.NASIdentifier_Type, "other")}
		}, 403},
		{"huawei", "one thing that differs", radius.CodeDisconnectRequest, func(s *nastest.Session) said {
			return said{plain(rfc2866.AcctSessionID_Type, s.ID()), plain(rfc2865.CallingStationID_Type, "other")}
		}, notFound},
	} {
		t.Run(c.vendor+" "+c.name, func(t *testing.T) {
			n, _, s := play(t, c.vendor, nastest.Config{})
			if _, cause := send(t, n, c.command, c.by(s)...); cause != c.cause {
				t.Errorf("Error-Cause %d, want %d", cause, c.cause)
			}
		})
	}
}

func address(s *nastest.Session) func(*radius.Packet) {
	return func(p *radius.Packet) { _ = rfc2865.FramedIPAddress_Add(p, net.IP(s.IP().AsSlice())) }
}

func TestASessionUnderSeveralIDs(t *testing.T) {
	n, l, s := play(t, "nokia", nastest.Config{SessionIDs: 3})
	ids := s.IDs()
	if len(ids) != 3 || n.Online() != 1 || len(n.Sessions()) != 1 {
		t.Fatalf("%q, %d online", ids, n.Online())
	}
	if code, _ := send(t, n, radius.CodeCoARequest, plain(rfc2866.AcctSessionID_Type, ids[2]), text(6527, 13, "fibra-50")); code != radius.CodeCoAACK || s.Rates() != tenth {
		t.Errorf("%s, %+v", code, s.Rates())
	}
	if code, _ := send(t, n, radius.CodeDisconnectRequest, plain(rfc2866.AcctSessionID_Type, ids[1])); code != radius.CodeDisconnectACK {
		t.Errorf("answered with %s", code)
	}
	eventually(t, "a Stop of each", func() bool { return len(l.of(2, "")) == 3 })
	for _, id := range ids {
		if stops := l.of(2, id); len(stops) != 1 || rfc2866.AcctMultiSessionID_GetString(stops[0]) != ids[0] {
			t.Errorf("%s has %d Stops", id, len(stops))
		}
	}
}

func TestAStopAsANewPacket(t *testing.T) {
	for vendor, identifiers := range map[string]int{"accel-ppp": 3, "huawei": 1} {
		n, l, s := play(t, vendor, nastest.Config{Timeout: 20 * time.Millisecond})
		l.deaf.Store(true)
		_ = s.Stop(context.Background(), 1)
		n.Close()
		seen := map[byte]bool{}
		for _, p := range l.of(2, s.ID()) {
			seen[p.Identifier] = true
		}
		if len(seen) != identifiers {
			t.Errorf("%s sent its Stop under %d identifiers, want %d", vendor, len(seen), identifiers)
		}
	}
}

func TestPfSenseDoesNotListen(t *testing.T) {
	n, _, s := play(t, "pfsense", nastest.Config{})
	p := radius.New(radius.CodeDisconnectRequest, secret)
	_ = rfc2866.AcctSessionID_AddString(p, s.ID())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if answer, err := radius.Exchange(ctx, p, n.CoAAddr().String()); err == nil {
		t.Errorf("answered with %s", answer.Code)
	}
}

func TestRebootAtACommand(t *testing.T) {
	for kind, boots := range map[nastest.Reboot]int{nastest.RebootLoud: 1, nastest.RebootSilent: 0} {
		n, l, s := play(t, "standard", nastest.Config{Redial: time.Millisecond, Quirks: nastest.Quirks{Reboot: kind}})
		first := s.ID()
		code, _ := send(t, n, radius.CodeDisconnectRequest, plain(rfc2865.UserName_Type, "ana")) // its retransmission meets the next session
		if code != radius.CodeDisconnectACK && code != radius.CodeDisconnectNAK {
			t.Errorf("answered with %s", code)
		}
		eventually(t, "another session", func() bool { return s.Logins() > 1 && s.Online() })
		eventually(t, "Accounting-On where it is said", func() bool { return len(l.of(7, "")) == boots })
		if stops := l.of(2, first); len(stops) != 0 {
			t.Errorf("%d Stops of a session that a power cut ended", len(stops))
		}
	}
}

func TestAPathThatLosesEverything(t *testing.T) {
	n, l, s := play(t, "standard", nastest.Config{Timeout: 5 * time.Millisecond})
	n.SetQuirks(nastest.Quirks{LoseOut: 1})
	if err := s.Interim(context.Background()); !errors.Is(err, nastest.ErrUnanswered) || len(l.of(3, "")) != 0 {
		t.Errorf("what is lost on its way out: %v, %d arrived", err, len(l.of(3, "")))
	}
	n.SetQuirks(nastest.Quirks{LoseIn: 1})
	if err := s.Interim(context.Background()); !errors.Is(err, nastest.ErrUnanswered) || len(l.of(3, "")) != 3 {
		t.Errorf("what is lost on its way in: %v, %d arrived", err, len(l.of(3, "")))
	}
}

func TestALossyPath(t *testing.T) {
	n, l, s := play(t, "standard", nastest.Config{Seed: 7, Tries: 200, Timeout: 5 * time.Millisecond,
		Quirks: nastest.Quirks{LoseIn: 0.25, LoseOut: 0.25, Duplicate: 0.5, Late: 0.5, Delay: 8 * time.Millisecond}})
	for range 30 {
		if err := s.Interim(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.of(3, s.ID()); len(got) <= 30 { // what was lost or doubled comes again
		t.Errorf("%d records of 30 arrived", len(got))
	}
	down := integer(14122, 8, 50e6)
	id := plain(rfc2866.AcctSessionID_Type, s.ID())
	code, _ := send(t, n, radius.CodeCoARequest, id, down)
	if code != radius.CodeCoAACK || s.Rates().DownBps != 50e6 {
		t.Errorf("%s, %+v", code, s.Rates())
	}
	got := n.Commands()
	if len(got) != 1 || !slices.ContainsFunc(got, func(c nastest.Command) bool { return c.SessionID == s.ID() }) {
		t.Errorf("a command was obeyed %d times", len(got))
	}
}

func TestWhatAccelTakesOfOnePacket(t *testing.T) {
	n, l, both := play(t, "accel-ppp", nastest.Config{})
	alone := login(t, n)
	timeout := seconds(rfc2865.SessionTimeout_Type, 1)
	for s, packet := range map[*nastest.Session]said{both: {timeout, plain(rfc2865.Class_Type, "x")}, alone: {timeout}} {
		if code, _ := send(t, n, radius.CodeCoARequest, append(packet, plain(rfc2866.AcctSessionID_Type, s.ID()))...); code != radius.CodeCoAACK {
			t.Fatalf("answered with %s", code)
		}
	}
	eventually(t, "the later session's end", func() bool { return len(l.of(2, alone.ID())) == 1 })
	if !both.Online() {
		t.Error("Session-Timeout beside Class ended the session")
	}
}

func TestRunUsesWhatTheSessionHas(t *testing.T) {
	_, _, s := play(t, "mikrotik", nastest.Config{Load: 1e-9})
	s.Run(8 * time.Second)
	if in, out := s.Counters(); in/1e6 != 250 || out/1e6 != 500 {
		t.Errorf("%d and %d octets in 8 s at 250 and 500 Mbit/s", in, out)
	}
}
