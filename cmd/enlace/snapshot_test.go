package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
	"enlace/radius/journal"
)

// filled is a value of a type with something in every field, so that what a snapshot leaves out is seen.
func filled(t *testing.T, typ reflect.Type, deep int) reflect.Value {
	t.Helper()
	v := reflect.New(typ).Elem()
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Date(2026, 3, 1, 12, 30, 1, 2000, time.UTC)
		return v
	case *netip.Addr:
		*x = netip.MustParseAddr("2001:db8::1")
		return v
	case *netip.AddrPort:
		*x = netip.MustParseAddrPort("192.0.2.1:3799")
		return v
	case *radius.Meter:
		*x = radius.NewMeter(&contracts.Contract{Zone: time.UTC, DueDay: 7}, []contracts.TopUp{{At: time.Unix(1e9, 0).UTC(), Day: 20000, Bytes: 5}}, radius.Meter{})
		x.Store(20000, contracts.Traffic{Up: 6, Down: 7})
		return v
	case *netip.Prefix:
		*x = netip.MustParsePrefix("2001:db8::/48")
		return v
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			if !typ.Field(i).IsExported() {
				t.Fatalf("%s.%s is not exported: it would not come back from a snapshot", typ, typ.Field(i).Name)
			}
			v.Field(i).Set(filled(t, typ.Field(i).Type, deep+1))
		}
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		v.Elem().Set(filled(t, typ.Elem(), deep+1))
	case reflect.Slice:
		v.Set(reflect.Append(v, filled(t, typ.Elem(), deep+1), filled(t, typ.Elem(), deep+1)))
	case reflect.Array:
		for i := range typ.Len() {
			v.Index(i).Set(filled(t, typ.Elem(), deep+1))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(filled(t, typ.Key(), deep+1), filled(t, typ.Elem(), deep+1))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(7 + deep))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(7 + deep))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.5)
	default:
		t.Fatalf("%s cannot be in a snapshot", typ)
	}
	return v
}

// kept writes a snapshot and reads it back.
func kept(t interface {
	Helper()
	Fatal(...any)
}, dir string, s *snapshot) *snapshot {
	t.Helper()
	seal, err := newSealer(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "snapshot")
	if _, err := writeSnapshot(context.Background(), path, seal, &s.snapshotHead, slices.Values(s.subscribers), slices.Values(s.sessions), slices.Values(s.leases)); err != nil {
		t.Fatal(err)
	}
	back, err := readSnapshot(context.Background(), path, seal)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// Every field of what is kept comes back, also those that were added since this test was written.
func TestSnapshotKeepsEveryField(t *testing.T) {
	s := &snapshot{
		snapshotHead: filled(t, reflect.TypeFor[snapshotHead](), 0).Interface().(snapshotHead),
		subscribers:  []*radius.Subscriber{filled(t, reflect.TypeFor[*radius.Subscriber](), 0).Interface().(*radius.Subscriber)},
		sessions:     []radius.Session{filled(t, reflect.TypeFor[radius.Session](), 0).Interface().(radius.Session)},
		leases:       []radius.Lease{filled(t, reflect.TypeFor[radius.Lease](), 0).Interface().(radius.Lease)},
	}
	if back := kept(t, t.TempDir(), s); !reflect.DeepEqual(back, s) {
		t.Errorf("came back as\n%+v\n%+v\nnot\n%+v\n%+v", back, back.subscribers[0], s, s.subscribers[0])
	}
}

func TestSnapshotRefusesTypesThatWouldNotComeBack(t *testing.T) {
	type hidden struct{ a int }
	type doubtful struct{ A *int }
	type open struct{ A any }
	for _, typ := range []reflect.Type{reflect.TypeFor[hidden](), reflect.TypeFor[doubtful](), reflect.TypeFor[[]map[string]open](), reflect.TypeFor[chan int]()} {
		if err := describe(&strings.Builder{}, typ, map[reflect.Type]bool{}); err == nil {
			t.Errorf("%s is accepted", typ)
		}
	}
	_ = hidden{}.a
}

// What was served before is what is served after, for any directory and sessions.
func TestSnapshotRoundTrip(t *testing.T) {
	dir := t.TempDir()
	window := rapid.Custom(func(t *rapid.T) radius.Window {
		return radius.Window{Until: rapid.SampledFrom([]int64{0, 1, 1 << 40, math.MaxInt64}).Draw(t, "until"), Plan: contracts.PlanID(rapid.Int64().Draw(t, "plan")),
			Outcome: rapid.SampledFrom([]contracts.Outcome{contracts.OutcomeFull, contracts.OutcomeWalled, contracts.OutcomeReject}).Draw(t, "outcome"), Status: rapid.Byte().Draw(t, "status"),
			Disabled: rapid.Bool().Draw(t, "disabled")}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := &snapshot{snapshotHead: snapshotHead{Taken: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "taken"), 0).UTC(),
			Journal: radius.Place{Node: "n", Cursor: journal.Cursor{Segment: rapid.Int64().Draw(t, "segment"), Offset: 3}}}}
		n := rapid.SampledFrom([]int{0, 1, 3, snapshotPart, snapshotPart + 1, 2*snapshotPart + 7}).Draw(t, "subscribers")
		windows := rapid.SliceOfN(window, 1, 4).Draw(t, "windows")
		for i := range n {
			s.subscribers = append(s.subscribers, &radius.Subscriber{Access: contracts.AccessID(i), Contract: contracts.ContractID(i / 2),
				Login: rapid.StringN(1, 5, 20).Draw(t, "login"), Password: []byte{byte(i), 0, 255}, Windows: windows})
			if i > 20 {
				s.subscribers[i].Login = "user"
			}
		}
		for i := range rapid.SampledFrom([]int{0, 1, snapshotPart, snapshotPart + 1}).Draw(t, "sessions") {
			s.sessions = append(s.sessions, radius.Session{Session: nas.Session{Key: nas.SessionKey{Device: 1, ID: string([]byte{byte(i), 0xff})},
				StartedAt: time.Unix(int64(i), 0).UTC(), FramedIP: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}, Input: uint64(i)})
		}
		back := kept(t, dir, s)
		if !back.Taken.Equal(s.Taken) || back.Journal != s.Journal || len(back.subscribers) != len(s.subscribers) || !reflect.DeepEqual(back.sessions, s.sessions) {
			t.Fatalf("came back as %+v", back.snapshotHead)
		}
		for i := range s.subscribers {
			if !reflect.DeepEqual(s.subscribers[i], back.subscribers[i]) {
				t.Fatalf("subscriber %+v came back as %+v", s.subscribers[i], back.subscribers[i])
			}
		}
	})
}

// A file that is not exactly what was written under this key is refused whole.
func TestSnapshotRefusesWhatWasChanged(t *testing.T) {
	dir, seal := t.TempDir(), newTestSealer(t, 1)
	path := filepath.Join(dir, "snapshot")
	var subs []*radius.Subscriber
	for i := range 2*snapshotPart + 10 {
		subs = append(subs, &radius.Subscriber{Access: contracts.AccessID(i), Login: "user", Password: []byte("secret password")})
	}
	_, err := writeSnapshot(t.Context(), path, seal, &snapshotHead{Taken: time.Unix(1, 0)}, slices.Values(subs), slices.Values([]radius.Session(nil)), slices.Values([]radius.Lease(nil)))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole, []byte("secret password")) || bytes.Contains(whole, []byte("user")) {
		t.Error("the file tells what is in it")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	var ends []int // of frames
	for at := sealedHeader; at < len(whole); {
		at += 4 + int(whole[at])<<24 + int(whole[at+1])<<16 + int(whole[at+2])<<8 + int(whole[at+3])
		ends = append(ends, at)
	}
	refused := func(what string, content []byte, seal *sealer, want error) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readSnapshot(t.Context(), path, seal)
		if err == nil || s != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	for _, n := range append([]int{0, 1, 10, sealedHeader - 1, sealedHeader, sealedHeader + 3, len(whole) - 1}, ends[:len(ends)-1]...) {
		refused("cut at a place", whole[:n], seal, errCutShort)
	}
	for i := 0; i < len(whole); i += 1 + len(whole)/97 {
		changed := slices.Clone(whole)
		changed[i] ^= 0x40
		refused("a bit turned over", changed, seal, nil)
	}
	refused("more after the end", append(slices.Clone(whole), whole[ends[0]:ends[1]]...), seal, errDamaged)
	swapped := slices.Concat(whole[:ends[0]], whole[ends[1]:ends[2]], whole[ends[0]:ends[1]], whole[ends[2]:])
	refused("frames that changed places", swapped, seal, errDamaged)
	refused("a frame left out", slices.Concat(whole[:ends[0]], whole[ends[1]:]), seal, errDamaged)
	refused("another key", whole, newTestSealer(t, 2), errOtherKey)
	other := slices.Clone(whole)
	other[len(sealedMagic)] ^= 1
	refused("another version", other, seal, errOtherVersion)
	refused("something else", []byte(strings.Repeat("x", 1000)), seal, errDamaged)

	// A writer that does not come to its end leaves what was there.
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := writeSnapshot(ctx, path, seal, &snapshotHead{}, slices.Values(subs), slices.Values([]radius.Session(nil)), slices.Values([]radius.Lease(nil))); err == nil {
		t.Error("a cancelled writer succeeded")
	}
	if s, err := readSnapshot(t.Context(), path, seal); err != nil || len(s.subscribers) != len(subs) {
		t.Errorf("the snapshot before: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func FuzzSnapshot(f *testing.F) {
	dir := f.TempDir()
	seal := newTestSealer(f, 1)
	path := filepath.Join(dir, "snapshot")
	if _, err := writeSnapshot(f.Context(), path, seal, &snapshotHead{}, slices.Values([]*radius.Subscriber{{Login: "a"}}), slices.Values([]radius.Session(nil)), slices.Values([]radius.Lease(nil))); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:sealedHeader], whole[sealedHeader:])
	f.Fuzz(func(t *testing.T, header, rest []byte) {
		file := filepath.Join(t.TempDir(), "snapshot")
		content := slices.Concat(header, rest)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := readSnapshot(t.Context(), file, seal); err == nil && !bytes.Equal(content, whole) {
			t.Fatalf("forged: %+v", s)
		} else if err == io.EOF {
			t.Fatal("an end that says nothing")
		}
	})
}

// A database that was found empty does not take the last snapshot of what was in it.
func TestSnapshotOutlivesAnEmptyDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(path, []byte("of better days"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	sessions := radius.NewSessions()
	accounting, err := radius.NewAccounting(j, sessions, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &projection{directory: radius.NewDirectory(), now: time.Now, log: zerolog.Nop()}
	p.directory.SetFresh(time.Now())
	s := &snapshots{path: path, every: time.Minute, seal: newTestSealer(t, 1), projection: p, sessions: sessions, leases: radius.NewLeases(time.Hour, 0, sessions), accounting: accounting, log: zerolog.Nop(),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "failed"}), seconds: prometheus.NewGauge(prometheus.GaugeOpts{Name: "seconds"})}
	s.write(t.Context())
	if b, err := os.ReadFile(path); err != nil || string(b) != "of better days" {
		t.Errorf("the snapshot is %q, %v", b, err)
	}
	p.directory.Put(&radius.Subscriber{Access: 1, Login: "ana@isp"})
	s.write(t.Context())
	if found, err := readSnapshot(t.Context(), path, s.seal); err != nil || len(found.subscribers) != 1 {
		t.Errorf("the snapshot cannot be read: %v", err)
	}
}
