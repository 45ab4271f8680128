package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rs/zerolog"

	"enlace/admin"
	adminpg "enlace/admin/pg"
	"enlace/billing"
	"enlace/contracts"
	"enlace/contracts/notices"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	"enlace/nas/nastest"
)

// demoCmd serves with a demonstration provider and a simulated access server that keeps its subscribers online.
type demoCmd struct {
	Online int `default:"300" env:"ENLACE_DEMO_ONLINE" help:"How many of the provider's subscribers the simulated access server keeps online (0 to 400)."`
}

const (
	demoSubscribers = 400
	demoDevice      = "bras-demo"
	demoOperator    = "operator" // the device that radclient on this machine is
	demoSecret      = "demo-secret"
	demoSource      = "127.77.0.1" // of the simulated access server, so that 127.0.0.1 is left to radclient
)

func (c *demoCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	if cfg.NoticeLog == "" {
		cfg.NoticeLog = filepath.Join(cfg.DataDir, "notices.jsonl")
	}
	if cfg.Provider == "Enlace" {
		cfg.Provider = "Provedor Exemplo"
	}
	if cfg.Clock == "" {
		cfg.Clock = time.Now().Format(time.RFC3339) // now, but settable: the panel can move it
	}
	if c.Online < 0 || c.Online > demoSubscribers {
		return fmt.Errorf("online is 0 to %d, all of the provider's subscribers", demoSubscribers)
	}
	log := cfg.logger(os.Stderr).Level(demoLevel(cfg))
	n, err := newNode(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer n.close()
	people, err := n.seedDemo(ctx, out)
	if err != nil {
		return fmt.Errorf("seeding the demonstration: %w", err)
	}
	if n.password == "" { // of an earlier run: a newcomer may not have it any more
		n.password = admin.GeneratePassword()
		if err := (&adminpg.Store{Pool: n.db.pool}).SetPassword(ctx, "demo", staffName, n.password, n.clock.Now()); err != nil {
			return err
		}
	}
	if n.projection.start, err = n.projection.load(ctx); err != nil {
		return err
	}
	server, err := n.simulator()
	if err != nil {
		return err
	}
	defer server.Close()
	if err := n.pointCommands(ctx, server.CoAAddr()); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.run(ctx) })
	g.Go(func() error { return n.simulate(ctx, server, people, c.Online) })
	n.printDemo(out, people, server.CoAAddr())
	return g.Wait()
}

// demoLevel keeps the terminal for what the newcomer reads, unless a level was asked for.
func demoLevel(cfg *Config) zerolog.Level {
	if cfg.LogLevel == "info" {
		return zerolog.WarnLevel
	}
	level, _ := zerolog.ParseLevel(cfg.LogLevel)
	return level
}

// demoPerson is a subscriber of the demonstration.
type demoPerson struct{ login, password string }

// demoPeople are the demonstration's subscribers by number. Logins say nothing that the password follows from, except
// here, where everything is known anyway.
func demoPeople() []demoPerson {
	people := make([]demoPerson, demoSubscribers)
	for i := range people {
		people[i] = demoPerson{fmt.Sprintf("%s.%03d@demo", demoLogins[i%len(demoLogins)], i+1), fmt.Sprintf("demo%03d", i+1)}
	}
	return people
}

var (
	demoLogins   = []string{"ana", "bruno", "carla", "diego", "elisa", "fabio", "gisele", "heitor", "iara", "joao"}
	demoNames    = []string{"Ana", "Bruno", "Carla", "Diego", "Elisa", "Fábio", "Gisele", "Heitor", "Iara", "João"}
	demoSurnames = []string{"Almeida", "Barbosa", "Cardoso", "Duarte", "Esteves", "Ferreira", "Gonçalves", "Lima", "Machado", "Nogueira", "Oliveira", "Pereira", "Queiroz", "Ribeiro", "Souza", "Teixeira"}
	demoPlans    = []contracts.Plan{
		{Name: "Fibra 300", Price: 7990, Full: contracts.Profile{DownBps: 300e6, UpBps: 150e6}, ReducedPercent: 10},
		{Name: "Fibra 500", Price: 9990, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10},
		{Name: "Fibra 1 Giga", Price: 14990, Full: contracts.Profile{DownBps: 1000e6, UpBps: 500e6}, ReducedPercent: 5},
	}
)

// What becomes of the demonstration's subscribers, by number within each group; the others pay on the due date.
const (
	demoGroup   = 25
	demoReduced = 0
	demoBlocked = 1
	demoOverdue = 2
	demoPending = 3
	demoManual  = 4
)

// demoDebt is how many days ago the oldest unpaid invoice of a kind of debtor was due.
var demoDebt = map[int]int{demoReduced: 24, demoBlocked: 41, demoOverdue: 6}

// demoPast is how far back the provider's life begins.
const demoPast = 80 * 24 * time.Hour

// seedDemo makes the provider when the database is empty, and lets eighty days pass for it: invoices fall due, notices
// go out, most are paid. Everything happens through the same acts and runs as in real life.
func (n *node) seedDemo(ctx context.Context, out io.Writer) ([]demoPerson, error) {
	people := demoPeople()
	var seeded, used bool
	err := n.db.pool.QueryRow(ctx, `select exists (select from device where name = $1), exists (select from customer) or exists (select from device)`, demoDevice).Scan(&seeded, &used)
	switch {
	case err != nil:
		return nil, err
	case seeded:
		return people, n.catchUp(ctx)
	case used:
		return nil, n.notEmpty(ctx)
	}
	fmt.Fprintln(out, "Making a demonstration provider with", demoSubscribers, "subscribers and eighty days of life ...")
	now := n.clock.Now()
	past := now.Add(-demoPast)
	plans := make([]contracts.PlanID, len(demoPlans))
	for i, p := range demoPlans {
		if err := n.stores.contracts.CreatePlan(ctx, "demo", past, &p); err != nil {
			return nil, err
		}
		plans[i] = p.ID
	}
	kinds := make(map[contracts.ContractID]int, len(people))
	for i, p := range people {
		id, err := n.seedPerson(ctx, i, p, plans[i%len(plans)], past, now)
		if err != nil {
			return nil, err
		}
		kinds[id] = i % demoGroup
	}
	for day := past; day.Before(now); day = day.AddDate(0, 0, 1) {
		if err := n.liveDay(ctx, day, now, kinds); err != nil {
			return nil, err
		}
	}
	for id, kind := range kinds {
		if kind == demoManual {
			f := contracts.Fact{ContractID: id, Kind: contracts.ManualBlock, Actor: "demo", Reason: "Equipamento em disputa"}
			if _, err := n.stores.contracts.Act(ctx, now, f); err != nil {
				return nil, err
			}
		}
	}
	return people, n.seedDevices(ctx, now)
}

// notEmpty says why the demonstration cannot use a database with a provider in it, and what to do where that is what an
// interrupted first start of the demonstration left.
func (n *node) notEmpty(ctx context.Context) error {
	var ours bool
	err := n.db.pool.QueryRow(ctx, `select not exists (select from audit where act = 'customer.create' and actor <> 'demo')`).Scan(&ours)
	switch {
	case err != nil:
		return err
	case ours && n.db.cluster != nil:
		return fmt.Errorf("an earlier start was interrupted before the demonstration was complete: delete %s and %s, then start again", n.cfg.DataDir, n.db.cluster.DataDir)
	}
	return errors.New("the database is already a provider's; the demonstration needs an empty one")
}

// catchUp moves the clock to the last fact where an earlier run of the demonstration had moved it ahead, so that
// nothing recorded lies in the future.
func (n *node) catchUp(ctx context.Context) error {
	var last *time.Time
	if err := n.db.pool.QueryRow(ctx, `select max(at) from fact`).Scan(&last); err != nil {
		return err
	}
	if last != nil && last.After(n.clock.Now()) {
		return n.clock.Set(*last)
	}
	return nil
}

// seedPerson makes one customer with a contract.
func (n *node) seedPerson(ctx context.Context, i int, p demoPerson, plan contracts.PlanID, past, now time.Time) (contracts.ContractID, error) {
	s := n.stores.contracts
	zone, err := contractspg.Zone("America/Sao_Paulo")
	if err != nil {
		return 0, err
	}
	kind := i % demoGroup
	customer := contracts.Customer{Name: demoNames[i%len(demoNames)] + " " + demoSurnames[(i/len(demoNames)+i)%len(demoSurnames)],
		Email: fmt.Sprintf("cliente%03d@example.com", i+1)}
	if err := s.CreateCustomer(ctx, "demo", past, &customer); err != nil {
		return 0, err
	}
	dueDay := 1 + i%28
	if ago, debtor := demoDebt[kind]; debtor {
		_, _, dueDay = contracts.DateOf(now, zone).AddDays(-ago).Parts()
	}
	contract := contracts.Contract{CustomerID: customer.ID, PlanID: plan, Zone: zone, AutoBlock: true, TrustEnabled: true,
		DueDay: dueDay, Timing: contracts.Postpaid, StartsPending: kind == demoPending, Accesses: []contracts.Access{{Login: p.login}}}
	err = s.CreateContract(ctx, "demo", past, &contract, []string{p.password})
	return contract.ID, err
}

// liveDay is one day of the provider: invoices in the morning, then notices, then the payments of who pays.
func (n *node) liveDay(ctx context.Context, day, now time.Time, kinds map[contracts.ContractID]int) error {
	zone, err := contractspg.Zone("America/Sao_Paulo")
	if err != nil {
		return err
	}
	date := contracts.DateOf(day, zone)
	at := func(hour int) time.Time { return date.At(contracts.ClockTime(hour*60), zone) }
	if at(15).After(now) {
		return nil
	}
	if _, err := n.stores.billing.IssueDue(ctx, at(6), "demo"); err != nil {
		return err
	}
	runner := notices.Runner{Store: n.stores.contracts, Channels: n.channels, Provider: n.cfg.Provider, Log: n.log}
	if _, err := runner.Run(ctx, at(9)); err != nil {
		return err
	}
	due, err := n.stores.billing.Invoices(ctx, billing.InvoiceFilter{DueFrom: date, DueTo: date, Limit: 500})
	if err != nil {
		return err
	}
	ago := int(contracts.DateOf(now, zone) - date)
	for _, inv := range due {
		if debt, debtor := demoDebt[kinds[inv.Contract]]; debtor && ago <= debt {
			continue
		}
		if _, _, err := n.stores.billing.Pay(ctx, billing.PaymentRequest{ExternalID: "demo-" + inv.Number, Invoice: inv.Number,
			Amount: inv.Principal, PaidOn: date, Method: billing.Pix, Actor: "demo"}, at(15)); err != nil {
			return err
		}
	}
	return nil
}

// seedDevices makes the devices last: their presence says that the seeding was finished.
func (n *node) seedDevices(ctx context.Context, now time.Time) error {
	operator := nas.Device{Name: demoOperator, Source: netip.MustParsePrefix("127.0.0.1/32"), Secret: []byte(demoSecret), Dialect: "mikrotik",
		MessageAuthenticator: nas.LearnMA, InterimSeconds: 300, CommandsPerSecond: 50}
	if err := n.stores.devices.CreateDevice(ctx, "demo", now, &operator); err != nil {
		return err
	}
	bras := nas.Device{Name: demoDevice, Source: netip.MustParsePrefix(demoSource + "/32"), Secret: []byte(demoSecret), Dialect: "accel-ppp",
		NASIdentifier: demoDevice, MessageAuthenticator: nas.RequireMA, InterimSeconds: 60, CommandsPerSecond: 100}
	return n.stores.devices.CreateDevice(ctx, "demo", now, &bras)
}

// simulator is an access server in memory, over real datagrams.
func (n *node) simulator() (*nastest.NAS, error) {
	server, err := nastest.New(nastest.Config{
		Dialect: "accel-ppp", AuthAddr: loopback(n.door.AuthAddrs()[0]), AcctAddr: loopback(n.door.AcctAddrs()[0]), Secret: []byte(demoSecret),
		LocalAddr: demoSource + ":0", CoAListen: demoSource + ":0", NASIdentifier: demoDevice, NASIP: netip.MustParseAddr(demoSource),
		Interim: 10 * time.Second, Redial: 2 * time.Second, Garden: n.cfg.garden(),
	})
	if err != nil {
		return nil, fmt.Errorf("starting the simulated access server: %w", err)
	}
	return server, nil
}

// pointCommands tells the simulated device's address for commands, which is another one at every start.
func (n *node) pointCommands(ctx context.Context, to netip.AddrPort) error {
	d, err := n.stores.devices.DeviceByName(ctx, demoDevice)
	if err != nil {
		return err
	}
	d.CoA = to
	return n.stores.devices.UpdateDevice(ctx, "demo", n.clock.Now(), &d)
}

// simulate keeps subscribers online on the access server until ctx ends.
func (n *node) simulate(ctx context.Context, server *nastest.NAS, people []demoPerson, online int) error {
	// It has just been switched on: what an earlier run left open is closed.
	if err := server.AccountingOn(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the simulated access server gets no answer: %w", err)
	}
	server.Crowd(nastest.CrowdConfig{N: min(online, len(people)), Over: 5 * time.Second, MaxLoad: 0.5,
		Subscriber: func(i int) (string, string, nastest.Method) {
			return people[i].login, people[i].password, nastest.Method(i % 3)
		}})
	<-ctx.Done()
	return nil
}

// loopback is how this machine reaches one of its own listeners.
func loopback(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Port()).String()
	}
	return a.String()
}

// printDemo tells the newcomer what is there and what to try.
func (n *node) printDemo(out io.Writer, people []demoPerson, commands netip.AddrPort) {
	auth := loopback(n.door.AuthAddrs()[0])
	fmt.Fprintf(out, "\nEnlace is up.\n\n")
	fmt.Fprintf(out, "  RADIUS authentication  %v udp\n  RADIUS accounting      %v udp\n", n.door.AuthAddrs(), n.door.AcctAddrs())
	fmt.Fprintf(out, "  Panel and API          http://%s\n", n.listener.Addr())
	fmt.Fprintf(out, "  Sign in as             %s, password %s\n", staffName, n.password)
	fmt.Fprintf(out, "  Simulated network      device %s, commands to %s\n", demoDevice, commands)
	fmt.Fprintf(out, "\nLogins to try, one line each:\n")
	want := []struct {
		what    string
		outcome contracts.Outcome
	}{{"accepted at full speed", contracts.OutcomeFull}, {"accepted, reduced", contracts.OutcomeReduced}, {"refused", contracts.OutcomeReject}}
	now := n.clock.Now()
	for _, w := range want {
		for _, p := range people {
			if sub := n.projection.directory.Lookup([]byte(p.login)); sub != nil && sub.At(now).Outcome == w.outcome {
				fmt.Fprintf(out, "  # %s\n  echo 'User-Name=\"%s\",User-Password=\"%s\",Message-Authenticator=0x00' | radclient -x %s auth %s\n", w.what, p.login, p.password, auth, demoSecret)
				break
			}
		}
	}
	where := n.cfg.DataDir
	if c := n.db.cluster; c != nil && c.Moved {
		where += " and, because PostgreSQL's user cannot go there, its database in " + c.DataDir
	}
	fmt.Fprintf(out, "\nCtrl-C ends everything; the data stays in %s.\n", where)
}
