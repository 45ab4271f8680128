package radius

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"enlace/nas"
)

// accountingRequest is an unsigned Accounting-Request of attributes, each a type and a value.
func accountingRequest(attrs ...any) []byte {
	b := beginPacket(nil, CodeAccountingRequest, 1)
	for i := 0; i < len(attrs); i += 2 {
		switch v := attrs[i+1].(type) {
		case int:
			b = appendUint32(b, byte(attrs[i].(int)), uint32(v))
		case string:
			b = appendAttr(b, byte(attrs[i].(int)), []byte(v))
		case []byte:
			b = append(append(b, byte(attrs[i].(int)), byte(len(v)+2)), v...)
		}
	}
	endPacket(b)
	return b
}

func parse(t *testing.T, attrs ...any) (Record, Oddity) {
	t.Helper()
	v, err := ParseView(accountingRequest(attrs...))
	if err != nil {
		t.Fatal(err)
	}
	return ParseRecord(7, v, t0)
}

func TestParseRecord(t *testing.T) {
	class := nas.Cookie{Access: 3, Granted: 99}.Append(nil)
	r, odd := parse(t, acctStatusType, 3, attrUserName, "ana@isp", acctSessionID, "81\x00\xff", attrClass, "of another server",
		attrClass, class, acctInputOctets, 5, acctInputGigawords, 2, acctOutputOctets, 9, acctSessionTime, 300,
		acctFramedIP, []byte{100, 64, 0, 9}, acctFramedIPv6Prefix, []byte{0, 64, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2},
		acctDelegatedIPv6Prefix, []byte{0, 56, 0x20, 1, 0xd, 0xb8, 9, 9, 9}, attrCallingStation, "aa:bb",
		acctNASPort, 17, acctNASPortID, "eth1:100", acctNASIdentifier, "bras-1", 254, "unknown")
	want := Record{
		Kind: KindInterim, Key: nas.SessionKey{Device: 7, ID: "81\x00\xff"}, Received: t0, Event: t0, Seconds: 300, TimeKnown: true,
		Input: Octets{2<<32 | 5, true, true}, Output: Octets{9, true, false}, Login: "ana@isp",
		Cookie: nas.Cookie{Access: 3, Granted: 99}, FramedIP: netip.MustParseAddr("100.64.0.9"),
		FramedIPv6:     []netip.Prefix{netip.MustParsePrefix("2001:db8:1:2::/64"), netip.MustParsePrefix("2001:db8:909:900::/56")},
		CallingStation: "aa:bb", NASPort: "eth1:100", NASIdentifier: "bras-1",
	}
	if !slices.Equal(r.FramedIPv6, want.FramedIPv6) {
		t.Errorf("prefixes %v", r.FramedIPv6)
	}
	r.FramedIPv6, want.FramedIPv6 = nil, nil
	if odd != 0 || !equalRecords(r, want) {
		t.Errorf("%+v, odd %b, want\n%+v", r, odd, want)
	}
}

func equalRecords(a, b Record) bool {
	a.FramedIPv6, b.FramedIPv6 = nil, nil
	return a.Kind == b.Kind && a.Key == b.Key && a.Received.Equal(b.Received) && a.Event.Equal(b.Event) && a.Seconds == b.Seconds &&
		a.TimeKnown == b.TimeKnown && a.Input == b.Input && a.Output == b.Output && a.Login == b.Login && a.Cookie == b.Cookie &&
		a.FramedIP == b.FramedIP && a.CallingStation == b.CallingStation && a.NASPort == b.NASPort &&
		a.NASIdentifier == b.NASIdentifier && a.Cause == b.Cause
}

func TestEventTime(t *testing.T) {
	unix := func(offset time.Duration) int { return int(t0.Add(offset).Unix()) }
	for name, c := range map[string]struct {
		attrs []any
		want  time.Duration // from the time it was received
		odd   Oddity
	}{
		"nothing said":                      {nil, 0, 0},
		"a delay":                           {[]any{acctDelayTime, 90}, -90 * time.Second, 0},
		"a timestamp":                       {[]any{acctEventTimestamp, unix(-5 * time.Second)}, -5 * time.Second, 0},
		"a timestamp and its delay":         {[]any{acctEventTimestamp, unix(-time.Hour), acctDelayTime, 3600}, -time.Hour, 0},
		"a timestamp near its delay":        {[]any{acctEventTimestamp, unix(-time.Hour + 9*time.Minute), acctDelayTime, 3600}, -51 * time.Minute, 0},
		"a timestamp of a clock ahead":      {[]any{acctEventTimestamp, unix(9 * time.Minute)}, 9 * time.Minute, 0},
		"a timestamp ten minutes off":       {[]any{acctEventTimestamp, unix(-10 * time.Minute)}, 0, OddTimestamp},
		"a timestamp of 1970":               {[]any{acctEventTimestamp, 1000, acctDelayTime, 5}, -5 * time.Second, OddTimestamp},
		"a timestamp of 2106":               {[]any{acctEventTimestamp, math.MaxUint32}, 0, OddTimestamp},
		"a delay of more than a week":       {[]any{acctDelayTime, math.MaxUint32}, 0, OddDelay},
		"a delay as text":                   {[]any{acctDelayTime, "90"}, 0, OddAttribute},
		"a timestamp without a delay, late": {[]any{acctEventTimestamp, unix(-9 * time.Minute)}, -9 * time.Minute, 0},
	} {
		r, odd := parse(t, append([]any{acctStatusType, 3, acctSessionID, "a"}, c.attrs...)...)
		if got := r.Event.Sub(t0); got != c.want || odd != c.odd {
			t.Errorf("%s: %v, odd %b; want %v, %b", name, got, odd, c.want, c.odd)
		}
	}
}

func TestAbsurdRecords(t *testing.T) {
	usual := []any{acctStatusType, 3, acctSessionID, "a"}
	for name, c := range map[string]struct {
		attrs []any
		odd   Oddity
		kind  Kind
	}{
		"no status type":        {[]any{acctSessionID, "a"}, OddStatusType, 0},
		"Tunnel-Start":          {[]any{acctStatusType, 9, acctSessionID, "a"}, OddStatusType, 0},
		"status type 255":       {[]any{acctStatusType, 255, acctSessionID, "a"}, OddStatusType, 0},
		"status type 2³²-1":     {[]any{acctStatusType, math.MaxUint32, acctSessionID, "a"}, OddStatusType, 0},
		"status type 256 + 2":   {[]any{acctStatusType, 258, acctSessionID, "a"}, OddStatusType, 0},
		"no session id":         {[]any{acctStatusType, 1}, OddSessionID, 0},
		"an empty session id":   {[]any{acctStatusType, 1, acctSessionID, []byte{}}, OddSessionID, 0},
		"On needs none":         {[]any{acctStatusType, 7}, 0, KindOn},
		"counter beyond 63":     {append(usual, acctInputOctets, 1, acctInputGigawords, 1<<31), OddCounter, KindInterim},
		"gigawords alone":       {append(usual, acctInputGigawords, 1<<31), 0, KindInterim},
		"time of 136 years":     {append(usual, acctSessionTime, math.MaxUint32), OddSessionTime, KindInterim},
		"short address":         {append(usual, acctFramedIP, []byte{1, 2, 3}), OddAttribute, KindInterim},
		"prefix of 200 bits":    {append(usual, acctFramedIPv6Prefix, []byte{0, 200, 1}), OddAttribute, KindInterim},
		"prefix without bytes":  {append(usual, acctFramedIPv6Prefix, []byte{0, 64, 1}), OddAttribute, KindInterim},
		"everybody's prefix":    {append(usual, acctDelegatedIPv6Prefix, []byte{0, 3, 0x20}), OddAttribute, KindInterim},
		"prefix of 0 bits":      {append(usual, acctFramedIPv6Prefix, []byte{0, 0}), 0, KindInterim},
		"prefix of none":        {append(usual, acctDelegatedIPv6Prefix, []byte{0, 64, 0, 0, 0, 0, 0, 0, 0, 0}), 0, KindInterim},
		"IPv6 address of none":  {append(usual, acctFramedIPv6Address, make([]byte, 16)), 0, KindInterim},
		"address to be chosen":  {append(usual, acctFramedIP, []byte{255, 255, 255, 254}), 0, KindInterim},
		"short IPv6 address":    {append(usual, acctFramedIPv6Address, []byte{1}), OddAttribute, KindInterim},
		"terminate cause short": {append(usual, acctTerminateCause, []byte{1}), OddAttribute, KindInterim},
	} {
		r, odd := parse(t, c.attrs...)
		if odd != c.odd || r.Kind != c.kind {
			t.Errorf("%s: odd %b, kind %d; want %b, %d", name, odd, r.Kind, c.odd, c.kind)
		}
		if r.Input.Known || r.Seconds != 0 || r.FramedIP.IsValid() || len(r.FramedIPv6)+len(r.Delegated) > 0 {
			t.Errorf("%s was used: %+v", name, r)
		}
	}
}

func TestPrefixesAreBounded(t *testing.T) {
	attrs := []any{acctStatusType, 3, acctSessionID, "a"}
	for i := range 60 {
		attrs = append(attrs, acctFramedIPv6Prefix, []byte{0, 16, 0x20, byte(i)})
	}
	if r, _ := parse(t, attrs...); len(r.FramedIPv6) != maxPrefixes {
		t.Errorf("%d prefixes", len(r.FramedIPv6))
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(accountingRequest(acctStatusType, 3, acctSessionID, "a", acctInputOctets, 1, acctInputGigawords, 1<<31, acctSessionTime, 5))
	f.Add(accountingRequest(acctStatusType, 1, acctSessionID, "a\x00", acctFramedIPv6Prefix, []byte{0, 64}, acctEventTimestamp, 1))
	f.Add(accountingRequest(acctStatusType, 7, acctNASIdentifier, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 {
			binary.BigEndian.PutUint16(b[2:], uint16(min(len(b), math.MaxUint16)))
		}
		v, err := ParseView(b)
		if err != nil {
			return
		}
		r, _ := ParseRecord(7, v, t0)
		start, _ := r.start()
		if r.Input.N > math.MaxInt64 || r.Output.N > math.MaxInt64 || len(r.FramedIPv6) > maxPrefixes ||
			r.Event.After(t0.Add(timestampRange)) || r.Event.Before(t0.Add(-maxDelay-timestampRange)) ||
			r.Event.Sub(start) < 0 || r.Event.Sub(start) > maxSessionTime*time.Second {
			t.Fatalf("unsafe: %+v", r)
		}
		if r.Kind == 0 {
			return
		}
		table := NewSessions()
		for range 2 {
			table.Apply(&r)
		}
		if table.Count() > 1 {
			t.Fatalf("%d sessions of one record", table.Count())
		}
	})
}
