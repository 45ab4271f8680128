package radius

import (
	"math"
	"testing"
	"time"

	"enlace/nas"
)

// TestEdgesOfRecords reads records whose values are just within what is believed, and just beyond it.
func TestEdgesOfRecords(t *testing.T) {
	usual := []any{acctStatusType, 3, acctSessionID, "a"}
	counter := func(n uint64, seconds int) []any {
		return []any{acctInputOctets, int(uint32(n)), acctInputGigawords, int(n >> 32), acctSessionTime, seconds}
	}
	first, second := nas.Cookie{Access: 3, Granted: 99}, nas.Cookie{Access: 4, Granted: 98}
	week := int(maxDelay / time.Second)
	none := func(r Record) bool { return !r.FramedIP.IsValid() && len(r.FramedIPv6)+len(r.Delegated) == 0 }
	for name, c := range map[string]struct {
		attrs []any
		odd   Oddity
		want  func(Record) bool
	}{
		"a terabit a second":       {counter(maxOctetRate*71-1, 10), 0, func(r Record) bool { return r.Input.N == maxOctetRate*71-1 && r.Input.Wide }},
		"and an octet more":        {counter(maxOctetRate*71, 10), OddCounter, func(r Record) bool { return r.Input == (Octets{}) }},
		"32 bits in no time":       {counter(math.MaxUint32, 0), 0, func(r Record) bool { return r.Input.N == math.MaxUint32 }},
		"63 bits":                  {[]any{acctInputOctets, math.MaxUint32, acctInputGigawords, math.MaxInt32}, 0, func(r Record) bool { return r.Input.N == math.MaxInt64 }},
		"and one more":             {[]any{acctInputOctets, 0, acctInputGigawords, math.MaxInt32 + 1}, OddCounter, func(r Record) bool { return r.Input == (Octets{}) }},
		"gigawords without octets": {[]any{acctInputGigawords, 5, acctOutputGigawords, 5}, 0, func(r Record) bool { return r.Input == (Octets{}) && r.Output == (Octets{}) }},
		"input is not output": {[]any{acctInputOctets, 1, acctInputGigawords, 2, acctOutputOctets, 3}, 0,
			func(r Record) bool {
				return r.Input == Octets{2<<32 | 1, true, true} && r.Output == Octets{3, true, false}
			}},

		"a delay of a week": {[]any{acctDelayTime, week}, 0, func(r Record) bool { return r.Sent.Equal(t0.Add(-maxDelay)) && r.Event.Equal(r.Sent) }},
		"and a second more": {[]any{acctDelayTime, week + 1}, OddDelay, func(r Record) bool { return r.Sent.Equal(t0) && r.Event.Equal(t0) }},
		"a timestamp is not when it was sent": {[]any{acctDelayTime, 60, acctEventTimestamp, int(t0.Unix()) - 30}, 0,
			func(r Record) bool {
				return r.Sent.Equal(t0.Add(-time.Minute)) && r.Event.Equal(t0.Add(-30*time.Second))
			}},
		"a timestamp just behind": {[]any{acctEventTimestamp, int(t0.Unix()) - 599}, 0, func(r Record) bool { return r.Event.Equal(t0.Add(-599 * time.Second)) }},
		"and too far":             {[]any{acctEventTimestamp, int(t0.Unix()) - 600}, OddTimestamp, func(r Record) bool { return r.Event.Equal(t0) }},
		"a timestamp just ahead":  {[]any{acctEventTimestamp, int(t0.Unix()) + 599}, 0, func(r Record) bool { return r.Event.Equal(t0.Add(599 * time.Second)) }},
		"and too far ahead":       {[]any{acctEventTimestamp, int(t0.Unix()) + 600}, OddTimestamp, func(r Record) bool { return r.Event.Equal(t0) }},

		"ten years":         {[]any{acctSessionTime, maxSessionTime}, 0, func(r Record) bool { return r.TimeKnown && r.Seconds == maxSessionTime }},
		"and a second":      {[]any{acctSessionTime, maxSessionTime + 1}, OddSessionTime, func(r Record) bool { return !r.TimeKnown && r.Seconds == 0 }},
		"how long it lasts": {[]any{acctSessionTime, 90}, 0, func(r Record) bool { _, known := r.start(); return known && r.Start().Equal(t0.Add(-90*time.Second)) }},
		"zero, which says nothing of when it began": {[]any{acctSessionTime, 0}, 0, func(r Record) bool { _, known := r.start(); return !known && r.TimeKnown }},

		"address zero":             {[]any{acctFramedIP, []byte{0, 0, 0, 0}}, 0, none},
		"address of all ones":      {[]any{acctFramedIP, []byte{255, 255, 255, 255}}, 0, none},
		"the last address":         {[]any{acctFramedIP, []byte{255, 255, 255, 253}}, 0, func(r Record) bool { return r.FramedIP.IsValid() }},
		"a prefix longer than one": {[]any{acctFramedIPv6Prefix, append([]byte{0, 128, 0x20}, make([]byte, 16)...)}, OddAttribute, none},
		"a prefix of 128 bits":     {[]any{acctFramedIPv6Prefix, append([]byte{0, 128, 0x20}, make([]byte, 15)...)}, 0, func(r Record) bool { return len(r.FramedIPv6) == 1 }},
		"a prefix of 16 bits":      {[]any{acctDelegatedIPv6Prefix, []byte{0, 16, 0x20, 1}}, 0, func(r Record) bool { return len(r.Delegated) == 1 && len(r.FramedIPv6) == 1 }},
		"a prefix of 15 bits":      {[]any{acctDelegatedIPv6Prefix, []byte{0, 15, 0x20, 1}}, OddAttribute, none},
		"bits beyond the length":   {[]any{acctFramedIPv6Prefix, []byte{0, 17, 0x20, 1}}, OddAttribute, none},

		"NAS-Port-Id before NAS-Port": {[]any{acctNASPortID, "eth1", acctNASPort, 17}, 0, func(r Record) bool { return r.NASPort == "eth1" }},
		"NAS-Port before NAS-Port-Id": {[]any{acctNASPort, 17, acctNASPortID, "eth1"}, 0, func(r Record) bool { return r.NASPort == "eth1" }},
		"NAS-Port alone":              {[]any{acctNASPort, 17}, 0, func(r Record) bool { return r.NASPort == "17" }},
		"the first Class of ours": {[]any{attrClass, "another's", attrClass, first.Append(nil), attrClass, second.Append(nil)}, 0,
			func(r Record) bool { return r.Cookie == first }},
	} {
		r, odd := parse(t, append(usual[:len(usual):len(usual)], c.attrs...)...)
		if odd != c.odd || r.Kind != KindInterim || !c.want(r) {
			t.Errorf("%s: odd %b, want %b: %+v", name, odd, c.odd, r)
		}
	}
	r, _ := parse(t, acctStatusType, 1, acctSessionID, "a")
	if at, known := r.start(); !known || !at.Equal(t0) {
		t.Errorf("a Start began at %v, known %v", at, known)
	}
	v, err := ParseView(accountingRequest(usual...))
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := ParseRecord(7, v, t0.Add(1999*time.Nanosecond).In(time.FixedZone("", 3600))); r.Received != t0.Add(time.Microsecond) {
		t.Errorf("received at %v", r.Received)
	}
}
