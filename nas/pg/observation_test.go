package pg_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/pg"
	"enlace/postgres/pgtest"
)

func TestObservationsAddUp(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	d := device("bras-a", "192.0.2.1/32")
	if err := s.CreateDevice(ctx, "staff:ana", now, &d); err != nil {
		t.Fatal(err)
	}
	d, err := s.Device(ctx, d.ID)
	if err != nil || d.Observed != (nas.Observation{Since: now}) || d.LimitProxyState != nas.LearnProxyState {
		t.Fatalf("a new device: %+v, %v", d, err)
	}
	one := nas.Observation{Since: now, Signed: 5, Unsigned: 2, LastUnsigned: now.Add(time.Hour), UnsignedProxied: 1, LastUnsignedProxied: now.Add(time.Minute), Signs: true}
	two := nas.Observation{Since: now, Signed: 1, Unsigned: 1, LastUnsigned: now.Add(time.Second), ProxiesBare: true}
	for _, o := range []nas.Observation{one, two} {
		sums, err := s.AddObservations(ctx, map[nas.DeviceID]nas.Observation{d.ID: o})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Device(ctx, d.ID); err != nil || got.Observed != sums[d.ID] {
			t.Fatalf("stored %+v, %v; told %+v", got.Observed, err, sums[d.ID])
		}
	}
	want := nas.Observation{Since: now, Signed: 6, Unsigned: 3, LastUnsigned: one.LastUnsigned, UnsignedProxied: 1, LastUnsignedProxied: one.LastUnsignedProxied, Signs: true, ProxiesBare: true}
	if d, err = s.Device(ctx, d.ID); err != nil || d.Observed != want {
		t.Fatalf("the sum is %+v, %v; want %+v", d.Observed, err, want)
	}

	changed := d // a rotation goes on with what is known, another secret alone does not
	changed.ChangeSecret([]byte("second-secret"), true)
	if err := s.UpdateDevice(ctx, "staff:ana", now, &changed); err != nil {
		t.Fatal(err)
	}
	if d, err = s.Device(ctx, d.ID); err != nil || d.Observed != want || string(d.OlderSecret) != "s3cret-of-bras-a" || string(d.Secret) != "second-secret" {
		t.Fatalf("after a rotation: %+v, %v", d, err)
	}
	changed.ChangeSecret([]byte("third-secret"), false)
	if err := s.UpdateDevice(ctx, "staff:ana", now.Add(time.Hour), &changed); err != nil {
		t.Fatal(err)
	}
	if d, err = s.Device(ctx, d.ID); err != nil || d.Observed != (nas.Observation{Since: now.Add(time.Hour)}) || d.OlderSecret != nil {
		t.Fatalf("after another secret: %+v, %v", d, err)
	}
	if _, err := s.AddObservations(ctx, map[nas.DeviceID]nas.Observation{d.ID: one}); err != nil { // late, of what was forgotten
		t.Fatal(err)
	}
	for i := range 2 { // the clock may stand
		if err := s.ObserveAnew(ctx, "staff:ana", now.Add(time.Hour), d.ID); err != nil {
			t.Fatal(err)
		}
		was := d.Observed.Since
		if d, err = s.Device(ctx, d.ID); err != nil || !d.Observed.Since.After(was) || d.Observed.Signed != 0 || d.Observed.Signs {
			t.Fatalf("anew, %d: %+v, %v", i, d.Observed, err)
		}
	}
	if err := s.ObserveAnew(ctx, "staff:ana", now, 999); kind(err) != contracts.NotFound {
		t.Error(err)
	}
}

func TestWhatDevicesAreKnownBy(t *testing.T) {
	ctx := context.Background()
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	sharing := func(name, id, certificate string) nas.Device {
		d := device(name, "192.0.2.1/32")
		d.NASIdentifier, d.Certificate = id, certificate
		return d
	}
	tls := nas.Device{Name: "tls", Dialect: "standard", Certificate: "bras9.example.net", MessageAuthenticator: nas.LearnMA, InterimSeconds: 300, CommandsPerSecond: 50}
	for _, d := range []nas.Device{sharing("a", "north", ""), sharing("b", "south", "bras1"), sharing("c", "", ""), tls} {
		if err := s.CreateDevice(ctx, "staff:ana", now, &d); err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
	}
	if d, err := s.DeviceByName(ctx, "tls"); err != nil || d.Source.IsValid() || len(d.Secret) != 0 || d.OlderSecret != nil || d.Certificate != tls.Certificate {
		t.Errorf("%+v, %v", d, err)
	}
	other := device("e", "192.0.2.5/32")
	other.Certificate = "bras1"
	for _, d := range []nas.Device{sharing("d", "north", ""), sharing("d", "", ""), other} {
		if err := s.CreateDevice(ctx, "staff:ana", now, &d); kind(err) != contracts.Conflict {
			t.Errorf("%s, %q, %q: %v", d.Source, d.NASIdentifier, d.Certificate, err)
		}
	}
	b, err := s.DeviceByName(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	b.Source, b.Certificate = netip.MustParsePrefix("192.0.2.8/32"), ""
	if err := s.UpdateDevice(ctx, "staff:ana", now, &b); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateDevice(ctx, "staff:ana", now, &other); err != nil { // it gave its certificate back
		t.Error(err)
	}
}
