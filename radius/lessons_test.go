package radius

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"enlace/contracts"
)

func learned(access int64, mac byte, port string) contracts.Learned {
	return contracts.Learned{Access: contracts.AccessID(access), Version: 4, At: doorNow.Add(time.Duration(access) * time.Second), MAC: testMAC(mac), Device: 7, Port: contracts.Octets(port)}
}

// Wherever a crash cuts the file, what is whole before is read, and what is written next comes right after it.
func TestLessonsOutliveACut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "learned")
	reopen := func() (*Lessons, []contracts.Learned) {
		t.Helper()
		l, found, err := OpenLessons(path)
		if err != nil {
			t.Fatal(err)
		}
		return l, found
	}
	keep := func(l *Lessons, all ...contracts.Learned) {
		t.Helper()
		var list []*lesson
		for _, one := range all {
			list = append(list, &lesson{seen: one})
		}
		if err := l.keep(list); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := learned(1, 1, "eth1"), learned(2, 2, "\xff\x00\n 7"), learned(3, 3, "eth3") // as long as the first: after it the second would be read again
	l, found := reopen()
	if len(found) != 0 {
		t.Fatalf("a new file has %v", found)
	}
	keep(l, first, second)
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one := len(appendLesson(nil, &first))
	for cut := range len(whole) + 1 {
		for _, garble := range []bool{false, true} {
			content := slices.Clone(whole[:cut])
			if garble && cut > 0 {
				content = slices.Clone(whole)
				content[cut-1] ^= 0x55
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			want := []contracts.Learned{first, second}
			switch {
			case cut < one || garble && cut <= one:
				want = nil
			case cut < len(whole) || garble:
				want = want[:1]
			}
			if garble && cut == 0 {
				continue
			}
			l, found := reopen()
			if !slices.Equal(found, want) {
				t.Fatalf("cut at %d of %d, garbled %v: %v, want %v", cut, len(whole), garble, found, want)
			}
			keep(l, third)
			l.Close()
			l, found = reopen()
			if !slices.Equal(found, append(want, third)) {
				t.Fatalf("cut at %d of %d, garbled %v, then written: %v", cut, len(whole), garble, found)
			}
			l.Close()
		}
	}
	l, _ = reopen()
	if err := l.clear(); err != nil {
		t.Fatal(err)
	}
	keep(l, second)
	l.Close()
	if _, found = reopen(); !slices.Equal(found, []contracts.Learned{second}) {
		t.Errorf("after it was emptied: %v", found)
	}
}

func FuzzLessons(f *testing.F) {
	one := learned(1, 1, "eth1")
	f.Add(appendLesson(appendLesson(nil, &one), &one))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		found, good := parseLessons(content)
		if good > len(content) || len(found) > 0 && good == 0 {
			t.Errorf("%d lessons in the first %d of %d bytes", len(found), good, len(content))
		}
	})
}

// What was learned with storage away is in force after a crash, under the binding that it was learned for and no other,
// and leaves the file once it is stored.
func TestLessonsAreRecalled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "learned")
	line := contracts.Line{Version: 4, MAC: contracts.Binding[contracts.MAC]{Mode: contracts.BindLearn}, Port: contracts.Binding[contracts.Octets]{Mode: contracts.BindLearn}}
	begin := func() (*Directory, *Lessons, []contracts.Learned) {
		t.Helper()
		d := NewDirectory()
		lined(d, 1, "lea", "word", line)
		lined(d, 2, "tom", "word", line)
		l, found, err := OpenLessons(path)
		if err != nil {
			t.Fatal(err)
		}
		d.Recall(found)
		return d, l, found
	}
	run := func(d *Directory, l *Lessons, store LearnedStore) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); d.KeepLearned(ctx, store, l, zerolog.Nop()) }()
		return func() { cancel(); <-done }
	}
	inFile := func() int {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found, _ := parseLessons(content)
		return len(found)
	}
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 10 s: %s", what)
			}
		}
	}
	store := &shelf{away: true}
	d, l, _ := begin()
	t.Cleanup(run(d, l, &shelf{away: true})) // this run crashes
	d.learning.learn(d.Lookup([]byte("lea")), contracts.Learned{At: doorNow, MAC: testMAC(1)})
	eventually("the first is in the file", func() bool { return inFile() == 1 })
	d.learning.learn(d.Lookup([]byte("lea")), contracts.Learned{At: doorNow, MAC: testMAC(2), Port: "eth1"})
	d.learning.learn(d.Lookup([]byte("tom")), contracts.Learned{At: doorNow, MAC: testMAC(3)})
	eventually("all are in the file", func() bool { return inFile() == 3 })

	d, l, found := begin()
	if len(found) != 3 {
		t.Fatalf("recalled are %v", found)
	}
	if now := d.learning.of(d.Lookup([]byte("lea"))); now.MAC.To != testMAC(1) || now.Port.To != "eth1" {
		t.Errorf("in force is %+v", now)
	}
	cleared := line
	cleared.Version = 5
	lined(d, 2, "tom", "word", cleared)
	if now := d.learning.of(d.Lookup([]byte("tom"))); now.MAC.To != (contracts.MAC{}) {
		t.Errorf("what was learned for a binding that was cleared is in force: %+v", now)
	}
	store.mu.Lock()
	store.away = false
	store.mu.Unlock()
	stop := run(d, l, store)
	eventually("the file is empty", func() bool { return inFile() == 0 })
	stop()
	store.mu.Lock()
	defer store.mu.Unlock()
	if !slices.ContainsFunc(store.kept, func(k contracts.Learned) bool { return k.Access == 1 && k.MAC == testMAC(1) && k.Port == "eth1" }) {
		t.Errorf("stored are %v", store.kept)
	}
	// What is in the file and not stored stays there, whatever else was stored.
	d.learning.learn(d.Lookup([]byte("lea")), contracts.Learned{At: doorNow, Port: "eth9"})
	lined(d, 3, "eva", "word", line)
	d.learning.learn(d.Lookup([]byte("eva")), contracts.Learned{At: doorNow, MAC: testMAC(9)})
	for _, err := range []error{d.learning.keep(l), d.learning.forget(l)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := inFile(); n != 1 {
		t.Errorf("%d are in the file", n)
	}
	// A binding that was cleared between two runs is not taught by the first.
	d = NewDirectory()
	lined(d, 1, "lea", "word", cleared)
	d.Recall(found)
	if now := d.learning.of(d.Lookup([]byte("lea"))); now.MAC.To != (contracts.MAC{}) {
		t.Errorf("recalled for another binding: %+v", now)
	}
}
