package radius

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"enlace/nas"
)

// TestWhatIsNotDurableIsNotAnswered gives a waiting answer the journal's word that its disk refused the record.
func TestWhatIsNotDurableIsNotAnswered(t *testing.T) {
	a, _, _ := testAccounting(t, nil)
	var refused, kept done
	for d, err := range map[*done]error{&refused: errors.New("no space left on device"), &kept: nil} {
		d.wg.Add(1)
		w := a.waiting.Get().(*pendingAnswer)
		w.answer = d
		w.Durable(nil, err)
	}
	AnswerAll(a.answers)
	refused.wg.Wait()
	kept.wg.Wait()
	if refused.dropped != 1 || kept.dropped != 0 || len(a.answers) != 1 {
		t.Errorf("%d and %d were dropped, %d answered", refused.dropped, kept.dropped, len(a.answers))
	}
	a.answers = nil
}

// TestWhatWasAppliedStays: what a CoA-Request gave a session is in the table at once, and its entry in the journal does
// not come back to it when something else was applied since.
func TestWhatWasAppliedStays(t *testing.T) {
	a, _, sessions := testAccounting(t, nil)
	var d done
	submit := func(kind, seconds int) {
		d.wg.Add(1)
		if !a.Submit(&nas.Device{ID: 7}, accountingRequest(acctStatusType, kind, acctSessionID, "a", acctSessionTime, seconds), netip.MustParseAddrPort("192.0.2.1:1646"), t0, &d) {
			t.Fatal("refused")
		}
		d.wg.Wait()
	}
	key := nas.SessionKey{Device: 7, ID: "a"}
	known := func(seconds int64) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if s, ok := sessions.Get(key); ok && s.Seconds == seconds {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("not folded: %+v", s)
			}
		}
	}
	submit(1, 0)
	known(0)
	a.SetApplied(key, 5, t0)
	if s, _ := sessions.Get(key); s.Applied != 5 {
		t.Errorf("applied %v", s.Applied)
	}
	sessions.SetApplied(key, 9)
	submit(3, 300) // after which the entry has been read
	known(300)
	if s, _ := sessions.Get(key); s.Applied != 9 {
		t.Errorf("applied %v, want what came last", s.Applied)
	}
}
