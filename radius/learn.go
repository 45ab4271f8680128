package radius

import (
	"context"
	"slices"
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
	kept   bool // in the file; guarded by that
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

// Recall puts in force again what an earlier run of the program learned and could not record. It is called once the
// directory is loaded; what bindings have been set or cleared meanwhile, or have learned, stays.
func (d *Directory) Recall(learned []contracts.Learned) {
	for _, seen := range learned {
		if s := d.accesses.find(seen.Access); s != nil && s.Line != nil && s.Line.Version == seen.Version {
			d.learning.learn(s, seen)
		}
	}
	for _, known := range d.learning.unstored() {
		known.kept = true
	}
}

// KeepLearned writes what bindings learn to storage until ctx ends, and then once more. What is not written yet is in
// force in memory, and in the file.
func (d *Directory) KeepLearned(ctx context.Context, store LearnedStore, file *Lessons, log zerolog.Logger) {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	news := make(chan struct{}, 1)
	keeping.Go(func() { d.storeLearned(ctx, news, store, file, log) })
	failing := false
	for {
		if err := d.learning.keep(file); err == nil {
			failing = false
		} else if !failing {
			failing = true
			log.Warn().Err(err).Msg("what a binding learned cannot be written to the data folder; it is in force, and lost if the program ends before it is in the database")
		}
		select {
		case news <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-d.learning.wake:
		}
	}
}

// keep writes to the file what is neither there nor stored.
func (l *learning) keep(file *Lessons) error {
	file.mu.Lock()
	defer file.mu.Unlock()
	fresh := slices.DeleteFunc(l.unstored(), func(known *lesson) bool { return known.kept })
	if len(fresh) == 0 {
		return nil
	}
	if err := file.keep(fresh); err != nil {
		return err
	}
	for _, known := range fresh {
		known.kept = true
	}
	return nil
}

// forget empties the file, unless there is something that is not stored.
func (l *learning) forget(file *Lessons) error {
	file.mu.Lock()
	defer file.mu.Unlock()
	if len(l.unstored()) > 0 {
		return nil
	}
	return file.clear()
}

func (d *Directory) storeLearned(ctx context.Context, news <-chan struct{}, store LearnedStore, file *Lessons, log zerolog.Logger) {
	retry := time.NewTicker(2 * time.Second)
	defer retry.Stop()
	failing := false
	write := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		for _, known := range d.learning.unstored() {
			if err := store.SaveLearned(ctx, known.seen); err != nil {
				return err
			}
			d.learning.markStored(known)
		}
		return d.learning.forget(file)
	}
	for {
		err := error(nil)
		select {
		case <-ctx.Done():
			err = write(context.WithoutCancel(ctx))
		case <-news:
			err = write(ctx)
		case <-retry.C:
			err = write(ctx)
		}
		if err != nil && !failing {
			log.Warn().Err(err).Msg("what a binding learned cannot be recorded; it is in force and tried again")
		}
		failing = err != nil
		if ctx.Err() != nil {
			return
		}
	}
}
