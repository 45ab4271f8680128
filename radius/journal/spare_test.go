package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

// headerBefore is the header of a segment of the form before.
func headerBefore(number, previousEnd int64) []byte {
	h := header(number, previousEnd)
	copy(h, magicBefore)
	binary.BigEndian.PutUint32(h[headerBytes-4:], crc32.Checksum(h[:headerBytes-4], castagnoli))
	return h
}

// framedBefore appends a record without a seed.
func framedBefore(dst []byte, payload string) []byte {
	at := len(dst)
	dst = appendFrame(dst, []byte(payload))
	sealFrame(dst[at:], 0)
	return dst
}

func write(t *testing.T, dir string, number int64, b []byte) {
	t.Helper()
	if err := os.WriteFile(segmentPath(dir, number), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWhatAFileHeldBeforeIsNoRecord has whole records of an earlier segment begin exactly where the records of the later
// one end, as when the last write to a file that is written again did not reach the disk.
func TestWhatAFileHeldBeforeIsNoRecord(t *testing.T) {
	want := numbered(10)
	for name, old := range map[string][]byte{
		"of an earlier segment": func() []byte {
			b := header(4, 0)
			for range 40 {
				b = framed(b, 4, "stale 99")
			}
			return b
		}(),
		"of the form before": func() []byte {
			b := headerBefore(4, 0)
			for range 40 {
				b = framedBefore(b, "stale 99")
			}
			return b
		}(),
		"zeros": make([]byte, 4096),
	} {
		for torn := range 10 { // bytes of a record that was not written whole
			t.Run(fmt.Sprintf("%s, %d", name, torn), func(t *testing.T) {
				dir := t.TempDir()
				b := header(5, 0)
				for _, r := range want {
					b = framed(b, 5, r)
				}
				b = append(b, framed(nil, 5, "torn 100")[:torn]...)
				write(t, dir, 5, append(b, old[len(b):]...))
				j := open(t, Config{Dir: dir})
				equal(t, all(t, j, Cursor{}), want)
				put(t, j, "after")
				_ = j.Close()
				equal(t, all(t, open(t, Config{Dir: dir}), Cursor{}), append(want[:10:10], "after"))
			})
		}
	}
}

func TestSegmentsOfTheFormBeforeAreRead(t *testing.T) {
	dir := t.TempDir()
	first := framedBefore(framedBefore(headerBefore(1, 0), "one"), "two")
	write(t, dir, 1, first)
	write(t, dir, 2, append(framedBefore(headerBefore(2, int64(len(first))), "three"), 1, 2, 3))
	j := open(t, Config{Dir: dir})
	put(t, j, "four")
	want := []string{"one", "two", "three", "four"}
	equal(t, all(t, j, Cursor{}), want)
	at := Cursor{2, int64(headerBytes)}
	if from, kept := j.Start(at); from != at || !kept {
		t.Errorf("a cursor kept for it leads to %v, %v", from, kept)
	}
	_ = j.Close()
	equal(t, all(t, open(t, Config{Dir: dir}), Cursor{}), want)
}

// spareReady waits until a file is ready.
func spareReady(t testing.TB, j *Journal) {
	t.Helper()
	for deadline := time.Now().Add(patience); !j.spare.ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no file is made ready")
		}
	}
}

// TestDrainedSegmentsAreWrittenAgain follows one file through its lives.
func TestDrainedSegmentsAreWrittenAgain(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), SegmentBytes: 20_000})
	long := strings.Repeat("x", 500)
	put(t, j, long)
	spareReady(t, j) // made of zeros, because the first segment grows
	put(t, j, long)  // into it
	if j.End().Segment != 2 {
		t.Fatalf("the growing segment goes on though a file is ready: %v", j.End())
	}
	second, err := os.Stat(segmentPath(j.cfg.Dir, 2))
	if err != nil || second.Size() != 20_000 {
		t.Fatalf("%v, %v", second.Size(), err)
	}
	if b, s := j.Backlog(), j.Size(); b > 2000 || s > 2000 {
		t.Errorf("backlog %d and size %d count bytes that hold no record", b, s)
	}
	for i := 0; j.End().Segment < 3; i++ {
		put(t, j, fmt.Sprint(i, long))
		if end := j.End(); end.Segment == 2 && end.Offset > 10_500 {
			spareReady(t, j) // of zeros again, because nothing was drained
		}
	}
	if used := j.segments[1].end; used < 19_000 || used > 20_000 {
		t.Errorf("the second segment is used to byte %d", used)
	}
	if err := j.Drained(j.End()); err != nil {
		t.Fatal(err)
	}
	spareReady(t, j)
	var want []string
	for i := 0; j.End().Segment < 4; i++ {
		want = append(want, fmt.Sprint(i, long))
		put(t, j, want[i])
	}
	fourth, err := os.Stat(segmentPath(j.cfg.Dir, 4))
	if err != nil || !os.SameFile(second, fourth) {
		t.Errorf("the fourth segment is not in the file of the second: %v", err)
	}
	if got := all(t, j, Cursor{}); got[len(got)-1] != want[len(want)-1] {
		t.Error("the last record is not the last that was written")
	}
	if n := testutil.ToFloat64(j.m.errors.WithLabelValues("prepare")); n != 0 {
		t.Errorf("%v files could not be made ready", n)
	}
	_ = j.Close()
	if last, err := os.Stat(segmentPath(j.cfg.Dir, 4)); err != nil || last.Size() > 2000 {
		t.Errorf("a closed journal ends with %d bytes, %v", last.Size(), err)
	}
	if _, err := os.Stat(filepath.Join(j.cfg.Dir, spareName)); !os.IsNotExist(err) {
		t.Errorf("a closed journal leaves its spare file: %v", err)
	}
}

// TestNoRoomForASpareFile: a file system that is nearly full, and one where the file cannot be made, keep nothing from
// being written.
func TestNoRoomForASpareFile(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), SegmentBytes: 1 << 55})
	if f, err := j.spare.fill(); f != nil || err != nil {
		t.Errorf("made a file without room for it: %v", err)
	}
	dir := t.TempDir()
	j = open(t, Config{Dir: dir, SegmentBytes: 1000})
	if err := os.Mkdir(filepath.Join(dir, spareName), 0o700); err != nil {
		t.Fatal(err)
	}
	want := numbered(100)
	for _, r := range want {
		put(t, j, r)
	}
	equal(t, all(t, j, Cursor{}), want)
	for deadline := time.Now().Add(patience); testutil.ToFloat64(j.m.errors.WithLabelValues("prepare")) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("that no file can be made is not counted")
		}
	}
	_ = os.Remove(filepath.Join(dir, spareName))
}

// crashed copies a journal's files as a power cut would leave them: of what lies behind the last durable record nothing is
// certain.
func crashed(t *rapid.T, j *Journal, dir string) {
	names, err := filepath.Glob(filepath.Join(j.cfg.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	end := j.End()
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == segmentPath(j.cfg.Dir, end.Segment) {
			tail := b[end.Offset:]
			switch rapid.IntRange(0, 3).Draw(t, "tail") {
			case 1: // of an unfinished write some reached the disk
				next := framed(nil, end.Segment, "unfinished")
				copy(tail, next[:rapid.IntRange(0, len(next)-1).Draw(t, "written")])
			case 2:
				copy(tail, rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "garbage"))
			case 3: // of several pages the first did not
				if len(tail) > 100 {
					copy(tail[50:], framed(nil, end.Segment, "later"))
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashesOfAJournalThatIsDrained writes, drains and crashes at random. After each crash the journal holds what was
// durable and not drained, in order, and nothing else.
func TestCrashesOfAJournalThatIsDrained(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		again := 0
		var kept []string // durable, perhaps drained
		drained := 0
		n := 0
		for range rapid.IntRange(2, 3).Draw(rt, "lives") {
			j, err := Open(Config{Dir: dir, SegmentBytes: 300})
			if err != nil {
				rt.Fatal(err)
			}
			got := all(t, j, Cursor{})
			if len(got) > len(kept) || len(got) < len(kept)-drained {
				rt.Fatalf("%d records, want %d, of which %d were drained", len(got), len(kept), drained)
			}
			for i, r := range kept[len(kept)-len(got):] {
				if got[i] != r {
					rt.Fatalf("record %d is %q, want %q", i, got[i], r)
				}
			}
			kept, drained = got, 0
			for range rapid.IntRange(0, 25).Draw(rt, "records") {
				r := fmt.Sprintf("%08d%s", n, bytes.Repeat([]byte("."), rapid.SampledFrom([]int{0, 0, 0, 50}).Draw(rt, "length")))
				n++
				if err := try(j, r); err != nil {
					rt.Fatal(err)
				}
				kept = append(kept, r)
				if rapid.IntRange(0, 9).Draw(rt, "drain") == 0 {
					if err := j.Drained(j.End()); err != nil {
						rt.Fatal(err)
					}
					drained = len(kept)
				}
				if rapid.Bool().Draw(rt, "wait") {
					for j.spare.busyNow() {
						time.Sleep(10 * time.Microsecond)
					}
				}
			}
			for j.spare.busyNow() {
				time.Sleep(10 * time.Microsecond)
			}
			copied := filepath.Join(t.TempDir(), fmt.Sprint(again))
			again++
			if err := os.Mkdir(copied, 0o700); err != nil {
				rt.Fatal(err)
			}
			crashed(rt, j, copied)
			_ = j.Close()
			dir = copied
		}
	})
}

func (s *spare) busyNow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

// TestSegmentsChangeWhileOthersAreDrained has a drained segment come back at the moment at which the next one begins: each
// must stay the file it was.
func TestSegmentsChangeWhileOthersAreDrained(t *testing.T) {
	s := &spare{dir: t.TempDir(), bytes: 100}
	write(t, s.dir, 1, make([]byte, 100))
	write(t, s.dir, 2, make([]byte, 100))
	if err := s.keepOrRemove(segmentPath(s.dir, 1)); err != nil {
		t.Fatal(err)
	}
	f, room := s.take()
	if f == nil || room != 100 {
		t.Fatalf("the drained segment was not kept: %v, %d", f, room)
	}
	defer f.Close()
	taken, _ := f.Stat()
	if err := s.keepOrRemove(segmentPath(s.dir, 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.begin(f, 3, 50); err != nil {
		t.Fatal(err)
	}
	if begun, err := os.Stat(segmentPath(s.dir, 3)); err != nil || !os.SameFile(begun, taken) {
		t.Fatalf("the segment that has begun is not the file that was taken: %v", err)
	}
	if _, err := os.Stat(s.path()); !os.IsNotExist(err) {
		t.Errorf("a spare file that nobody knows of: %v", err)
	}
}

// TestAClosedJournalDeletesNothing: its folder has another owner by the time its last records are drained.
func TestAClosedJournalDeletesNothing(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 200}
	j := open(t, cfg)
	want := numbered(30)
	for _, r := range want {
		put(t, j, r)
	}
	_ = j.Close()
	next := open(t, cfg)
	if err := j.Drained(j.End()); err != nil {
		t.Fatal(err)
	}
	equal(t, all(t, next, Cursor{}), want)
}
