package radius

import (
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// After its access server has turned to this node, a session's counters hold what another node has stored.
func TestASessionSeenInItsMidstHasNotGrownByAllOfIt(t *testing.T) {
	table := NewSessions()
	var told []contracts.Traffic
	table.Grown = func(_ *Session, _ time.Time, by contracts.Traffic) { told = append(told, by) }
	say := func(id string, kind Kind, seconds int64, up uint64) {
		at := t0.Add(time.Duration(seconds) * time.Second)
		table.Apply(&Record{Kind: kind, Key: nas.SessionKey{Device: 1, ID: id}, Login: "ana", Received: at, Event: at,
			Seconds: seconds, TimeKnown: true, Input: Octets{N: up, Known: true}})
	}
	say("elsewhere", KindInterim, 86400, 9_000_000)
	say("elsewhere", KindInterim, 86700, 9_000_050)
	say("here", KindStart, 0, 0)
	say("here", KindInterim, 300, 70)
	say("ended", KindStop, 3600, 8_000_000)
	if len(told) != 2 || told[0].Up != 50 || told[1].Up != 70 {
		t.Errorf("grown by %v, want 50 and 70", told)
	}
}
