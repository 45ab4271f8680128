package pg_test

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/pg"
	"enlace/postgres/pgtest"
)

func TestSiteAndAPIAreKept(t *testing.T) {
	ctx := context.Background()
	pool := pgtest.New(t)
	s := &pg.Store{Pool: pool, Sealer: turned{}, Dialects: nas.NewDialects(nas.DefaultGarden())}
	d := device("bras-a", "192.0.2.1/32")
	d.Site = nas.Site{ShortName: "a", Model: "CCR", POP: "Centro", Zone: "America/Manaus", Place: &nas.Coordinates{Latitude: -3.1, Longitude: -60.02}}
	d.API = nas.API{Addr: netip.MustParseAddrPort("192.0.2.1:8729"), User: "enlace", Password: []byte("p4ss-of-api"), Certificate: "sha256:" + strings.Repeat("0a", 32)}
	if err := s.CreateDevice(ctx, "staff:ana", now, &d); err != nil {
		t.Fatal(err)
	}
	got, err := s.Device(ctx, d.ID)
	if err != nil || !reflect.DeepEqual(got.Site, d.Site) || !reflect.DeepEqual(got.API, d.API) {
		t.Fatalf("%+v %+v, %v", got.Site, got.API, err)
	}
	got.API.Password, got.Site.Place = nil, nil
	if err := s.UpdateDevice(ctx, "staff:ana", now, &got); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Device(ctx, d.ID); err != nil || string(got.API.Password) != "p4ss-of-api" || got.Site.Place != nil {
		t.Fatalf("an update without a password left %+v %+v, %v", got.Site, got.API, err)
	}
	got.API = nas.API{}
	if err := s.UpdateDevice(ctx, "staff:ana", now, &got); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Device(ctx, d.ID); err != nil || got.API.Known() || got.API.Password != nil {
		t.Fatalf("an API taken away left %+v, %v", got.API, err)
	}
	var plain int
	if err := pool.QueryRow(ctx, `select count(*) from audit where detail::text like '%p4ss%'`).Scan(&plain); err != nil || plain != 0 {
		t.Fatalf("%d passwords in clear, %v", plain, err)
	}
	got.Dialect = "klingon"
	if err := s.UpdateDevice(ctx, "staff:ana", now, &got); kind(err) != contracts.Invalid {
		t.Errorf("a dialect that nobody speaks: %v", err)
	}
}
