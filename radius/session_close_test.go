package radius

import (
	"net/netip"
	"testing"
	"time"

	"enlace/nas"
)

// TestTheJournalTellsTheSame compares the table with one that reads the journal anew: a session closed by inference, and
// one of a device that has since been told not to swap its counters.
func TestTheJournalTellsTheSame(t *testing.T) {
	a, j, sessions := testAccounting(t, nil)
	from := netip.MustParseAddrPort("192.0.2.1:1646")
	var d done
	send := func(dev *nas.Device, attrs ...any) {
		t.Helper()
		d.wg.Add(1)
		if !a.Submit(dev, accountingRequest(attrs...), from, t0, &d) {
			t.Fatal("refused")
		}
		d.wg.Wait()
	}
	swapped := &nas.Device{ID: 7, SwapOctets: true}
	send(swapped, acctStatusType, 3, acctSessionID, "a", acctSessionTime, 300, acctInputOctets, 500, acctOutputOctets, 5)
	send(&nas.Device{ID: 8}, acctStatusType, 3, acctSessionID, "b", acctSessionTime, 300, acctInputOctets, 5, acctOutputOctets, 500)
	key := nas.SessionKey{Device: 8, ID: "b"}
	for deadline := time.Now().Add(10 * time.Second); sessions.Count() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not applied")
		}
	}
	b, _ := sessions.Get(key)
	if !a.Close(&b, ClosedByStale, b.LastSeen) {
		t.Fatal("not taken")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if a.Close(&b, ClosedByStale, b.LastSeen) {
		t.Error("closed a session that the closed journal does not hold")
	}
	again := NewSessions()
	reader := j.NewReader(Cursor{})
	defer reader.Close()
	for {
		payload, err := reader.TryNext()
		if payload == nil || err != nil {
			break
		}
		r, _, ok := readEntry(payload)
		if !ok {
			t.Fatalf("unreadable: %x", payload)
		}
		again.Apply(&r)
	}
	for _, table := range []*Sessions{sessions, again} {
		s, ok := table.Get(nas.SessionKey{Device: 7, ID: "a"})
		if !ok || s.Input != 5 || s.Output != 500 {
			t.Errorf("swapped: %+v", s)
		}
		if s, ok := table.Get(key); ok || table.Count() != 1 {
			t.Errorf("still open: %+v", s)
		}
	}
	for _, payload := range [][]byte{{}, {0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 200, 1}, {0, 0, 0, 0, 0, 0, 0, 0, 1, 1}} {
		if r, ok := readClosed(7, t0, payload); ok {
			t.Errorf("%x was read as %+v", payload, r)
		}
	}
}
