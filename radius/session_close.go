package radius

import (
	"encoding/binary"
	"time"

	"enlace/nas"
)

// Close takes an open session for ended at an instant, durably, without a Stop: nothing later than at is known of it.
// Records of a later event open it again. It reports whether the journal took it.
func (a *Accounting) Close(s *Session, by ClosedBy, at time.Time) bool {
	r := Record{Kind: KindClosed, Key: s.Key, Received: instant(at), Sent: instant(at), Event: instant(at), Closing: Closing{s.StartedAt, by}}
	var head [entryHead + 8 + 1]byte
	putEntryHead(head[:], entryClosed, r.Event, s.Key.Device)
	binary.BigEndian.PutUint64(head[entryHead:], uint64(s.StartedAt.UnixMicro()))
	head[entryHead+8] = byte(len(by))
	if !a.journal.Append(nil, head[:], append([]byte(by), s.Key.ID...)) {
		return false
	}
	a.sessions.Apply(&r)
	return true
}

// readClosed reads what Close wrote after the head of its entry.
func readClosed(dev nas.DeviceID, at time.Time, rest []byte) (Record, bool) {
	if len(rest) < 9 || len(rest) <= 9+int(rest[8]) {
		return Record{}, false
	}
	start := time.UnixMicro(int64(binary.BigEndian.Uint64(rest))).UTC()
	by, id := rest[9:9+rest[8]], rest[9+rest[8]:]
	return Record{
		Kind: KindClosed, Key: nas.SessionKey{Device: dev, ID: string(id)}, Received: at, Sent: at, Event: at,
		Closing: Closing{start, ClosedBy(by)},
	}, true
}
