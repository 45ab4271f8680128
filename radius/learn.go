package radius

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"enlace/contracts"
)

// learning is what first logins have shown and the directory's entries do not hold yet. It counts at once, with the
// database or without, and goes away when the entry has come with the value, or in a newer version without it.
type learning struct {
	mu   sync.RWMutex
	by   map[contracts.AccessID]*lesson
	wake chan struct{} // something is to be written
}

type lesson struct {
	line   *contracts.Line // the entry's, with what was learned; immutable
	seen   contracts.Learned
	stored bool
}

// of is the line of an entry as it is in force, with what was learned since.
func (l *learning) of(s *Subscriber) *contracts.Line {
	if !s.Line.Learns() {
		return s.Line
	}
	l.mu.RLock()
	known := l.by[s.Access]
	l.mu.RUnlock()
	if known != nil && known.line.Version == s.Line.Version {
		return known.line
	}
	return s.Line
}

// learn takes what a login showed, unless another login was first, and gives the line that is then in force.
func (l *learning) learn(s *Subscriber, seen contracts.Learned) *contracts.Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := *s.Line
	known := l.by[s.Access]
	if known != nil && known.line.Version == line.Version {
		line = *known.line
	}
	if !line.Learn(&seen) {
		if known != nil && known.line.Version == line.Version {
			return known.line
		}
		return s.Line
	}
	lore := *line.Lore()
	lore.Access, lore.At = s.Access, seen.At
	next := &lesson{line: &line, seen: lore}
	if l.by == nil {
		l.by = map[contracts.AccessID]*lesson{}
	}
	l.by[s.Access] = next
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return next.line
}

// settle forgets a lesson that a new entry makes needless: it holds the values, or is of another version.
func (l *learning) settle(s *Subscriber) {
	l.mu.RLock()
	known := l.by[s.Access]
	l.mu.RUnlock()
	if known == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known = l.by[s.Access]
	if known == nil {
		return
	}
	if s.Line == nil || s.Line.Version != known.line.Version {
		delete(l.by, s.Access)
		return
	}
	if line := *s.Line; !line.Learn(&known.seen) {
		delete(l.by, s.Access)
	}
}

// unstored lists what the database does not know yet.
func (l *learning) unstored() (list []*lesson) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, known := range l.by {
		if !known.stored {
			list = append(list, known)
		}
	}
	return list
}

func (l *learning) markStored(done *lesson) {
	l.mu.Lock()
	done.stored = true
	l.mu.Unlock()
}

// LearnedStore records durably what bindings learned; recording the same twice is no harm.
type LearnedStore interface {
	SaveLearned(ctx context.Context, l contracts.Learned) error
}

// KeepLearned writes what bindings learn until ctx ends, and then once more. What cannot be written stays in force in
// memory and is tried again.
func (d *Directory) KeepLearned(ctx context.Context, store LearnedStore, log zerolog.Logger) {
	retry := time.NewTicker(2 * time.Second)
	defer retry.Stop()
	failing := false
	write := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		for _, known := range d.learning.unstored() {
			if err := store.SaveLearned(ctx, known.seen); err != nil {
				if !failing {
					log.Warn().Err(err).Msg("what a binding learned cannot be recorded; it is in force and tried again")
				}
				failing = true
				return
			}
			failing = false
			d.learning.markStored(known)
		}
	}
	for {
		select {
		case <-ctx.Done():
			write(context.WithoutCancel(ctx))
			return
		case <-d.learning.wake:
			write(ctx)
		case <-retry.C:
			write(ctx)
		}
	}
}
