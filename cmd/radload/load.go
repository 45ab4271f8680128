package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"
)

// crowdFlags are what every load has.
type crowdFlags struct {
	Source      string        `default:"127.0.0.1" help:"Loopback address to ask from."`
	Secret      string        `default:"testing123" env:"RADLOAD_SECRET" help:"Shared secret."`
	Subscribers int           `default:"1000" help:"How many subscribers there are (1 to 1000000)."`
	Login       string        `default:"user%07d@isp" help:"Pattern of the logins; %07d is the number, from 1."`
	Password    string        `default:"pw%07d" help:"Pattern of the passwords."`
	Sockets     int           `default:"16" help:"Source ports (1 to 256)."`
	Window      int           `default:"32" help:"Requests under way on each port (1 to 128)."`
	Rate        float64       `help:"Requests (of sessions: sessions) begun a second; 0: as fast as the answers come."`
	Duration    time.Duration `default:"10s" help:"For how long (up to 10m)."`
	Rounds      int           `help:"End when every subscriber was asked for so often; 0: when the time is over."`
	Timeout     time.Duration `default:"3s" help:"How long a reply is waited for (up to 30s). Nothing is sent again."`
	Check       bool          `help:"Verify both authenticators of every reply, not of one in 64."`
}

// crowd makes a load's frame from the flags; servers are the addresses of the ports asked, "" for those that are not.
func (f *crowdFlags) crowd(servers [ports]string) (c crowd, err error) {
	if c.source, err = netip.ParseAddr(f.Source); err != nil || !c.source.IsLoopback() {
		return c, fmt.Errorf("source %q is not a loopback address: a load belongs on no network", f.Source)
	}
	for p, text := range servers {
		if text == "" {
			continue
		}
		if c.servers[p], err = netip.ParseAddrPort(text); err != nil || !c.servers[p].Addr().IsLoopback() || c.servers[p].Port() == 0 {
			return c, fmt.Errorf("%q is not a loopback address and port: a load belongs on no network", text)
		}
		if c.servers[p].Addr().Is4() != c.source.Is4() {
			return c, fmt.Errorf("%s cannot be asked from %s: one is IPv4, the other is not", text, f.Source)
		}
	}
	switch {
	case f.Subscribers < 1 || f.Subscribers > 1_000_000:
		return c, errors.New("subscribers are 1 to 1000000")
	case f.Sockets < 1 || f.Sockets > 256 || f.Window < 1 || f.Window > 128:
		return c, errors.New("sockets are 1 to 256, the window is 1 to 128")
	case f.Rate < 0 || f.Rate > 1e6:
		return c, errors.New("the rate is 0 to 1000000 a second")
	case f.Duration <= 0 || f.Duration > 10*time.Minute || f.Timeout <= 0 || f.Timeout > 30*time.Second:
		return c, errors.New("the duration is up to 10m, the timeout up to 30s")
	case f.Rounds < 0 || len(f.Secret) == 0:
		return c, errors.New("rounds are 0 or more, and a secret is needed")
	}
	c.sockets, c.window, c.rate, c.duration, c.timeout, c.check = f.Sockets, f.Window, f.Rate, f.Duration, f.Timeout, f.Check
	return c, nil
}

func (f *crowdFlags) people() (*people, error) {
	return newPeople(f.Subscribers, f.Login, f.Password, rand.Uint64())
}

type authCmd struct {
	Server string `default:"127.0.0.1:1812" help:"Address of the server's authentication port."`
	Method string `default:"pap" enum:"pap,chap,mschapv2" help:"pap, chap or mschapv2."`
	crowdFlags
}

func (c *authCmd) Run(ctx context.Context, out io.Writer) error {
	frame, err := c.crowd([ports]string{portAuth: c.Server})
	if err != nil {
		return err
	}
	p, err := c.people()
	if err != nil {
		return err
	}
	r, err := logins(ctx, frame, p, c.Secret, c.Method, c.Rounds)
	return report(out, "logins ("+c.Method+")", r, err)
}

func logins(ctx context.Context, c crowd, p *people, secret, method string, rounds int) (*result, error) {
	return c.run(ctx, func(slots []*slot, r *result) load {
		return newAuthLoad(c, p, secret, method, rounds, slots, r)
	})
}

type acctCmd struct {
	Server     string `default:"127.0.0.1:1813" help:"Address of the server's accounting port."`
	AuthServer string `help:"Address of its authentication port: every subscriber logs in there first, unmeasured, and accounting carries the Class of the accept, as an access server's does."`
	crowdFlags
}

func (c *acctCmd) Run(ctx context.Context, out io.Writer) error {
	frame, err := c.crowd([ports]string{portAuth: c.AuthServer, portAcct: c.Server})
	if err != nil {
		return err
	}
	p, err := c.people()
	if err != nil {
		return err
	}
	if c.AuthServer != "" {
		if err := logEverybodyIn(ctx, frame, p, c.Secret); err != nil {
			return err
		}
	}
	r, err := newLines(p).account(ctx, frame, c.Secret, c.Rounds, 0)
	return report(out, "accounting", r, err)
}

// logEverybodyIn keeps each subscriber's Class for accounting.
func logEverybodyIn(ctx context.Context, c crowd, p *people, secret string) error {
	p.keepClasses()
	c.servers[portAcct] = netip.AddrPort{}
	c.rate, c.duration = 0, 10*time.Minute
	r, err := logins(ctx, c, p, secret, methodPAP, 1)
	if err == nil && r.verdicts[accepted] != uint64(len(p.logins)) {
		err = fmt.Errorf("of %d subscribers %d could log in, %d were rejected", len(p.logins), r.verdicts[accepted], r.verdicts[rejected])
	}
	return err
}

type sessionsCmd struct {
	Server     string `default:"127.0.0.1:1812" help:"Address of the server's authentication port."`
	AcctServer string `default:"127.0.0.1:1813" help:"Address of its accounting port."`
	Method     string `default:"pap" enum:"pap,chap,mschapv2" help:"pap, chap or mschapv2."`
	crowdFlags
}

func (c *sessionsCmd) Run(ctx context.Context, out io.Writer) error {
	frame, err := c.crowd([ports]string{portAuth: c.Server, portAcct: c.AcctServer})
	if err != nil {
		return err
	}
	p, err := c.people()
	if err != nil {
		return err
	}
	r, err := wholes(ctx, frame, p, c.Secret, c.Method, c.Rounds)
	return report(out, "whole sessions ("+c.Method+")", r, err)
}

func wholes(ctx context.Context, c crowd, p *people, secret, method string, rounds int) (*result, error) {
	return newLines(p).act(ctx, c, wholeScript, secret, method, rounds)
}

// lines are what an access server knows of its subscribers' sessions, from one load to the next.
type lines struct {
	people   *people
	sessions []session
	number   uint64
	turns    []int // of the slots, in accounting
}

func newLines(p *people) *lines {
	return &lines{people: p, sessions: make([]session, len(p.logins)), number: rand.Uint64()}
}

// begin has sessions be where they are in the midst of a long load of accounting: a third of them are before their Start,
// a third before an Interim-Update, a third before their Stop.
func (l *lines) begin(ctx context.Context, c crowd, secret string) (*result, error) {
	c.rate, c.duration = 0, 10*time.Minute
	return l.account(ctx, c, secret, 0, 2)
}

// account goes on with the accounting of the lines' sessions: to the end of so many rounds, of so many passes over all
// subscribers since the first load, or until the crowd's time is over; 0 is without end.
func (l *lines) account(ctx context.Context, c crowd, secret string, rounds, passes int) (*result, error) {
	c.servers[portAuth] = netip.AddrPort{}
	if l.turns == nil {
		l.turns = make([]int, c.sockets*c.window)
	}
	before := opened(l.sessions)
	r, err := c.run(ctx, func(slots []*slot, r *result) load {
		return newAcctLoad(c, accountant{c.codec(secret), l.people, l.sessions, l.number, time.Now}, l.turns, rounds, passes, slots, r)
	})
	if err != nil {
		return nil, err
	}
	r.opened = opened(l.sessions) - before
	return r, nil
}

// act has every subscriber do a script so many rounds, or until the crowd's time is over.
func (l *lines) act(ctx context.Context, c crowd, script []uint32, secret, method string, rounds int) (*result, error) {
	l.people.keepClasses()
	before := opened(l.sessions)
	r, err := c.run(ctx, func(slots []*slot, r *result) load {
		a := newAuthLoad(c, l.people, secret, method, rounds, slots, r)
		return newScriptLoad(c, script, a, accountant{c.codec(secret), l.people, l.sessions, l.number, time.Now}, slots)
	})
	if err != nil {
		return nil, err
	}
	r.opened = opened(l.sessions) - before
	return r, nil
}

// report prints what came of a load. A reply that is wrong, or no reply at all, is an error.
func report(out io.Writer, what string, r *result, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d sent, %d accepted, %d rejected, %d answered, %d timeouts, %d wrong, %d late or stray\n", what, r.sent,
		r.verdicts[accepted], r.verdicts[rejected], r.verdicts[answered], r.lost, r.verdicts[wrong], r.stray)
	fmt.Fprintf(out, "  %.0f replies/s for %s\n", r.rate(), r.elapsed.Round(time.Millisecond))
	if r.wholes > 0 {
		fmt.Fprintf(out, "  %.0f whole sessions/s, %d in all\n", perSecond(r.wholes, r.elapsed), r.wholes)
	}
	for p, name := range [ports]string{"authentication", "accounting"} {
		if h := &r.latency[p]; h.n > 0 {
			fmt.Fprintf(out, "  %-14s p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n", name, short(h.quantile(0.5)), short(h.quantile(0.9)),
				short(h.quantile(0.99)), short(h.quantile(0.999)), short(h.max))
		}
	}
	if r.unsent > 0 {
		fmt.Fprintf(out, "  the system refused to send %d\n", r.unsent)
	}
	return r.failure()
}

// failure is why a load measured nothing that counts.
func (r *result) failure() error {
	switch {
	case r.verdicts[wrong] > 0:
		return fmt.Errorf("%d replies were wrong; the first: %s", r.verdicts[wrong], r.problem)
	case r.replies() == 0:
		return fmt.Errorf("no reply to %d requests: is the server there, with this source as a device and this secret?", r.sent)
	}
	return nil
}

// short writes a duration with three digits or so.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.0f µs", d.Seconds()*1e6)
}
