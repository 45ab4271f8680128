package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// How many requests a storm has under way at once: far more than a server works on at a time.
const (
	stormSockets = 64
	stormWindow  = 64
)

// otherSource is the address of an access server that has no part in the storm.
const otherSource = "127.0.0.2"

// bystanderRate is how many whole sessions a second the other access server has while the first one restarts.
const bystanderRate = 500

// storms measures what a failure in the network lays on the server: every subscriber at once, and an access server that
// says that it has begun anew.
func (b *bench) storms(ctx context.Context) error {
	c := b.frame
	c.sockets, c.window, c.rate, c.duration, c.timeout = stormSockets, stormWindow, 0, 10*time.Minute, 10*time.Second
	lines := newLines(b.people)
	n := len(b.people.logins)
	for _, part := range []struct {
		name   string
		script []uint32
	}{
		{"All of %d subscribers log in and start a session", openScript},
		{"All of %d sessions stop, log in and start again", reopenScript},
	} {
		began := time.Now()
		r, err := lines.act(ctx, c, part.script, b.subject.secret, methodPAP, 1)
		if err != nil {
			return err
		}
		if err := r.failure(); err != nil {
			return fmt.Errorf("measuring a storm: %w", err)
		}
		b.opened, b.lost = b.opened+r.opened, b.lost+r.lost
		answered := time.Since(began)
		if err := b.emptied(ctx); err != nil {
			return err
		}
		fmt.Fprintf(b.out, part.name+", up to %d requests under way: answered in %s, in PostgreSQL %s later; %d whole, %d requests lost, p99 of logins %s, of accounting %s.\n",
			n, c.sockets*c.window, short(answered), short(time.Since(began)-answered), r.wholes, r.lost,
			short(r.latency[portAuth].quantile(0.99)), short(r.latency[portAcct].quantile(0.99)))
	}
	return b.restart(ctx)
}

// restart has the crowd's access server say Accounting-On, while another one has sessions as ever.
func (b *bench) restart(ctx context.Context) error {
	if err := b.subject.addDevice(ctx, otherSource, "bystander"); err != nil {
		return err
	}
	const series = `enlace_sessions_open{device="radload"}`
	open, err := b.subject.metric(series)
	if err != nil {
		return err
	}
	c := b.frame
	if c.source, err = netip.ParseAddr(otherSource); err != nil {
		return err
	}
	c.rate, c.duration = bystanderRate, max(b.time, 100*time.Millisecond)
	type outcome struct {
		r   *result
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := newLines(b.people).act(ctx, c, wholeScript, b.subject.secret, methodPAP, 0)
		done <- outcome{r, err}
	}()
	time.Sleep(c.duration / 10)
	began := time.Now()
	if err := b.sendOn(); err != nil {
		return err
	}
	if err := b.subject.until(ctx, "the sessions are closed in memory", func() (bool, error) {
		n, err := b.subject.metric(series)
		return n == 0, err
	}); err != nil {
		return err
	}
	memory := time.Since(began)
	if err := b.subject.until(ctx, "the sessions are closed in the database", func() (bool, error) {
		n := 0
		err := b.subject.pool.QueryRow(ctx, `select count(*) from session_live l join device d on d.id = l.device_id where d.name = 'radload'`).Scan(&n)
		return n == 0, err
	}); err != nil {
		return err
	}
	stored := time.Since(began)
	o := <-done
	if o.err == nil {
		o.err = o.r.failure()
	}
	if o.err != nil {
		return fmt.Errorf("measuring an Accounting-On: %w", o.err)
	}
	b.opened, b.lost = b.opened+o.r.opened, b.lost+o.r.lost
	fmt.Fprintf(b.out, "Accounting-On of an access server with %.0f sessions: closed in memory in %s, in PostgreSQL in %s; meanwhile %d sessions a second of another: p99 of logins %s, of accounting %s, %d lost.\n",
		open, short(memory), short(stored), bystanderRate, short(o.r.latency[portAuth].quantile(0.99)), short(o.r.latency[portAcct].quantile(0.99)), o.r.lost)
	return nil
}

// statusOn is Accounting-On (RFC 2866, section 5.1).
const statusOn = 7

// sendOn sends an Accounting-On from the crowd's source until it is answered.
func (b *bench) sendOn() error {
	fd, err := dial(b.frame.source, b.frame.servers[portAcct])
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	codec := newCodec([]byte(b.subject.secret))
	request := begin(nil, codeAccountingRequest, 1)
	request = addUint32(request, attrAcctStatusType, statusOn)
	request = addString(request, attrNASIdentifier, nasIdentifier)
	request = addUint32(request, attrEventTimestamp, uint32(time.Now().Unix()))
	codec.signAccounting(request)
	reply := make([]byte, maxPacket)
	for range 10 {
		if _, err := unix.Write(fd, request); err != nil {
			return fmt.Errorf("sending an Accounting-On: %w", err)
		}
		wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(wait, 1000); err != nil || n == 0 {
			continue
		}
		if n, err := unix.Read(fd, reply); err == nil && codec.replyProblem(request, reply[:n]) == "" {
			return nil
		}
	}
	return fmt.Errorf("an Accounting-On was not answered")
}
