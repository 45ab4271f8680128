package radius

// End closes a session that a boot which named itself with identifier (empty: the whole device) ended, and tells whether
// it did.
func (b Boot) End(identifier string, s *Session) bool {
	if !b.ends(identifier, s) {
		return false
	}
	s.infer(b.By, b.At, CauseNASReboot)
	return !s.Open()
}

// bootAtOnce is how many sessions an Accounting-On or -Off ends before anything else happens. Those of a device with more
// are ended while other records are folded.
const bootAtOnce = 2000

// boot ends the sessions that an Accounting-On or -Off ends.
func (t *Sessions) boot(r *Record) Change {
	t.boots.Note(r)
	if t.CountOf(r.Key.Device) <= bootAtOnce {
		return t.endOf(r)
	}
	t.booting.Add(1)
	go func(r Record) {
		defer t.booting.Add(-1)
		t.endOf(&r)
	}(*r)
	return Closed
}

// bootFirst ends the session of a record before the record is folded, when an earlier boot should have and has not come
// to it yet: what a session has been through must not depend on who was quicker.
func (t *Sessions) bootFirst(r *Record) {
	if r.Kind == KindApplied || r.Kind == KindClosed {
		return
	}
	if b := t.boots.Of(r); !b.At.IsZero() {
		t.end(r.Key, r.Received, func(s *Session) bool { return b.End(r.NASIdentifier, s) })
	}
}

// endOf goes through the table and ends what a boot ended.
func (t *Sessions) endOf(r *Record) Change {
	b := BootOf(r)
	change := Unchanged
	for i := range t.shards {
		doomed := t.shards[i].openOnes(func(s *Session) bool { return s.Key.Device == r.Key.Device && b.ends(r.NASIdentifier, s) })
		for _, s := range doomed {
			if t.end(s.Key, r.Received, func(s *Session) bool { return b.End(r.NASIdentifier, s) }) {
				change = Closed
			}
		}
	}
	return change
}
