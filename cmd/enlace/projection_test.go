package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	naspg "enlace/nas/pg"
	"enlace/postgres"
	"enlace/postgres/pgtest"
	"enlace/radius"
	radiuspg "enlace/radius/pg"
)

// shop is a provider with one customer and one plan of 500/250 Mbit/s, recorded through the stores.
type shop struct {
	testing.TB
	ctx      context.Context
	url      string
	pool     *pgxpool.Pool
	seal     *sealer
	store    *contractspg.Store
	devices  *naspg.Store
	customer contracts.CustomerID
	plan     contracts.Plan
}

// shopOpened is when everything in a shop begins.
const shopOpened = "2026-01-05 10:00"

// saoPaulo is an instant in São Paulo: "2026-03-10 15:00".
func saoPaulo(s string) time.Time {
	zone, err := contractspg.Zone("America/Sao_Paulo")
	if err != nil {
		panic(err)
	}
	t, err := time.ParseInLocation("2006-01-02 15:04", s, zone)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func newShop(t testing.TB) *shop { return newShopAt(t, pgtest.URL(t)) }

func newShopAt(t testing.TB, url string) *shop {
	t.Helper()
	h := &shop{TB: t, ctx: context.Background(), url: url, seal: newTestSealer(t, 1)}
	var err error
	h.pool, err = postgres.Open(h.ctx, url, postgres.PoolOptions{MaxConns: 8, Name: "test"})
	h.must(err)
	t.Cleanup(h.pool.Close)
	h.store = &contractspg.Store{Pool: h.pool, Sealer: h.seal}
	h.devices = &naspg.Store{Pool: h.pool, Sealer: h.seal}
	c := contracts.Customer{Name: "Ana Souza"}
	h.must(h.store.CreateCustomer(h.ctx, "test", saoPaulo(shopOpened), &c))
	h.customer = c.ID
	h.plan = contracts.Plan{Name: "Fibra 500", Price: 9990, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10}
	h.must(h.store.CreatePlan(h.ctx, "test", saoPaulo(shopOpened), &h.plan))
	return h
}

func (h *shop) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// sign records a contract with one login.
func (h *shop) sign(login, password string) *contracts.Contract {
	h.Helper()
	zone, err := contractspg.Zone("America/Sao_Paulo")
	h.must(err)
	c := contracts.Contract{CustomerID: h.customer, PlanID: h.plan.ID, Zone: zone, AutoBlock: true, TrustEnabled: true, DueDay: 10,
		Timing: contracts.Postpaid, Accesses: []contracts.Access{{Login: login}}}
	h.must(h.store.CreateContract(h.ctx, "test", saoPaulo(shopOpened), &c, []string{password}))
	return &c
}

func (h *shop) record(id contracts.ContractID, now string, f contracts.Fact) {
	h.Helper()
	f.ContractID, f.Actor = id, "test"
	h.must(pgx.BeginFunc(h.ctx, h.pool, func(tx pgx.Tx) error { return contractspg.Append(h.ctx, tx, saoPaulo(now), &f) }))
}

// owe gives a contract an invoice due on 2026-03-10, and its notice: reduced from 26 March, blocked from 9 April.
func (h *shop) owe(id contracts.ContractID) {
	h.Helper()
	due, err := contracts.ParseDate("2026-03-10")
	h.must(err)
	h.record(id, "2026-02-28 06:00", contracts.Fact{Kind: contracts.InvoiceIssued, InvoiceID: "F1", Amount: 9990, Due: due})
	h.record(id, "2026-03-11 08:00", contracts.Fact{Kind: contracts.NoticeSent, InvoiceID: "F1", Channel: "email", Proof: "250 Ok"})
}

// follower is a projection that follows the shop's database in the background, with its clock at the instant given.
type follower struct {
	*projection
	clock *clock
	told  chan string
}

// usage of contracts, read from the shop's database.
func (h *shop) usage(directory *radius.Directory, now func() time.Time, changed func(contracts.AccessID, string)) *usage {
	u := newUsage(directory, now, zerolog.Nop(), nil)
	u.read, u.changed = radiuspg.NewStore(h.pool).Usage, changed
	return u
}

func (h *shop) follow(now string) *follower {
	h.Helper()
	cl, err := newClock(saoPaulo(now).Format(time.RFC3339))
	h.must(err)
	f := &follower{clock: cl, told: make(chan string, 1000)}
	f.projection = &projection{contracts: h.store, devices: h.devices, directory: radius.NewDirectory(), table: radius.NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), nil),
		now: cl.Now, log: zerolog.Nop(),
		changed: func(_ contracts.AccessID, login string) {
			select {
			case f.told <- login:
			default:
			}
		}}
	f.feed.Store(postgres.NewFeed(h.url, zerolog.Nop(), 100*time.Millisecond))
	f.usage = h.usage(f.directory, cl.Now, f.changed)
	start, err := f.load(h.ctx)
	h.must(err)
	ctx, stop := context.WithCancel(h.ctx)
	done := make(chan error, 1)
	go func() { done <- f.projection.follow(ctx, start) }()
	h.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			h.Errorf("following ended with %v", err)
		}
	})
	return f
}

// serviceOf is what a login may have, in words; "unknown" for a login that is not in the directory.
func (f *follower) serviceOf(login string) string {
	s := f.directory.Lookup([]byte(login))
	if s == nil {
		return "unknown"
	}
	service, ok := f.directory.ServiceAt(s, f.clock.Now(), nas.Garden{Profile: contracts.Profile{DownBps: 1e6, UpBps: 1e6}})
	if !ok {
		return "no plan"
	}
	return string(s.At(f.clock.Now()).StatusName()) + " " + service.String()
}

func (f *follower) becomes(t *testing.T, login, want string) {
	t.Helper()
	eventually(t, login+" is "+want, func() error {
		if got := f.serviceOf(login); got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

func TestProjectionFollowsTheDatabase(t *testing.T) {
	h := newShop(t)
	debtor, other := h.sign("ana@isp", "one"), h.sign("bia@isp", "two")
	h.owe(debtor.ID)
	f := h.follow("2026-04-14 10:00")
	full, walled := "ACTIVE FULL 500M/250M", "BLOCKED_AUTO WALLED 1M/1M"
	if got := f.serviceOf("ana@isp"); got != walled {
		t.Fatalf("after loading ana is %s, want %s", got, walled)
	}
	if got := f.serviceOf("bia@isp"); got != full {
		t.Fatalf("after loading bia is %s, want %s", got, full)
	}
	if f.directory.Age(f.clock.Now()) > time.Minute {
		t.Error("the directory is not fresh after loading")
	}

	h.record(debtor.ID, "2026-04-14 10:00", contracts.Fact{Kind: contracts.PaymentReceived, InvoiceID: "F1", Amount: 9990})
	f.becomes(t, "ana@isp", full)
	eventually(t, "word of ana", func() error {
		select {
		case login := <-f.told:
			if login == "ana@isp" {
				return nil
			}
		default:
		}
		return errors.New("nobody was told")
	})

	// An act, an access switched off and on, a new contract, a new password.
	if _, err := h.store.Act(h.ctx, saoPaulo("2026-04-14 10:05"), contracts.Fact{ContractID: other.ID, Kind: contracts.ManualBlock, Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	f.clock.Set(saoPaulo("2026-04-14 10:10"))
	f.becomes(t, "bia@isp", "BLOCKED_MANUAL WALLED 1M/1M")
	h.record(debtor.ID, "2026-04-14 10:05", contracts.Fact{Kind: contracts.AccessDisabled, AccessID: debtor.Accesses[0].ID})
	f.becomes(t, "ana@isp", "ACTIVE REJECT")
	h.record(debtor.ID, "2026-04-14 10:06", contracts.Fact{Kind: contracts.AccessEnabled, AccessID: debtor.Accesses[0].ID})
	f.becomes(t, "ana@isp", full)
	third := h.sign("caio@isp", "three")
	f.becomes(t, "caio@isp", full)
	h.must(h.store.SetPassword(h.ctx, "test", saoPaulo("2026-04-14 10:07"), third.Accesses[0].ID, "four"))
	eventually(t, "the new password", func() error {
		if got := string(f.directory.Lookup([]byte("caio@isp")).Password); got != "four" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})

	// A plan's rates, and another plan.
	h.plan.Full = contracts.Profile{DownBps: 600e6, UpBps: 300e6}
	h.must(h.store.UpdatePlan(h.ctx, "test", saoPaulo("2026-04-14 10:08"), &h.plan))
	f.becomes(t, "ana@isp", "ACTIVE FULL 600M/300M")
	better := contracts.Plan{Name: "Fibra 900", Price: 15000, Full: contracts.Profile{DownBps: 900e6, UpBps: 450e6}, ReducedPercent: 10}
	h.must(h.store.CreatePlan(h.ctx, "test", saoPaulo("2026-04-14 10:08"), &better))
	h.record(debtor.ID, "2026-04-14 10:09", contracts.Fact{Kind: contracts.PlanChanged, PlanID: better.ID})
	f.becomes(t, "ana@isp", "ACTIVE FULL 900M/450M")
}

// Time alone changes what a login may have: the directory knows it ahead. The brake takes it back.
func TestProjectionKnowsTheFuture(t *testing.T) {
	h := newShop(t)
	h.owe(h.sign("ana@isp", "one").ID)
	f := h.follow("2026-03-12 10:00")
	desired := f.desired(nas.Garden{Profile: contracts.Profile{DownBps: 1e6, UpBps: 1e6}})
	for _, step := range []struct{ now, want, until string }{
		{"2026-03-12 10:00", "FULL 500M/250M", "2026-03-26 09:00"}, {"2026-03-26 08:59", "FULL 500M/250M", "2026-03-26 09:00"},
		{"2026-03-26 09:00", "REDUCED 50M/25M", "2026-04-09 09:00"}, {"2026-04-09 09:00", "WALLED 1M/1M", ""},
	} {
		service, until, ok := desired("ana@isp", 0, saoPaulo(step.now))
		if !ok || service.String() != step.want || (step.until == "") != until.IsZero() || (step.until != "" && !until.Equal(saoPaulo(step.until))) {
			t.Errorf("at %s: %s until %s, want %s until %s", step.now, service, until, step.want, step.until)
		}
	}
	if _, _, ok := desired("nobody@isp", 0, saoPaulo("2026-03-12 10:00")); ok {
		t.Error("nobody is known")
	}
	rules, err := h.store.Rules(h.ctx)
	h.must(err)
	braked := rules[len(rules)-1]
	braked.Brake = true
	h.must(h.store.SaveRules(h.ctx, "test", "the mail server is broken", saoPaulo("2026-03-20 10:00"), braked))
	eventually(t, "the brake holds", func() error {
		if service, until, _ := desired("ana@isp", 0, saoPaulo("2026-12-20 10:00")); service.Outcome != contracts.OutcomeFull || !until.IsZero() {
			return fmt.Errorf("in December %s until %s", service, until)
		}
		return nil
	})
	braked.Brake = false
	h.must(h.store.SaveRules(h.ctx, "test", "repaired", saoPaulo("2026-04-20 10:00"), braked))
	eventually(t, "the brake is off", func() error {
		if service, _, _ := desired("ana@isp", 0, saoPaulo("2026-04-22 09:00")); service.Outcome != contracts.OutcomeWalled {
			return fmt.Errorf("on 22 April %s", service)
		}
		return nil
	})
}

func TestProjectionFollowsDevices(t *testing.T) {
	h := newShop(t)
	f := h.follow("2026-03-12 10:00")
	d := nas.Device{Name: "bras-1", Source: netip.MustParsePrefix("192.0.2.1/32"), Secret: []byte("testing123"), Dialect: "mikrotik",
		MessageAuthenticator: "auto", InterimSeconds: 300, CommandsPerSecond: 50}
	h.must(h.devices.CreateDevice(h.ctx, "test", saoPaulo("2026-03-12 10:00"), &d))
	known := func(want bool, secret string) {
		t.Helper()
		eventually(t, fmt.Sprintf("the device is known: %v", want), func() error {
			got, ok := f.device(d.ID)
			if ok != want || (ok && string(got.Secret) != secret) {
				return fmt.Errorf("known: %v", ok)
			}
			return nil
		})
	}
	known(true, "testing123")
	if f.deviceName(d.ID) != "bras-1" {
		t.Errorf("it is called %s", f.deviceName(d.ID))
	}
	d.Secret = []byte("testing456")
	h.must(h.devices.UpdateDevice(h.ctx, "test", saoPaulo("2026-03-12 10:01"), &d))
	known(true, "testing456")
	h.must(h.devices.RetireDevice(h.ctx, "test", saoPaulo("2026-03-12 10:02"), d.ID))
	known(false, "")
	if f.deviceName(d.ID) != fmt.Sprint(d.ID) {
		t.Errorf("it is called %s", f.deviceName(d.ID))
	}
}

// The database restarts: what is known stays, and what was written afterwards arrives.
func TestProjectionOutlivesTheDatabase(t *testing.T) {
	cluster := pgtest.NewCluster(t)
	url := cluster.URL("enlace")
	if _, _, err := postgres.Migrate(context.Background(), url, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	h := newShopAt(t, url)
	c := h.sign("ana@isp", "one")
	h.owe(c.ID)
	f := h.follow("2026-04-14 10:00")
	eventually(t, "the feed is connected", func() error {
		if !f.feed.Load().Status().Connected {
			return errors.New("not yet")
		}
		return nil
	})
	if err := syscall.Kill(cluster.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := f.serviceOf("ana@isp"); got != "BLOCKED_AUTO WALLED 1M/1M" {
		t.Errorf("with the database away ana is %s", got)
	}
	eventually(t, "the payment is recorded", func() error {
		pay := contracts.Fact{ContractID: c.ID, Kind: contracts.PaymentReceived, InvoiceID: "F1", Amount: 9990, Actor: "test"}
		return pgx.BeginFunc(h.ctx, h.pool, func(tx pgx.Tx) error { return contractspg.Append(h.ctx, tx, saoPaulo("2026-04-14 10:00"), &pay) })
	})
	f.becomes(t, "ana@isp", "ACTIVE FULL 500M/250M")
	if f.feed.Load().Status().Reconnects == 0 {
		t.Error("the feed never lost its connection: the database was not killed")
	}
}

// What is paused stays so when a start has nothing but the snapshot.
func TestASnapshotKeepsPauses(t *testing.T) {
	var told []nas.Pause
	p := &projection{directory: radius.NewDirectory(), table: radius.NewDeviceTable(nil, nil), pauses: func(list []nas.Pause) { told = list }}
	p.usage = newUsage(p.directory, time.Now, zerolog.Nop(), prometheus.NewRegistry())
	paused := []nas.Pause{{Device: 3, Since: time.Unix(1e9, 0).UTC(), Actor: "staff:ana"}}
	p.restore(&snapshot{snapshotHead: snapshotHead{Pauses: paused}})
	if !slices.Equal(told, paused) || !slices.Equal(p.pausedNow(), paused) {
		t.Errorf("told %+v, kept %+v", told, p.pausedNow())
	}
}

// What a session without Class was granted follows from the contract, but not right after a plan has other rates.
func TestGrantedWithoutClass(t *testing.T) {
	h := newShop(t)
	h.sign("ana@isp", "one")
	f := h.follow("2026-03-12 10:00")
	granted := f.granted(nas.DefaultGarden())
	at := saoPaulo("2026-03-12 10:00")
	before, ok := granted("ana@isp", at, at.Add(time.Second))
	if !ok || before.Outcome() != contracts.OutcomeFull {
		t.Fatalf("%x, %v", before, ok)
	}
	if _, ok := granted("ana@isp", at, at.Add(justBegun+time.Second)); ok {
		t.Error("of a session that is not new")
	}
	if _, ok := granted("nobody@isp", at, at); ok {
		t.Error("nobody is known")
	}
	plans, err := h.store.Plans(h.ctx, at)
	h.must(err)
	plan := plans[0]
	plan.Full.DownBps *= 2
	h.must(h.store.UpdatePlan(h.ctx, "test", at, &plan))
	eventually(t, "right after a change nothing is assumed", func() error {
		if _, ok := granted("ana@isp", at, at); ok {
			return errors.New("it is")
		}
		return nil
	})
	later := f.clock.Now().Add(2 * time.Minute)
	eventually(t, "the new rates are granted", func() error {
		if d, ok := granted("ana@isp", later, later); !ok || d == before {
			return fmt.Errorf("%x, %v", d, ok)
		}
		return nil
	})
}
