package main

import (
	"context"
	"crypto/md5" //nolint:gosec // RADIUS is defined with MD5 (RFC 2865, section 3)
	"debug/buildinfo"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	naspg "enlace/nas/pg"
	"enlace/postgres"
)

// massCmd measures a change of many sessions at once: the rates of a plan. What it prints is for docs/performance.md.
type massCmd struct {
	Sessions int    `default:"50000" help:"Sessions that are open (100 to 200000)."`
	Devices  int    `default:"4" help:"Access servers that hold them (1 to 50)."`
	Rate     int    `default:"2000" help:"Commands a second that each of them takes (1 to 10000)."`
	Blocked  int    `default:"200" help:"Sessions that are blocked beforehand, and unblocked one by one during the change."`
	Enlace   string `help:"The server's program; default: enlace beside this one."`
}

// mass is one run.
type mass struct {
	out     io.Writer
	subject *subject
	people  *people
	sites   []*taker
	store   *contractspg.Store
}

func (c *massCmd) Run(ctx context.Context, out io.Writer) (err error) {
	if c.Sessions < 100 || c.Sessions > 200_000 || c.Devices < 1 || c.Devices > 50 || c.Rate < 1 || c.Rate > 10_000 || c.Blocked < 1 || c.Blocked > c.Sessions/2 {
		return errors.New("sessions are 100 to 200000, devices 1 to 50, the rate is 1 to 10000, and at most half of the sessions are blocked")
	}
	if c.Enlace == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		c.Enlace = filepath.Join(filepath.Dir(self), "enlace")
	}
	info, err := buildinfo.ReadFile(c.Enlace)
	if err != nil {
		return fmt.Errorf("finding the server's program (make build): %w", err)
	}
	flags := benchFlags(c.Sessions)
	m := &mass{out: out}
	if m.people, err = flags.people(); err != nil {
		return err
	}
	m.people.keepClasses()
	if m.subject, err = raise(ctx, c.Enlace, &flags); err != nil {
		return err
	}
	defer func() {
		for _, d := range m.sites {
			d.conn.Close()
		}
		err = errors.Join(err, m.subject.end())
	}()
	m.store = &contractspg.Store{Pool: m.subject.pool}
	b := &bench{out: out, subject: m.subject}
	if b.frame, err = flags.crowd([ports]string{portAuth: m.subject.auth, portAcct: m.subject.acct}); err != nil {
		return err
	}
	if err := b.machine(ctx, info.GoVersion); err != nil {
		return err
	}
	for i := range c.Devices {
		if err := m.bring(ctx, b, c, i); err != nil {
			return err
		}
	}
	if err := b.emptied(ctx); err != nil {
		return err
	}
	first := c.Sessions - c.Blocked // those from here on are blocked
	if err := m.block(ctx, first); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d sessions on %d access servers that take %d commands a second each; %d of them are blocked\n\n", c.Sessions, c.Devices, c.Rate, c.Blocked)
	return m.change(ctx, c, first)
}

// bring makes an access server with its share of the subscribers, all online.
func (m *mass) bring(ctx context.Context, b *bench, c *massCmd, i int) error {
	source := fmt.Sprintf("127.0.1.%d", i+1)
	d, err := newTaker(m.subject.secret)
	if err != nil {
		return err
	}
	m.sites = append(m.sites, d)
	key, err := newSealer(filepath.Join(m.subject.dir, "key"))
	if err != nil {
		return err
	}
	address := netip.MustParseAddr(source)
	device := nas.Device{Name: fmt.Sprint("bras-", i+1), Source: netip.PrefixFrom(address, 32), Secret: []byte(m.subject.secret), Dialect: "standard",
		MessageAuthenticator: nas.RequireMA, InterimSeconds: 300, CommandsPerSecond: c.Rate, CoA: d.addr()}
	devices := naspg.Store{Pool: m.subject.pool, Sealer: key}
	if err := devices.CreateDevice(ctx, "radload", time.Now(), &device); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(m.subject.auth)
	if err != nil {
		return err
	}
	if err := m.subject.until(ctx, "the server answers its new device", func() (bool, error) {
		return statusServer(address, to, newCodec([]byte(m.subject.secret)))
	}); err != nil {
		return err
	}
	from, end := i*c.Sessions/c.Devices, (i+1)*c.Sessions/c.Devices
	own := &people{logins: m.people.logins[from:end], passwords: m.people.passwords[from:end], classes: m.people.classes[from:end], seed: m.people.seed + uint64(i)}
	frame := b.frame
	frame.source, frame.rate, frame.duration, frame.timeout = address, 0, 10*time.Minute, 10*time.Second
	r, err := newLines(own).act(ctx, frame, openScript, m.subject.secret, methodPAP, 1)
	if err == nil {
		err = r.failure()
	}
	if err == nil && r.wholes != uint64(end-from) {
		err = fmt.Errorf("of %d sessions %d began", end-from, r.wholes)
	}
	return err
}

// record adds a fact about the contract of a subscriber, whose number is his contract's where only seeding made any.
func (m *mass) record(ctx context.Context, subscriber int, kind contracts.FactKind) error {
	return pgx.BeginFunc(ctx, m.subject.pool, func(tx pgx.Tx) error {
		var id int64
		if err := tx.QueryRow(ctx, `select contract_id from access where login = $1`, m.people.logins[subscriber]).Scan(&id); err != nil {
			return err
		}
		f := contracts.Fact{ContractID: contracts.ContractID(id), Kind: kind, Actor: "radload", Reason: "measured"}
		if err := contractspg.Append(ctx, tx, time.Now(), &f); err != nil {
			return err
		}
		return postgres.NotifyChange(ctx, tx)
	})
}

// block walls the subscribers from a number on.
func (m *mass) block(ctx context.Context, first int) error {
	before := m.told()
	for i := first; i < len(m.people.logins); i++ {
		if err := m.record(ctx, i, contracts.ManualBlock); err != nil {
			return err
		}
	}
	return m.settled(ctx, before+len(m.people.logins)-first)
}

// told is how many commands the access servers have got, without retransmissions.
func (m *mass) told() (n int) {
	for _, d := range m.sites {
		commands, _ := d.counts()
		n += commands
	}
	return n
}

// settled waits until so many commands came, and nothing is left to do.
func (m *mass) settled(ctx context.Context, commands int) error {
	return m.subject.until(ctx, "every session is told", func() (bool, error) {
		if m.told() < commands {
			return false, nil
		}
		left, err := m.subject.metric("enlace_nas_differences")
		return left == 0, err
	})
}

// change raises the plan's rates, and unblocks subscribers one by one until all that follows is done.
func (m *mass) change(ctx context.Context, c *massCmd, first int) error {
	plans, err := m.store.Plans(ctx, time.Now())
	if err != nil || len(plans) != 1 {
		return errors.Join(err, fmt.Errorf("there are %d plans", len(plans)))
	}
	plan := plans[0]
	plan.Full.DownBps, plan.Full.UpBps = plan.Full.DownBps*6/5, plan.Full.UpBps*6/5
	for _, d := range m.sites {
		d.forget()
	}
	used, err := m.subject.usage()
	if err != nil {
		return err
	}
	resting, _, err := m.subject.resident()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := m.store.UpdatePlan(ctx, "radload", began, &plan); err != nil {
		return err
	}
	var unblocked histogram
	var lost int
	pause := time.Duration(float64(c.Sessions) / float64(c.Rate*c.Devices) * float64(time.Second) / float64(c.Blocked))
	var idle histogram
	for i := first; i < len(m.people.logins); i++ {
		turn := time.Now()
		at, err := m.unblock(ctx, i)
		if err != nil {
			return err
		}
		switch {
		case at == 0:
			lost++
		case m.told() < c.Sessions-c.Blocked:
			unblocked.add(at)
		default: // after the change: to compare with
			idle.add(at)
		}
		time.Sleep(max(0, pause-time.Since(turn)))
	}
	if err := m.settled(ctx, c.Sessions); err != nil {
		return err
	}
	after, err := m.subject.usage()
	if err != nil {
		return err
	}
	now, peak, err := m.subject.resident()
	if err != nil {
		return err
	}
	spent := after.since(used)
	var head, tail time.Time
	commands, datagrams, busiest := 0, 0, 0
	for _, d := range m.sites {
		n, all := d.counts()
		commands, datagrams = commands+n, datagrams+all
		f, l, most := d.span()
		if head.IsZero() || f.Before(head) {
			head = f
		}
		if l.After(tail) {
			tail = l
		}
		busiest = max(busiest, most)
	}
	each := func(d time.Duration) string {
		return fmt.Sprintf("%.0f µs", float64(d.Microseconds())/float64(commands))
	}
	fmt.Fprintf(m.out, "%d commands in %d datagrams: the first %s after the plan was saved, the last %s after that: %.0f/s; an access server saw at most %d in a second\n",
		commands, datagrams, short(head.Sub(began)), short(tail.Sub(head)), perSecond(uint64(commands), tail.Sub(head)), busiest)
	fmt.Fprintf(m.out, "processor time of a command: server %s, PostgreSQL %s; resident %d MB before, %d MB after, at the peak %d MB\n",
		each(spent.own), each(spent.others), resting>>20, now>>20, peak>>20)
	fmt.Fprintf(m.out, "unblocked meanwhile: %d, p50 %s, p99 %s, max %s from the fact's commit to the command's arrival; afterwards: %d, p50 %s, p99 %s; %d not within %s\n",
		unblocked.n, short(unblocked.quantile(0.5)), short(unblocked.quantile(0.99)), short(unblocked.max),
		idle.n, short(idle.quantile(0.5)), short(idle.quantile(0.99)), lost, short(unblockPatience))
	return nil
}

// unblockPatience is how long the command of an unblock is waited for.
const unblockPatience = 30 * time.Second

// unblock releases a subscriber, and gives the time from the fact's commit to the command; 0 where none came.
func (m *mass) unblock(ctx context.Context, subscriber int) (time.Duration, error) {
	arrived := make(chan time.Time, 1)
	for _, d := range m.sites {
		d.await(m.people.logins[subscriber], arrived)
	}
	if err := m.record(ctx, subscriber, contracts.ManualUnblock); err != nil {
		return 0, err
	}
	committed := time.Now()
	select {
	case at := <-arrived:
		return max(at.Sub(committed), time.Microsecond), nil
	case <-time.After(unblockPatience):
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-m.subject.gone:
		return 0, m.subject.died()
	}
}

// taker is an access server that acknowledges whatever it is told.
type taker struct {
	conn   *net.UDPConn
	secret []byte

	mu        sync.Mutex
	seen      map[[16]byte]struct{} // Request Authenticators
	datagrams int
	arrivals  []time.Time
	awaited   string
	arrived   chan time.Time
}

func newTaker(secret string) (*taker, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("listening for commands: %w", err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	d := &taker{conn: conn, secret: []byte(secret), seen: map[[16]byte]struct{}{}}
	go d.serve()
	return d, nil
}

func (d *taker) addr() netip.AddrPort { return d.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (d *taker) serve() {
	buf := make([]byte, maxPacket)
	h := md5.New()
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n < headerLen || buf[0] != codeCoARequest && buf[0] != codeDisconnectRequest {
			continue
		}
		d.note(buf[:n])
		reply := [headerLen]byte{buf[0] + 1, buf[1], 0, headerLen} // the ACK's code follows the request's (RFC 5176, section 2.3)
		h.Reset()
		h.Write(reply[:4])
		h.Write(buf[4:headerLen])
		h.Write(d.secret)
		h.Sum(reply[:4])
		_, _ = d.conn.WriteToUDPAddrPort(reply[:], from)
	}
}

const (
	codeDisconnectRequest = 40
	codeCoARequest        = 43
)

func (d *taker) note(b []byte) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.datagrams++
	id := [16]byte(b[4:headerLen])
	if _, again := d.seen[id]; again {
		return
	}
	d.seen[id] = struct{}{}
	d.arrivals = append(d.arrivals, now)
	if d.arrived == nil || binary.BigEndian.Uint16(b[2:4]) > uint16(len(b)) {
		return
	}
	for rest := b[headerLen:]; len(rest) > 2 && int(rest[1]) <= len(rest) && rest[1] >= 2; rest = rest[rest[1]:] {
		if rest[0] == attrUserName && string(rest[2:rest[1]]) == d.awaited {
			d.arrived <- now
			d.arrived = nil
			return
		}
	}
}

// await has the arrival of the next command for a login told, once.
func (d *taker) await(login string, arrived chan time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.awaited, d.arrived = login, arrived
}

// forget begins the counts anew.
func (d *taker) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.datagrams, d.arrivals = 0, nil
}

func (d *taker) counts() (commands, datagrams int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.arrivals), d.datagrams
}

// span is when the first command came and when the last, and the most within a second.
func (d *taker) span() (first, last time.Time, most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.arrivals) == 0 {
		return time.Time{}, time.Time{}, 0
	}
	from := 0
	for i, at := range d.arrivals {
		for at.Sub(d.arrivals[from]) > time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return d.arrivals[0], d.arrivals[len(d.arrivals)-1], most
}
