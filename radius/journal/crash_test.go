package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// This binary runs itself as a child that is killed, or whose disk is full.
const (
	childEnv = "ENLACE_JOURNAL_CHILD"
	dirEnv   = "ENLACE_JOURNAL_DIR"
)

func TestMain(m *testing.M) {
	children := map[string]func(dir string) error{"load": load, "drained": drained, "full": full, "limit": limit}
	run, ok := children[os.Getenv(childEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := run(os.Getenv(dirEnv)); err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+what, dirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

const writers = 16

// load appends until it is killed and writes "writer number" once that record is durable.
func load(dir string) error {
	j, err := Open(Config{Dir: dir, SegmentBytes: 50_000})
	if err != nil {
		return err
	}
	return appendAll(j)
}

// drained is load with everything drained at once, so that segments are written again.
func drained(dir string) error {
	j, err := Open(Config{Dir: dir, SegmentBytes: 5000})
	if err != nil {
		return err
	}
	go func() {
		start, _ := j.Start(Cursor{})
		for r := j.NewReader(start); ; {
			_, err := r.Next(context.Background())
			if err == nil {
				err = j.Drained(r.Cursor())
			}
			if err != nil {
				fmt.Println("draining:", err) // which the parent does not understand
			}
		}
	}()
	return appendAll(j)
}

func appendAll(j *Journal) error {
	for w := range writers {
		go func() {
			for n := 0; ; n++ {
				record := fmt.Sprintf("%d %d", w, n)
				if try(j, record) == nil {
					fmt.Println(record) // one write(2): it is not lost when the process is
				}
			}
		}()
	}
	select {}
}

func TestKilledUnderLoad(t *testing.T) { killedUnderLoad(t, "load", true) }

func TestKilledWhileDraining(t *testing.T) { killedUnderLoad(t, "drained", false) }

func killedUnderLoad(t *testing.T, what string, whole bool) {
	dir := t.TempDir()
	for round := range 3 {
		cmd := child(t, what, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := 0
		var highest [writers]int
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var w, n int
			if _, err := fmt.Sscan(lines.Text(), &w, &n); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			highest[w] = n + 1
			if acknowledged++; acknowledged == 3000 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		if acknowledged < 3000 {
			t.Fatalf("the child ended by itself after %d records", acknowledged)
		}
		j, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var found [writers]int
		for i, record := range all(t, j, Cursor{}) {
			a, b, _ := strings.Cut(record, " ")
			w, _ := strconv.Atoi(a)
			n, _ := strconv.Atoi(b)
			if !whole && found[w] == 0 {
				found[w] = n // those before have been drained
			}
			if n != found[w] {
				t.Fatalf("round %d: record %d is %q, the one before of this writer is %d", round, i, record, found[w]-1)
			}
			found[w]++
		}
		for w := range writers {
			if found[w] < highest[w] && (whole || found[w] > 0) {
				t.Errorf("round %d: writer %d was told of %d records, %d are there", round, w, highest[w], found[w])
			}
		}
		if err := j.Drained(j.End()); err != nil {
			t.Fatal(err)
		}
		_ = j.Close()
		for _, name := range segments(t, dir) { // the next round counts from zero
			_ = os.Remove(name)
		}
	}
}

func TestDiskFull(t *testing.T) {
	// A file system of its own in a mount namespace of its own goes with the process. Where even that is forbidden, the
	// limit of a file's size is what is left to make a write fail.
	cmd := child(t, "full", t.TempDir())
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil && (errors.Is(err, syscall.EPERM) || strings.Contains(string(out), errMount.Error())) {
		t.Logf("no file system of its own is permitted here (%v); limiting the size of files instead", err)
		out, err = child(t, "limit", t.TempDir()).Output()
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestFileTooLarge(t *testing.T) {
	if out, err := child(t, "limit", t.TempDir()).Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

var errMount = errors.New("mounting is forbidden")

// full fills a file system of one megabyte, finds that nothing is acknowledged then, makes room, and goes on.
func full(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%w: %w", errMount, err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("%w: %w", errMount, err)
	}
	j, err := Open(Config{Dir: dir, SegmentBytes: 100_000})
	if err != nil {
		return err
	}
	kept, err := untilItFails(j, 2000)
	if err != nil {
		return err
	}
	for range 20 { // it stays silent
		if err := try(j, "while full"); err == nil {
			return errors.New("acknowledged a record on a full disk")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := holds(j, kept); err != nil {
		return err
	}
	if err := j.Drained(j.End()); err != nil { // the segments before the last one go
		return err
	}
	if err := untilItWorks(j, "after"); err != nil {
		return err
	}
	if err := j.Close(); err != nil {
		return err
	}
	j, err = Open(Config{Dir: dir})
	if err != nil {
		return err
	}
	payload, err := lastOf(j)
	if err != nil || payload != "after" {
		return fmt.Errorf("the last record is %.20q, %w", payload, err)
	}
	return j.Close()
}

// limit lets a file grow to a tenth of a segment: a write fails in the middle, and the next segment takes over.
func limit(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100_000, Max: 100_000}); err != nil {
		return err
	}
	j, err := Open(Config{Dir: dir, SegmentBytes: 1_000_000})
	if err != nil {
		return err
	}
	kept, err := untilItFails(j, 2000)
	if err != nil {
		return err
	}
	if err := untilItWorks(j, "after"); err != nil {
		return err
	}
	if err := j.Close(); err != nil {
		return err
	}
	j, err = Open(Config{Dir: dir})
	if err != nil {
		return err
	}
	if err := holds(j, append(kept, "after")); err != nil {
		return err
	}
	return j.Close()
}

func untilItFails(j *Journal, most int) (kept []string, err error) {
	for i := range most {
		record := fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000))
		if try(j, record) != nil {
			if len(kept) < 50 {
				return nil, fmt.Errorf("failed after only %d records", len(kept))
			}
			return kept, nil
		}
		kept = append(kept, record)
	}
	return nil, fmt.Errorf("took %d records without failing", most)
}

func untilItWorks(j *Journal, record string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := try(j, record)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not recover: %w", err)
		}
	}
}

// holds checks that the journal's records are those wanted.
func holds(j *Journal, want []string) error {
	start, _ := j.Start(Cursor{})
	r := j.NewReader(start)
	defer r.Close()
	for i, w := range want {
		payload, err := r.TryNext()
		if err != nil || string(payload) != w {
			return fmt.Errorf("record %d is %.20q, %w", i, payload, err)
		}
	}
	if payload, err := r.TryNext(); payload != nil || err != nil {
		return fmt.Errorf("one more record, %.20q, %w", payload, err)
	}
	return nil
}

func lastOf(j *Journal) (last string, err error) {
	start, _ := j.Start(Cursor{})
	r := j.NewReader(start)
	defer r.Close()
	for {
		payload, err := r.TryNext()
		if payload == nil || err != nil {
			return last, err
		}
		last = string(payload)
	}
}
