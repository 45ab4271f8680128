package pg_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/pg"
	"enlace/postgres/pgtest"
)

var now = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// turned is a Sealer whose text differs from the secret in every byte.
type turned struct{}

func (turned) Seal(b []byte) []byte {
	b = slices.Clone(b)
	for i := range b {
		b[i] ^= 0x5a
	}
	return append([]byte("sealed:"), b...)
}

func (t turned) Open(b []byte) ([]byte, error) {
	b, ok := bytes.CutPrefix(b, []byte("sealed:"))
	if !ok {
		return nil, errors.New("not sealed")
	}
	return t.Seal(b)[len("sealed:"):], nil
}

func device(name, source string) nas.Device {
	return nas.Device{
		Name: name, Source: netip.MustParsePrefix(source), Secret: []byte("s3cret-of-" + name), Dialect: "mikrotik",
		CoA: netip.MustParseAddrPort("192.0.2.1:3799"), NASIdentifier: "bras", MessageAuthenticator: nas.LearnMA,
		InterimSeconds: 300, CommandsPerSecond: 50,
	}
}

func kind(err error) contracts.ErrorKind {
	var e *contracts.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func TestDevices(t *testing.T) {
	ctx := context.Background()
	pool := pgtest.New(t)
	s := &pg.Store{Pool: pool, Sealer: turned{}}
	a, b := device("bras-a", "192.0.2.1/32"), device("bras-b", "2001:db8::/64")
	b.CoA = netip.AddrPort{}
	for _, d := range []*nas.Device{&b, &a} {
		if err := s.CreateDevice(ctx, "staff:ana", now, d); err != nil || d.ID == 0 {
			t.Fatal(d.ID, err)
		}
	}
	got, err := s.Devices(ctx)
	if err != nil || len(got) != 2 || got[0].Name != "bras-a" || got[1].Source != b.Source || got[1].CoA.IsValid() ||
		got[0].CoA != a.CoA || string(got[0].Secret) != "s3cret-of-bras-a" || got[0].MessageAuthenticator != nas.LearnMA {
		t.Fatalf("%+v, %v", got, err)
	}
	var plain int
	if err := pool.QueryRow(ctx, `select count(*) from device d, audit a
		where position('s3cret'::bytea in d.secret_sealed) > 0 or a.detail::text like '%s3cret%'`).Scan(&plain); err != nil || plain != 0 {
		t.Fatalf("%d secrets in clear, %v", plain, err)
	}

	for name, c := range map[string]struct {
		d    nas.Device
		want contracts.ErrorKind
	}{
		"a name taken":        {device("bras-a", "192.0.2.9/32"), contracts.Conflict},
		"a source taken":      {device("bras-c", "192.0.2.1/32"), contracts.Conflict},
		"no dialect":          {nas.Device{Name: "x", Source: a.Source, Secret: a.Secret}, contracts.Invalid},
		"a name with a NUL":   {device("bras\x00", "192.0.2.9/32"), contracts.Invalid},
		"a name not in UTF-8": {device("bras\xff", "192.0.2.9/32"), contracts.Invalid},
	} {
		if err := s.CreateDevice(ctx, "staff:ana", now, &c.d); kind(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}

	a.CommandsPerSecond, a.Secret = 7, nil
	if err := s.UpdateDevice(ctx, "staff:rui", now, &a); err != nil {
		t.Fatal(err)
	}
	if d, err := s.DeviceByName(ctx, "bras-a"); err != nil || d.CommandsPerSecond != 7 || string(d.Secret) != "s3cret-of-bras-a" {
		t.Fatalf("%+v, %v", d, err)
	}
	a.Source = b.Source
	if err := s.UpdateDevice(ctx, "staff:rui", now, &a); kind(err) != contracts.Conflict {
		t.Fatal(err)
	}
	if err := s.RetireDevice(ctx, "staff:rui", now, b.ID); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.RetireDevice(ctx, "staff:rui", now, b.ID), s.UpdateDevice(ctx, "staff:rui", now, &b), s.RetireDevice(ctx, "x", now, 999),
	} {
		if kind(err) != contracts.NotFound {
			t.Error(err)
		}
	}
	if _, err := s.DeviceByName(ctx, "bras-b"); kind(err) != contracts.NotFound {
		t.Error(err)
	}
	if d, err := s.Device(ctx, b.ID); err != nil || d.Name != "bras-b" {
		t.Errorf("%+v, %v", d, err)
	}
	var audits, changes int
	if err := pool.QueryRow(ctx, `select (select count(*) from audit where subject like 'device:%' and result = 'done'),
		(select count(*) from change where tbl = 'device')`).Scan(&audits, &changes); err != nil || audits != 4 || changes != 4 {
		t.Fatalf("%d audits, %d changes, %v; want 4 acts", audits, changes, err)
	}
}

// TestPoolsOfADevice refuses pools that do not exist and pools of the other family.
func TestPoolsOfADevice(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	v4 := nas.Pool{Name: "four", Ranges: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/24")}, Bits: 32}
	v6 := nas.Pool{Name: "six", Ranges: []netip.Prefix{netip.MustParsePrefix("2001:db8::/48")}, Bits: 56}
	for _, p := range []*nas.Pool{&v4, &v6} {
		if err := s.CreatePool(ctx, "staff:ana", now, p); err != nil {
			t.Fatal(err)
		}
	}
	d := device("bras", "192.0.2.1/32")
	d.IPv4Pool, d.DelegatedPool = v4.ID, v6.ID
	if err := s.CreateDevice(ctx, "staff:ana", now, &d); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range [][2]nas.PoolID{{v6.ID, 0}, {0, v4.ID}, {99, 0}, {0, 99}} {
		changed, other := d, device("other", "192.0.2.2/32")
		changed.IPv4Pool, changed.DelegatedPool = wrong[0], wrong[1]
		other.IPv4Pool, other.DelegatedPool = wrong[0], wrong[1]
		if err := s.UpdateDevice(ctx, "staff:ana", now, &changed); kind(err) != contracts.Invalid {
			t.Errorf("changed to %v: %v", wrong, err)
		}
		if err := s.CreateDevice(ctx, "staff:ana", now, &other); kind(err) != contracts.Invalid {
			t.Errorf("created with %v: %v", wrong, err)
		}
	}
}

func TestCommands(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	first := nas.CommandRecord{
		ID: 1 << 62, Session: nas.SessionKey{Device: 7, ID: "a\x00b"}, Login: "ana@isp", Method: nas.CoA, Want: "REDUCED 50M/25M",
		Reason: "overdue\x00", Actor: "system", RequestedAt: now,
	}
	second := first
	second.ID, second.Method, second.RequestedAt = 5, nas.Disconnect, now.Add(time.Minute)
	acked := first
	acked.SentAt, acked.Attempts, acked.AnsweredAt, acked.Answer = now.Add(time.Second), 2, now.Add(2*time.Second), nas.Acked
	if err := s.SaveCommands(ctx, []nas.CommandRecord{first, second, acked}); err != nil {
		t.Fatal(err)
	}
	confirmed := acked
	confirmed.ConfirmedAt, confirmed.Evidence = now.Add(3*time.Second), nas.EvidenceInterim
	for range 2 {
		if err := s.SaveCommands(ctx, []nas.CommandRecord{confirmed}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveCommands(ctx, []nas.CommandRecord{first}); err != nil { // what is known is not forgotten
		t.Fatal(err)
	}
	got, err := s.CommandsOf(ctx, "ana@isp", 10)
	if err != nil || len(got) != 2 || got[0] != said(second) || got[1] != said(confirmed) {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := s.SaveCommands(ctx, nil); err != nil {
		t.Fatal(err)
	}
}

// said is a command as it can be stored.
func said(c nas.CommandRecord) nas.CommandRecord {
	c.Reason = "overdue"
	return c
}
