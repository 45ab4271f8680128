package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

const patience = 30 * time.Second

func open(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// told is a Waiter that passes on what it is told.
type told chan error

func (c told) Durable(_ []byte, err error) { c <- err }

// put appends and waits until the record is durable.
func put(t *testing.T, j *Journal, payload string) {
	t.Helper()
	if err := try(j, payload); err != nil {
		t.Fatal(err)
	}
}

func try(j *Journal, payload string) error {
	before := j.End()
	done := make(told, 1)
	if !j.Append(done, []byte(payload)) {
		return errors.New("refused")
	}
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-time.After(patience):
		return errors.New("never told")
	}
	// Readers see it a moment after its waiter has been told.
	for deadline := time.Now().Add(patience); j.End() == before; runtime.Gosched() {
		if time.Now().After(deadline) {
			return errors.New("never to be read")
		}
	}
	return nil
}

// all reads every durable record after a cursor.
func all(t *testing.T, j *Journal, from Cursor) []string {
	t.Helper()
	start, _ := j.Start(from)
	r := j.NewReader(start)
	defer r.Close()
	var found []string
	for {
		payload, err := r.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if payload == nil {
			return found
		}
		found = append(found, string(payload))
	}
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("record %d", i)
	}
	return names
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("record %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestWrittenIsRead(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "deep", "journal"), SegmentBytes: 500}
	want := numbered(100)
	j := open(t, cfg)
	node := j.Node()
	for _, r := range want[:50] {
		put(t, j, r)
	}
	equal(t, all(t, j, Cursor{}), want[:50])
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, cfg)
	for _, r := range want[50:] {
		put(t, j, r)
	}
	equal(t, all(t, j, Cursor{}), want)
	if len(segments(t, cfg.Dir)) < 4 {
		t.Error("the segments are not bounded")
	}
	if j.Node() != node || len(node) != 16 {
		t.Errorf("node %q, then %q", node, j.Node())
	}
	if _, err := Open(cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestReaderFollowsTheWriter(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), SegmentBytes: 2000})
	want := numbered(3000)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, r := range want {
			for !j.Append(nil, []byte(r)[:3], []byte(r)[3:]) {
				time.Sleep(time.Millisecond)
			}
		}
	})
	start, _ := j.Start(Cursor{})
	r := j.NewReader(start)
	defer r.Close()
	for i, w := range want {
		payload, err := r.Next(ctx)
		if err != nil || string(payload) != w {
			t.Fatalf("record %d: %q, %v", i, payload, err)
		}
		if i%500 == 499 {
			if err := j.Drained(r.Cursor()); err != nil {
				t.Fatal(err)
			}
			first := segments(t, j.cfg.Dir)[0]
			if n := fmt.Sprintf(segmentNames, r.Cursor().Segment); filepath.Base(first) != n {
				t.Fatalf("drained into %s, the first segment is %s", n, first)
			}
			// A cursor is good for another reader.
			r.Close()
			at, kept := j.Start(r.Cursor())
			if !kept {
				t.Fatalf("%v is not kept", r.Cursor())
			}
			r = j.NewReader(at)
		}
	}
	wg.Wait()
	if n := j.Backlog(); n < 0 || n > 2000 || j.End().Before(r.Cursor()) {
		t.Errorf("backlog %d, end %v", n, j.End())
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestStart(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), SegmentBytes: 100})
	for _, r := range numbered(20) {
		put(t, j, r)
	}
	end := j.End()
	for name, c := range map[string]struct {
		from, want Cursor
		kept       bool
	}{
		"nothing kept":              {Cursor{}, Cursor{1, int64(headerBytes)}, true},
		"the end":                   {end, end, true},
		"beyond the last segment":   {Cursor{end.Segment + 5, 28}, Cursor{1, int64(headerBytes)}, false},
		"beyond the segment's end":  {Cursor{end.Segment, end.Offset + 1}, Cursor{1, int64(headerBytes)}, false},
		"an earlier segment's end":  {Cursor{1, j.segments[0].end}, Cursor{1, j.segments[0].end}, true},
		"beyond an earlier segment": {Cursor{1, 5000}, Cursor{2, int64(headerBytes)}, false},
	} {
		if got, kept := j.Start(c.from); got != c.want || kept != c.kept {
			t.Errorf("%s: %v %v, want %v %v", name, got, kept, c.want, c.kept)
		}
	}
}

func TestRefusesWhatItCannotHold(t *testing.T) {
	registry := prometheus.NewRegistry()
	j := open(t, Config{Dir: t.TempDir(), PendingRecords: 10, PendingBytes: 1 << 20, Metrics: registry})
	if j.Append(nil, make([]byte, maxPayload+1)) {
		t.Error("took a record that is too large")
	}
	put(t, j, string(make([]byte, maxPayload)))
	put(t, j, "")
	equal(t, all(t, j, Cursor{}), []string{string(make([]byte, maxPayload)), ""})
	// A waiter that does not return holds the writer up; what waits is bounded.
	hold := make(chan struct{})
	j.Append(holding(hold), []byte("x"))
	refused := false
	deadline := time.Now().Add(patience)
	for taken := 0; !refused && time.Now().Before(deadline); taken++ {
		refused = !j.Append(nil, []byte("y"))
		if taken > 100 {
			t.Fatal("the queue has no bound")
		}
	}
	if load := j.Load(); load != 1 {
		t.Errorf("a full queue says that it is %v full", load)
	}
	close(hold)
	if !refused {
		t.Fatal("never refused")
	}
	if err := testutil.GatherAndCompare(registry, bytes.NewBufferString(`
		# HELP enlace_journal_refused_total Records refused because the queue was full or the disk failed.
		# TYPE enlace_journal_refused_total counter
		enlace_journal_refused_total 2
	`), "enlace_journal_refused_total"); err != nil {
		t.Error(err)
	}
	for j.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if load := j.Load(); load != 0 {
		t.Errorf("an empty queue says that it is %v full", load)
	}
	_ = j.Close()
	if load := j.Load(); load != 1 {
		t.Errorf("a closed queue says that it is %v full", load)
	}
	if j.Append(nil, []byte("z")) {
		t.Error("took a record when closed")
	}
	// Another journal can use the same registry once this one is closed.
	open(t, Config{Dir: t.TempDir(), Metrics: registry})
}

type holding chan struct{}

func (h holding) Durable([]byte, error) { <-h }

// damage writes a journal of three segments and closes it, changes a file, and opens it again.
func damage(t *testing.T, change func(dir string, names []string)) (*Journal, []string, error) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 160}
	j := open(t, cfg)
	want := numbered(30)
	for _, r := range want {
		put(t, j, r)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	names := segments(t, cfg.Dir)
	if len(names) < 3 {
		t.Fatalf("only %d segments", len(names))
	}
	trim(t, cfg.Dir)
	change(cfg.Dir, names)
	j, err := Open(cfg)
	if err == nil {
		t.Cleanup(func() { _ = j.Close() })
	}
	return j, want, err
}

func edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// trim cuts off what segments have behind their last record.
func trim(t *testing.T, dir string) {
	t.Helper()
	numbers, _, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbers {
		s, _, _, _ := scanSegment(dir, n)
		if err := os.Truncate(segmentPath(dir, n), s.end); err != nil {
			t.Fatal(err)
		}
	}
}

// framed appends a record of a segment.
func framed(dst []byte, segment int64, payload string) []byte {
	at := len(dst)
	dst = appendFrame(dst, []byte(payload))
	sealFrame(dst[at:], seedOf(segment))
	return dst
}

func TestTornTail(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"cut in the frame":    func(b []byte) []byte { return b[:len(b)-len("record 29")-3] },
		"cut in the payload":  func(b []byte) []byte { return b[:len(b)-1] },
		"payload garbled":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"length garbled":      func(b []byte) []byte { b[len(b)-len("record 29")-frameBytes] = 0xff; return b },
		"zeros instead of it": func(b []byte) []byte { return append(b[:len(b)-len("record 29")-frameBytes], make([]byte, 5000)...) },
	} {
		t.Run(name, func(t *testing.T) {
			j, want, err := damage(t, func(_ string, names []string) { edit(t, names[len(names)-1], change) })
			if err != nil {
				t.Fatal(err)
			}
			put(t, j, "after")
			equal(t, all(t, j, Cursor{}), append(want[:29:29], "after"))
			_ = j.Close()
			equal(t, all(t, open(t, j.cfg), Cursor{}), append(want[:29:29], "after"))
		})
	}
}

func TestWhatACrashLeavesBehindTheAcknowledged(t *testing.T) {
	// A write that failed leaves bytes in a segment which the next segment's header does not count.
	j, want, err := damage(t, func(_ string, names []string) {
		edit(t, names[0], func(b []byte) []byte { return append(framed(b, 1, "never acknowledged"), 1, 2, 3) })
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, all(t, j, Cursor{}), want)

	// A segment that was being made.
	j, want, err = damage(t, func(dir string, names []string) {
		if err := os.WriteFile(segmentPath(dir, int64(len(names)+1)), header(9, 9)[:5], 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, j, "after")
	equal(t, all(t, j, Cursor{}), append(want, "after"))
}

func TestCorruption(t *testing.T) {
	for name, change := range map[string]func(dir string, names []string){
		"garbled in the middle": func(_ string, names []string) {
			edit(t, names[1], func(b []byte) []byte { b[headerBytes+frameBytes+2] ^= 0x10; return b })
		},
		"cut in the middle": func(_ string, names []string) {
			edit(t, names[1], func(b []byte) []byte { return b[:len(b)-1] })
		},
		"a header in the middle": func(_ string, names []string) {
			edit(t, names[1], func(b []byte) []byte { b[3] ^= 1; return b })
		},
		"the last header": func(_ string, names []string) {
			edit(t, names[len(names)-1], func(b []byte) []byte { b[3] ^= 1; return b })
		},
		"a segment gone": func(_ string, names []string) {
			if err := os.Remove(names[1]); err != nil {
				t.Fatal(err)
			}
		},
		"a segment in another's place": func(_ string, names []string) {
			edit(t, names[1], func([]byte) []byte {
				b, err := os.ReadFile(names[0])
				if err != nil {
					t.Fatal(err)
				}
				return b
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := damage(t, change); !errors.Is(err, ErrCorrupt) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

func TestASegmentMovedAside(t *testing.T) {
	j, want, err := damage(t, func(_ string, names []string) {
		if err := os.Rename(names[1], names[1]+".bad"); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := all(t, j, Cursor{})
	if len(got) >= len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
		t.Fatalf("%d of %d records", len(got), len(want))
	}
	if at, kept := j.Start(Cursor{2, 60}); kept || at != (Cursor{3, int64(headerBytes)}) {
		t.Errorf("a cursor in it leads to %v, %v", at, kept)
	}
}

func TestReaderMeetsCorruption(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	put(t, j, "first")
	put(t, j, "second")
	edit(t, segments(t, j.cfg.Dir)[0], func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	start, _ := j.Start(Cursor{})
	r := j.NewReader(start)
	defer r.Close()
	if payload, err := r.Next(context.Background()); err != nil || string(payload) != "first" {
		t.Fatal(payload, err)
	}
	if _, err := r.Next(context.Background()); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestEmptySegmentsLeaveNoTrail(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	for range 5 {
		if err := open(t, cfg).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := segments(t, cfg.Dir); len(n) != 1 {
		t.Errorf("%d segments", len(n))
	}
}

// TestAnyDamageIsSeenOrHarmless changes one byte or the length of one file: what is read afterwards is a beginning of
// what was written, or opening is refused.
func TestAnyDamageIsSeenOrHarmless(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 160}
	j := open(t, cfg)
	want := numbered(30)
	for _, r := range want {
		put(t, j, r)
	}
	_ = j.Close()
	files := map[string][]byte{}
	for _, name := range segments(t, cfg.Dir) {
		files[name], _ = os.ReadFile(name)
	}
	names := segments(t, cfg.Dir)
	rapid.Check(t, func(rt *rapid.T) {
		for name, b := range files {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				rt.Fatal(err)
			}
		}
		name := rapid.SampledFrom(names).Draw(rt, "file")
		b := bytes.Clone(files[name])
		at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "cut") {
			b = b[:at]
		} else {
			b[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "by"))
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			rt.Fatal(err)
		}
		j, err := Open(cfg)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				rt.Fatal(err)
			}
			return
		}
		got := all(t, j, Cursor{})
		_ = j.Close()
		for _, extra := range segments(t, cfg.Dir) {
			if files[extra] == nil {
				_ = os.Remove(extra)
			}
		}
		for i := range got {
			if got[i] != want[i] {
				rt.Fatalf("record %d is %q", i, got[i])
			}
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add(framed(framed(header(1, 0), 1, "one"), 1, "two"))
	f.Add(append(framed(header(1, 0), 1, "one"), framed(nil, 7, "two")...))
	f.Add(header(1, 0))
	f.Add([]byte{})
	f.Add(binary.BigEndian.AppendUint32(header(1, 0), 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(segmentPath(dir, 1), b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(Config{Dir: dir})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		defer j.Close()
		n := len(all(t, j, Cursor{}))
		put(t, j, "after")
		if got := all(t, j, Cursor{}); len(got) != n+1 || got[n] != "after" {
			t.Fatalf("%d records, then %d", n, len(got))
		}
	})
}
