package admin_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/admin"
	adminpg "enlace/admin/pg"
	"enlace/billing"
	billingpg "enlace/billing/pg"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	naspg "enlace/nas/pg"
	"enlace/postgres/pgtest"
	"enlace/radius"
	radiuspg "enlace/radius/pg"
)

// house is a provider with its panel, on a real database and a clock that hardly moves from where it is put.
type house struct {
	testing.TB
	ctx       context.Context
	pool      *pgxpool.Pool
	contracts *contractspg.Store
	billing   *billingpg.Store
	devices   *naspg.Store
	sessions  *radiuspg.Store
	refusals  refusalList
	network   network
	secrets   map[nas.DeviceID]radius.SecretProof
	cut       chan nas.SessionKey // sessions that were told to end
	server    *httptest.Server
	client    *http.Client
	password  string
	health    admin.Health

	mu  sync.Mutex
	now time.Time

	bras   nas.DeviceID
	plans  []contracts.PlanID
	byName map[string]contracts.ContractID
}

var saoPaulo = func() *time.Location {
	l, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		panic(err)
	}
	return l
}()

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, saoPaulo)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// rot makes secrets unreadable in the database, which is all that is asked of it here.
type rot struct{}

func (rot) Seal(b []byte) []byte {
	out := slices.Clone(b)
	for i := range out {
		out[i] ^= 0x5a
	}
	return out
}

func (r rot) Open(b []byte) ([]byte, error) { return r.Seal(b), nil }

// The stores' own argument types are turned into the panel's, as the program's wiring does.

type sessionStore struct{ *radiuspg.Store }

type usageStore struct{ store *radiuspg.Store }

func (s usageStore) Usage(ctx context.Context, id contracts.ContractID, from, until contracts.Date) ([]contracts.DayUsage, error) {
	found, err := s.store.Usage(ctx, radiuspg.Days{Contract: id, From: from, Until: until})
	return found[id], err
}

func (s sessionStore) OpenSessions(ctx context.Context, f admin.SessionFilter) ([]radius.Session, error) {
	return s.Store.OpenSessions(ctx, radiuspg.Filter(f))
}

// directory answers from the database at once: in the program it is a projection in memory.
type directory struct{ h *house }

func (d directory) each(f func(dossier contracts.Dossier, life contracts.Life)) {
	rows, err := d.h.pool.Query(d.h.ctx, `select id from contract order by id`)
	d.h.must(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[contracts.ContractID])
	d.h.must(err)
	for _, id := range ids {
		dossier, err := d.h.contracts.Dossier(d.h.ctx, id, d.h.clock())
		d.h.must(err)
		f(dossier, dossier.Timeline(contracts.Options{}))
	}
}

func (d directory) Counts(now time.Time) []admin.Count {
	var out []admin.Count
	d.each(func(dossier contracts.Dossier, life contracts.Life) {
		s := life.Spans.At(now)
		i := slices.IndexFunc(out, func(c admin.Count) bool { return c.Status == s.Status && c.Outcome == s.Outcome })
		if i < 0 {
			out, i = append(out, admin.Count{Status: s.Status, Outcome: s.Outcome}), len(out)
		}
		out[i].N += len(dossier.Contract.Accesses)
	})
	return out
}

func (d directory) Standing(login string, _ contracts.AccessID, now time.Time) (st admin.Standing, ok bool) {
	id, access, err := d.h.contracts.FindLogin(d.h.ctx, login)
	if err != nil {
		return st, false
	}
	dossier, err := d.h.contracts.Dossier(d.h.ctx, id, now)
	d.h.must(err)
	s := dossier.Timeline(contracts.Options{}).Spans.At(now)
	plan := dossier.Plans[s.PlanID]
	full := nas.Service{Outcome: contracts.OutcomeFull, Profile: plan.Full, Plan: plan.Name}
	reduced := nas.Service{Outcome: contracts.OutcomeReduced, Profile: plan.ReducedProfile(), Plan: plan.Name}
	walled := nas.Service{Outcome: contracts.OutcomeWalled, Profile: nas.DefaultGarden().Profile, Plan: plan.Name}
	st = admin.Standing{Contract: id, Access: access, Status: s.Status, Known: []nas.Service{full, reduced, walled},
		Disabled: slices.Contains(s.Disabled, access), Service: nas.Service{Outcome: contracts.OutcomeReject}}
	for _, k := range st.Known {
		if k.Outcome == s.Outcome && !st.Disabled {
			st.Service = k
		}
	}
	return st, true
}

func (d directory) Changes(from, until time.Time, limit int) ([]admin.Change, int) {
	var out []admin.Change
	d.each(func(dossier contracts.Dossier, life contracts.Life) {
		for i := 1; i < len(life.Spans); i++ {
			a, b := life.Spans[i-1], life.Spans[i]
			if a.Outcome != b.Outcome && b.From.After(from) && !b.From.After(until) {
				for _, access := range dossier.Contract.Accesses {
					out = append(out, admin.Change{At: b.From, Login: access.Login, Contract: dossier.Contract.ID, From: a.Outcome, To: b.Outcome, Status: b.Status})
				}
			}
		}
	})
	slices.SortFunc(out, func(a, b admin.Change) int { return a.At.Compare(b.At) })
	return out[:min(limit, len(out))], len(out)
}

func (directory) Age(time.Time) time.Duration { return 400 * time.Millisecond }

// network is what a node would be telling the access servers.
type network struct {
	mu    sync.Mutex
	loads []nas.DeviceLoad
	waves []nas.Wave
	would func(contracts.Plan) map[nas.DeviceID]int
}

func (n *network) WouldChange(pl contracts.Plan, _ time.Time) map[nas.DeviceID]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.would == nil {
		return nil
	}
	return n.would(pl)
}

func (n *network) Loads() []nas.DeviceLoad {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loads
}

func (n *network) Waves() []nas.Wave {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.waves
}

type refusalList struct {
	mu   sync.Mutex
	list []radius.Refusal
}

func (l *refusalList) Recent(login string, n int) []radius.Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []radius.Refusal
	for _, r := range l.list {
		if (login == "" || r.Login == login) && len(out) < n {
			out = append(out, r)
		}
	}
	return out
}

// open builds the panel over an empty provider.
func open(t testing.TB, change ...func(*admin.Config)) *house {
	t.Helper()
	pool := pgtest.New(t)
	h := &house{TB: t, ctx: context.Background(), pool: pool, contracts: &contractspg.Store{Pool: pool, Sealer: rot{}},
		billing: &billingpg.Store{Pool: pool}, devices: &naspg.Store{Pool: pool, Sealer: rot{}}, sessions: radiuspg.NewStore(pool),
		cut: make(chan nas.SessionKey, 10), now: at("2026-03-18 10:20"), byName: map[string]contracts.ContractID{},
		health: admin.Health{OK: true, Database: "ok", DirectoryAge: .4, Logins: 14, Sessions: 9}}
	var created bool
	var err error
	h.password, created, err = adminpg.EnsureStaff(h.ctx, pool, "ana", h.now)
	h.must(err)
	if !created {
		t.Fatal("the first account was not made")
	}
	config := admin.Config{Connections: h.sessions, Contracts: h.contracts, Billing: h.billing, Sessions: sessionStore{h.sessions}, Usage: usageStore{h.sessions},
		Devices: h.devices, Conformance: h.devices, Dialects: nas.NewDialects(nas.DefaultGarden()), Network: &h.network, Directory: directory{h}, Refusals: &h.refusals, Staff: &adminpg.Store{Pool: pool}, SignIns: &adminpg.SignIns{Pool: pool},
		Disconnect:  func(_ context.Context, key nas.SessionKey, _, _ string) error { h.cut <- key; return nil },
		SecretInUse: func(id nas.DeviceID) radius.SecretProof { return h.secrets[id] },
		Now:         h.clock, SetClock: func(to time.Time) error { h.setClock(to); return nil }, Zone: saoPaulo, NoticeChannels: []string{"log"},
		Health:     func(context.Context) admin.Health { return h.health },
		Registerer: prometheus.NewRegistry(), Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel), Version: "test"}
	for _, f := range change {
		f(&config)
	}
	handler, err := admin.New(config)
	h.must(err)
	h.server = httptest.NewServer(handler)
	t.Cleanup(h.server.Close)
	h.client = newBrowser()
	return h
}

// newBrowser keeps cookies and does not follow redirects.
func newBrowser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	return &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// clock moves on by a little with every look: two acts never happen at one instant.
func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(10 * time.Microsecond)
	return h.now
}

func (h *house) setClock(to time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = to
}

// hostile is a name that any page must escape.
const hostile = `<script>alert(1)</script> & "Filhos" 'Ltda'`

// equip records the access servers.
func (h *house) equip(begin time.Time) {
	h.Helper()
	for i, d := range []nas.Device{{Name: "bras-centro", Dialect: "mikrotik"}, {Name: "bras-norte", Dialect: "accel-ppp"}} {
		d.Source = netip.MustParsePrefix(fmt.Sprintf("10.20.0.%d/32", i+1))
		d.Secret, d.MessageAuthenticator, d.InterimSeconds, d.CommandsPerSecond = []byte("nas-secret-never-shown"), nas.LearnMA, 300, 50
		d.CoA = netip.AddrPortFrom(d.Source.Addr(), 3799)
		if i == 1 {
			d.Certificate, d.OlderSecret = "bras-norte.example.net", []byte("nas-secret-of-before")
		}
		h.must(h.devices.CreateDevice(h.ctx, "system", begin, &d))
		if i == 0 {
			h.bras = d.ID
		}
	}
}

// furnish lives through the months before now: contracts, invoices, notices and payments, each on its day.
func (h *house) furnish() {
	h.Helper()
	end := h.clock()
	begin := at("2025-10-06 09:00")
	for _, p := range []contracts.Plan{
		{Name: "Fibra 500", Price: 99_90, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10},
		{Name: "Fibra 800", Price: 139_90, Full: contracts.Profile{DownBps: 800e6, UpBps: 400e6}, ReducedPercent: 10},
		{Name: "Empresarial 1G", Price: 399_00, Full: contracts.Profile{DownBps: 1e9, UpBps: 1e9}, Reduced: contracts.Profile{DownBps: 50e6, UpBps: 50e6}},
	} {
		h.must(h.contracts.CreatePlan(h.ctx, "system", begin, &p))
		h.plans = append(h.plans, p.ID)
	}
	h.equip(begin)
	people := []struct {
		name, document string
		dueDay, plan   int
		lastPaid       string // pays what falls due up to then
		pending        bool
	}{
		{"Maria Aparecida de Souza", "52998224725", 10, 0, "2099-01-01", false},
		{"João Carlos Pereira", "", 15, 0, "2026-02-28", false},
		{"Oliveira & Filhos Comércio Ltda", "11222333000181", 20, 2, "2026-02-19", false},
		{"Ana Beatriz Lima", "", 5, 1, "2026-01-31", false},
		{"Carlos Eduardo Nunes", "", 20, 0, "2026-01-25", false},
		{"Fernanda Rocha Martins", "", 5, 0, "2026-01-10", false},
		{"Luiz Henrique Barbosa", "", 10, 1, "2099-01-01", false},
		{"Patrícia Gomes", "", 15, 0, "2099-01-01", false},
		{"Rafael Teixeira Dias", "", 25, 0, "2099-01-01", true},
		{"Juliana Castro", "", 10, 1, "2099-01-01", false},
		{"Marcos Vinícius Andrade", "", 1, 0, "2099-01-01", false},
		{hostile, "", 8, 0, "2099-01-01", false},
	}
	type payer struct {
		id   contracts.ContractID
		till contracts.Date
	}
	var payers []payer
	for i, who := range people {
		c := contracts.Customer{Name: who.name, Document: who.document, Email: fmt.Sprintf("cliente%d@example.com", i+1), Phone: "+55 49 99900-00" + fmt.Sprintf("%02d", i)}
		h.must(h.contracts.CreateCustomer(h.ctx, "staff:ana", begin, &c))
		k := contracts.Contract{CustomerID: c.ID, PlanID: h.plans[who.plan], Zone: saoPaulo, AutoBlock: true, TrustEnabled: true, DueDay: who.dueDay,
			Timing: contracts.Postpaid, StartsPending: who.pending, Accesses: []contracts.Access{{Login: fmt.Sprintf("cliente%02d@isp", i+1)}}}
		h.must(h.contracts.CreateContract(h.ctx, "staff:ana", begin.Add(time.Duration(i)*time.Minute), &k, []string{"subscriber-password-never-shown"}))
		till, err := contracts.ParseDate(who.lastPaid)
		h.must(err)
		payers, h.byName[who.name] = append(payers, payer{k.ID, till}), k.ID
	}
	for day := begin.Add(24 * time.Hour); day.Before(end); day = day.Add(24 * time.Hour) {
		_, err := h.billing.IssueDue(h.ctx, day.Add(-3*time.Hour), "system")
		h.must(err)
		today := contracts.DateOf(day, saoPaulo)
		for _, p := range payers {
			d, err := h.contracts.Dossier(h.ctx, p.id, day)
			h.must(err)
			for _, debt := range contracts.Debts(d.Contract, d.Facts, d.Rules, day) {
				switch {
				case debt.Due <= p.till && debt.Due <= today:
					_, _, err := h.billing.Pay(h.ctx, billing.PaymentRequest{ExternalID: "pix-" + debt.InvoiceID, Invoice: debt.InvoiceID, Amount: debt.Open, Method: billing.Pix, Actor: "token:bank"}, day.Add(2*time.Hour))
					h.must(err)
				case debt.NoticeDue:
					h.must(pgx.BeginFunc(h.ctx, h.pool, func(tx pgx.Tx) error {
						return contractspg.Append(h.ctx, tx, day, &contracts.Fact{ContractID: p.id, Kind: contracts.NoticeSent, InvoiceID: debt.InvoiceID, Channel: "email", Proof: "250 OK", Actor: "system"})
					}))
				}
			}
		}
	}
	act := func(name string, when time.Time, f contracts.Fact) {
		h.Helper()
		f.ContractID, f.Actor = h.byName[name], "staff:ana"
		_, err := h.contracts.Act(h.ctx, when, f)
		h.must(err)
	}
	act("Fernanda Rocha Martins", end.Add(-20*time.Hour), contracts.Fact{Kind: contracts.TrustUnblock})
	act("Luiz Henrique Barbosa", end.Add(-50*time.Hour), contracts.Fact{Kind: contracts.ManualBlock, Reason: "equipamento em recolhimento"})
	today := contracts.DateOf(end, saoPaulo)
	act("Patrícia Gomes", end.Add(-6*time.Hour), contracts.Fact{Kind: contracts.VoluntarySuspend, From: today, Until: today.AddDays(45), Reason: "viagem"})
	act("Juliana Castro", end.Add(-30*time.Hour), contracts.Fact{Kind: contracts.Cancelled, Reason: "mudança de cidade"})
	h.goOnline(end)
	h.refusals.list = []radius.Refusal{
		{First: end.Add(-40 * time.Minute), At: end.Add(-2 * time.Minute), Count: 418, Login: "cliente10@isp", Device: "bras-centro", CallingStation: "AA:BB:CC:00:10:10", Reason: radius.ContractState, Detail: "the contract is terminated"},
		{First: end.Add(-5 * time.Minute), At: end.Add(-5 * time.Minute), Count: 1, Login: "cliente09@isp", Device: "bras-centro", Reason: radius.ContractState, Detail: "the contract is pending"},
		{First: end.Add(-9 * time.Minute), At: end.Add(-8 * time.Minute), Count: 3, Login: "cliente04@isp", Device: "bras-norte", CallingStation: "AA:BB:CC:00:04:04", Reason: radius.BadPassword, Detail: "the PAP password does not match"},
	}
}

// goOnline opens a session for most logins, as accounting would.
func (h *house) goOnline(now time.Time) {
	h.Helper()
	var batch radius.Batch
	batch.Node = "test"
	for i := range 12 {
		if i == 8 || i == 9 {
			continue
		}
		login := fmt.Sprintf("cliente%02d@isp", i+1)
		st, ok := directory{h}.Standing(login, 0, now)
		if !ok {
			h.Fatalf("%s is not known", login)
		}
		applied := st.Service
		if i == 4 {
			applied = st.Known[0] // the access server has not followed yet
		}
		start := radius.Record{Kind: radius.KindStart, Key: nas.SessionKey{Device: h.bras + nas.DeviceID(i%2), ID: fmt.Sprintf("8100%04x", i)}, Login: login,
			Event: now.Add(-time.Duration(i*i*37+11) * time.Minute).Truncate(time.Second), Cookie: nas.Cookie{Access: st.Access, Granted: applied.Digest()},
			FramedIP: netip.AddrFrom4([4]byte{100, 64, 3, byte(10 + i)}), CallingStation: fmt.Sprintf("AA:BB:CC:00:%02d:%02d", i, i), NASPort: fmt.Sprintf("ether%d", i%4+1)}
		start.FramedIPv6 = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/56", 0x100+i))}
		start.Received = start.Event
		interim := start
		interim.Kind, interim.Event, interim.Received = radius.KindInterim, now.Add(-time.Duration(20+i*13)*time.Second), now
		interim.Seconds, interim.TimeKnown = int64(interim.Event.Sub(start.Event)/time.Second), true
		interim.Input = radius.Octets{N: uint64(i*i+1) * 87_654_321, Known: true, Wide: true}
		interim.Output = radius.Octets{N: uint64(i*i+1) * 987_654_321, Known: true, Wide: true}
		batch.Records = append(batch.Records, start, interim)
	}
	_, err := h.sessions.Store(h.ctx, batch)
	h.must(err)
	h.must(h.devices.SaveCommands(h.ctx, []nas.CommandRecord{
		{ID: 1, Session: nas.SessionKey{Device: h.bras, ID: "81000005"}, Login: "cliente06@isp", Method: nas.CoA, Want: "FULL 500M/250M", Reason: "trust_unblock", Actor: "system",
			RequestedAt: now.Add(-20 * time.Hour), SentAt: now.Add(-20 * time.Hour), Attempts: 1, AnsweredAt: now.Add(-20 * time.Hour).Add(8 * time.Millisecond), Answer: nas.Acked, ConfirmedAt: now.Add(-20 * time.Hour).Add(90 * time.Second), Evidence: nas.EvidenceInterim},
		{ID: 2, Session: nas.SessionKey{Device: h.bras, ID: "81000005"}, Login: "cliente06@isp", Method: nas.Disconnect, Want: "WALLED 1M/1M", Reason: "block_after_days", Actor: "system",
			RequestedAt: now.Add(-49 * time.Hour), SentAt: now.Add(-49 * time.Hour), Attempts: 3, AnsweredAt: now.Add(-49 * time.Hour).Add(14 * time.Second), Answer: nas.TimedOut},
	}))
}

var update = flag.Bool("update", false, "write the golden files anew")

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
