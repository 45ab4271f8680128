package radius

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"enlace/nas"
	"enlace/radius/journal"
)

// Place is a node's place in its journal, together with sessions that hold at least what the records before it say.
type Place struct {
	Node   string
	Cursor Cursor
}

// Place is where the journal stands: the sessions that the table shows from now on hold every record before it.
func (a *Accounting) Place() Place { return Place{a.journal.Node(), a.journal.End()} }

// Resume is Recover without storage: it takes the open sessions and the boots of a snapshot, and then what the journal has beyond the
// place that was taken before them. Records that they already hold change nothing.
func (a *Accounting) Resume(ctx context.Context, open []Session, boots []NamedBoot, from Place) error {
	for _, b := range boots {
		a.sessions.boots.Remember(b)
	}
	for _, s := range open {
		a.sessions.Adopt(s)
	}
	if from.Node != a.journal.Node() {
		a.log.Warn().Msg("the open sessions are from another journal than the one that is here; reading it from its oldest record")
		from.Cursor = Cursor{}
	}
	return a.replay(ctx, from.Cursor)
}

// Join takes in what storage knows of open sessions beyond this table: what other nodes, or records that are no longer
// in the journal, have opened. It is for a node that started without its storage.
func (a *Accounting) Join(ctx context.Context, store SessionStore) error {
	before, n := a.sessions.Count(), 0
	_, err := store.LoadOpenSessions(ctx, a.journal.Node(), func(s Session) {
		if a.sessions.Adopt(s) {
			n++
		}
	})
	if err != nil {
		return fmt.Errorf("loading the open sessions: %w", err)
	}
	if err := store.LoadBoots(ctx, a.sessions.Boots().Remember); err != nil {
		return err
	}
	a.log.Info().Int("known", before).Int("added", n).Msg("the open sessions are those of the database again")
	return nil
}

// replay applies what the journal has beyond a cursor.
func (a *Accounting) replay(ctx context.Context, from Cursor) error {
	start, ok := a.journal.Start(from)
	if !ok {
		a.log.Warn().Int64("segment", from.Segment).Int64("offset", from.Offset).
			Msg("the journal does not hold the place up to which it was read; reading it from its oldest record")
	}
	reader := a.journal.NewReader(start)
	defer reader.Close()
	n := 0
	for ctx.Err() == nil {
		payload, err := reader.TryNext()
		if err != nil && !errors.Is(err, journal.ErrClosed) {
			return fmt.Errorf("replaying the journal: %w", err)
		}
		if payload == nil {
			a.log.Info().Int("records", n).Int("open", a.sessions.Count()).Msg("accounting is recovered")
			return nil
		}
		n++
		if r, _, ok := readEntry(payload); ok {
			a.sessions.Apply(&r)
		}
	}
	return ctx.Err()
}

// Adopt puts back an open session of a key that the table knows nothing of, and tells the observer. It reports whether
// it did: what the table knows of the key, even that its session has ended, is newer than what is put back.
func (t *Sessions) Adopt(s Session) bool {
	sh := t.shard(s.Key)
	sh.telling.Lock()
	defer sh.telling.Unlock()
	sh.mu.Lock()
	if len(sh.byKey[s.Key]) > 0 {
		sh.mu.Unlock()
		return false
	}
	s.Hearsay = s.Hearsay || s.Heard == 0
	s.Heard = cmp.Or(s.Heard, s.LastSeen.Unix())
	sh.byKey[s.Key] = Lineage{s}
	t.count(nil, &s)
	sh.mu.Unlock()
	if o := t.observer.Load(); o != nil {
		(*o).SessionSeen(s.Session, nas.Report{})
	}
	return true
}

// Open yields every open session, in no order. The table may change meanwhile.
func (t *Sessions) Open(yield func(Session) bool) {
	for i := range t.shards {
		for _, s := range t.shards[i].openOnes(func(*Session) bool { return true }) {
			if !yield(s) {
				return
			}
		}
	}
}
