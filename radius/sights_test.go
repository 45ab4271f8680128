package radius

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"enlace/nas"
)

// TestSightsOfAccounting plays devices of several habits and looks at what is made of each.
func TestSightsOfAccounting(t *testing.T) {
	cookie := nas.Cookie{Access: 7, Granted: 0x0100000000000042}
	class := string(cookie.Append(nil))
	type packet = []any
	stamp := func(off int) int { return int(t0.Unix()) + off }
	var v6 = string([]byte{0, 56, 0x20, 1, 0xd, 0xb8, 0, 0, 1})
	for _, x := range []struct {
		name    string
		packets []packet // each a minute after the one before
		want    map[nas.Sight]int64
	}{
		{"as it should be", []packet{
			{acctStatusType, 7},
			{acctStatusType, 1, acctSessionID, "81a00001", attrUserName, "ana", attrClass, class, acctEventTimestamp, stamp(60), acctDelayTime, 0, acctDelegatedIPv6Prefix, v6},
			{acctStatusType, 3, acctSessionID, "81a00001", attrUserName, "ana", attrClass, class, acctEventTimestamp, stamp(121), acctDelayTime, 0, acctSessionTime, 60,
				acctInputOctets, 10, acctInputGigawords, 0},
			{acctStatusType, 2, acctSessionID, "81a00001", attrUserName, "ana", attrClass, class, acctEventTimestamp, stamp(180), acctDelayTime, 0, acctSessionTime, 120},
			{acctStatusType, 8},
		}, map[nas.Sight]int64{nas.SawOn: 1, nas.SawOff: 1, nas.SawIDHex: 3, nas.SawIDNew: 1, nas.SawStopOnce: 1, nas.SawClassEcho: 3, nas.SawDelay: 3,
			nas.SawStampClose: 3, nas.SawIPv6: 1, nas.SawNoIPv6: 2, nas.SawNoPorts: 3, nas.SawGigawords: 1}},
		{"Class of many kinds", []packet{
			{acctStatusType, 1, acctSessionID, "a/b", attrUserName, "ana", attrClass, class, attrClass, "other"},
			{acctStatusType, 3, acctSessionID, "a/b", attrUserName, "ana", attrClass, class + "\x00"},
			{acctStatusType, 3, acctSessionID, "a/b", attrUserName, "ana", attrClass, "ENL1:7:0100000000000042"},
			{acctStatusType, 3, acctSessionID, "a/b", attrUserName, "ana"},
		}, map[nas.Sight]int64{nas.SawIDText: 4, nas.SawIDNew: 1, nas.SawInterimKept: 1, nas.SawClassSeveral: 1, nas.SawClassAltered: 2, nas.SawClassNone: 1, nas.SawNoDelay: 4,
			nas.SawStampNone: 4, nas.SawNoIPv6: 4, nas.SawNoPorts: 4}},
		{"clocks", []packet{
			{acctStatusType, 1, acctSessionID, "\xff1", attrUserName, "ana", acctEventTimestamp, stamp(360)},
			{acctStatusType, 3, acctSessionID, "\xff1", attrUserName, "ana", acctEventTimestamp, stamp(4000)},
			{acctStatusType, 3, acctSessionID, "\xff1", attrUserName, "ana", acctEventTimestamp, stamp(90), acctDelayTime, 30},
		}, map[nas.Sight]int64{nas.SawIDBytes: 3, nas.SawIDNew: 1, nas.SawClassNone: 3, nas.SawNoDelay: 2, nas.SawDelay: 1, nas.SawStampOff: 1, nas.SawStampWild: 1,
			nas.SawStampClose: 1, nas.SawNoIPv6: 3, nas.SawNoPorts: 3}},
		{"a Stop again, and the id again", []packet{
			{acctStatusType, 1, acctSessionID, "1", attrUserName, "ana"},
			{acctStatusType, 2, acctSessionID, "1", attrUserName, "ana", acctSessionTime, 60},
			{acctStatusType, 2, acctSessionID, "1", attrUserName, "ana", acctSessionTime, 60, acctDelayTime, 60},
			{acctStatusType, 1, acctSessionID, "1", attrUserName, "bia"},
		}, map[nas.Sight]int64{nas.SawIDHex: 4, nas.SawIDNew: 1, nas.SawIDAgain: 1, nas.SawStopOnce: 1, nas.SawStopAgain: 1, nas.SawClassNone: 4,
			nas.SawNoDelay: 3, nas.SawDelay: 1, nas.SawStampNone: 4, nas.SawNoIPv6: 4, nas.SawNoPorts: 4}},
		{"a wrapped counter", []packet{
			{acctStatusType, 1, acctSessionID, "2", attrUserName, "ana"},
			{acctStatusType, 3, acctSessionID, "2", attrUserName, "ana", acctSessionTime, 60, acctOutputOctets, 4_000_000_000},
			{acctStatusType, 3, acctSessionID, "2", attrUserName, "ana", acctSessionTime, 120, acctOutputOctets, 1000},
		}, map[nas.Sight]int64{nas.SawIDHex: 3, nas.SawIDNew: 1, nas.SawWrap: 1, nas.SawClassNone: 3, nas.SawNoDelay: 3, nas.SawStampNone: 3,
			nas.SawNoIPv6: 3, nas.SawNoPorts: 3}},
	} {
		a, _, _ := testAccounting(t, nil)
		table := NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), []nas.Device{{ID: 7, Name: "bras", Secret: []byte("s3cret"), InterimSeconds: 60}})
		a.Watch(table)
		var d done
		for i, attrs := range x.packets {
			d.wg.Add(1)
			if !a.Submit(&nas.Device{ID: 7}, accountingRequest(attrs...), netip.MustParseAddrPort("192.0.2.1:1646"), t0.Add(time.Duration(i)*time.Minute), &d) {
				t.Fatal("refused")
			}
			d.wg.Wait()
		}
		a.journal.Close() // all is folded
		got := map[nas.Sight]int64{}
		for sight, n := range table.Sightings()[7] {
			got[sight] = n.N
		}
		if fmt.Sprint(got) != fmt.Sprint(x.want) {
			for s := range nas.Sight(nas.Sights) {
				if got[s] != x.want[s] {
					t.Errorf("%s: %s seen %d times, want %d", x.name, s.Name(), got[s], x.want[s])
				}
			}
		}
	}
}

// TestInterimsAreHeldAgainstWhatWasAsked: the interval of a session that has been heard of often enough.
func TestInterimsAreHeldAgainstWhatWasAsked(t *testing.T) {
	for every, want := range map[time.Duration]nas.Sight{60 * time.Second: nas.SawInterimKept, 66 * time.Second: nas.SawInterimKept, 300 * time.Second: nas.SawInterimOther, 30 * time.Second: nas.SawInterimOther} {
		sessions := NewSessions()
		table := NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), []nas.Device{{ID: 7, Name: "bras", Secret: []byte("s3cret"), InterimSeconds: 60}})
		for i := range 6 {
			kind := 3
			if i == 0 {
				kind = 1
			}
			b := accountingRequest(acctStatusType, kind, acctSessionID, "1", attrUserName, "ana", acctSessionTime, i*int(every/time.Second))
			v, err := ParseView(b)
			if err != nil {
				t.Fatal(err)
			}
			r, _ := ParseRecord(7, v, t0.Add(time.Duration(i)*every))
			table.apply(b, &r, sessions)
		}
		seen := table.Sightings()[7]
		if s := seen[want]; s.N != 3 || s.Value != int64(every/time.Second) {
			t.Errorf("every %s: %+v", every, seen)
		}
		other := nas.SawInterimKept + nas.SawInterimOther - want
		if seen[other].N != 0 {
			t.Errorf("every %s: also %+v", every, seen[other])
		}
		table.SightingsStored(7, seen)
		if left := table.Sightings(); len(left) != 0 {
			t.Errorf("what is stored is told again: %v", left)
		}
	}
}

// TestAMarkedClassTellsWhetherItComesBack: only the next record of a session that was probed counts.
func TestAMarkedClassTellsWhetherItComesBack(t *testing.T) {
	cookie := nas.Cookie{Access: 7, Granted: 0x0100000000000042}
	for name, x := range map[string]struct {
		class []byte
		want  nas.Sight
	}{"taken": {cookie.AppendMarked(nil), nas.SawClassTaken}, "kept": {cookie.Append(nil), nas.SawClassKept}} {
		if got, ok := nas.ParseCookie(x.class); !ok || got != cookie {
			t.Fatalf("%s: %q is %+v", name, x.class, got)
		}
		sessions := NewSessions()
		table := NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), []nas.Device{{ID: 7, Name: "bras", Secret: []byte("s3cret"), InterimSeconds: 60}})
		send := func(kind int, id string, class []byte) {
			b := accountingRequest(acctStatusType, kind, acctSessionID, id, attrUserName, "ana", attrClass, class)
			v, err := ParseView(b)
			if err != nil {
				t.Fatal(err)
			}
			r, _ := ParseRecord(7, v, t0)
			table.apply(b, &r, sessions)
		}
		send(1, "1", cookie.Append(nil))
		table.Mark(nas.SessionKey{Device: 7, ID: "1"})
		send(3, "2", cookie.Append(nil))
		for range 3 {
			send(3, "1", x.class)
		}
		seen := table.Sightings()[7]
		if seen[x.want].N != 1 || seen[nas.SawClassTaken].N+seen[nas.SawClassKept].N != 1 || seen[nas.SawClassEcho].N != 5 {
			t.Errorf("%s: %+v", name, seen)
		}
	}
}
