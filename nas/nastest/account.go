package nastest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
)

// lineRate is what an unlimited session runs at.
const lineRate = 1_000_000_000

// Run adds the traffic of a time in which the subscriber used all that the session lets him have.
func (s *Session) Run(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, out := traffic(s.state.rates(), d, 1)
	s.state.in += in
	s.state.out += out
}

// traffic is the octets of a time from and to a subscriber who uses a share of what he may have.
func traffic(rates contracts.Profile, d time.Duration, share float64) (in, out uint64) {
	octets := func(bps uint64) uint64 {
		if bps == 0 {
			bps = lineRate
		}
		return uint64(d.Seconds() * share * float64(bps) / 8)
	}
	return octets(rates.UpBps), octets(rates.DownBps)
}

// count adds the traffic since it was last counted: a share of the rates.
func (s *Session) count(now time.Time) {
	st := &s.state
	if !st.online || now.Before(st.counted) {
		return
	}
	in, out := traffic(st.rates(), now.Sub(st.counted), s.load)
	st.in += in
	st.out += out
	st.counted = now
}

// account sends an Accounting-Request about the session as it is now.
func (s *Session) account(ctx context.Context, status rfc2866.AcctStatusType, cause, delay int) error {
	s.mu.Lock()
	s.count(time.Now())
	st := s.state
	s.mu.Unlock()
	if !st.online {
		return errors.New("the session is over")
	}
	return s.send(ctx, st, status, cause, delay)
}

// send accounts for the session under each of its ids.
func (s *Session) send(ctx context.Context, st state, status rfc2866.AcctStatusType, cause, delay int) error {
	var failed error
	for _, id := range st.ids {
		if err := s.sendAs(ctx, id, st, status, cause, delay); err != nil {
			failed = err
		}
	}
	return failed
}

func (s *Session) sendAs(ctx context.Context, id string, st state, status rfc2866.AcctStatusType, cause, delay int) error {
	n := s.n
	p := radius.New(radius.CodeAccountingRequest, n.cfg.Secret)
	_ = rfc2866.AcctStatusType_Add(p, status)
	_ = rfc2866.AcctSessionID_AddString(p, id)
	if len(st.ids) > 1 {
		_ = rfc2866.AcctMultiSessionID_AddString(p, st.id())
	}
	_ = rfc2865.UserName_AddString(p, s.login)
	n.describe(p, s)
	_ = rfc2865.FramedIPAddress_Add(p, net.IP(st.ip.AsSlice()))
	if err := st.addresses(p); err != nil {
		return err
	}
	_ = rfc2866.AcctSessionTime_Add(p, rfc2866.AcctSessionTime(max(0, st.counted.Sub(st.started)+n.ahead()-st.ahead)/time.Second))
	if status != rfc2866.AcctStatusType_Value_Start {
		_ = rfc2866.AcctInputOctets_Add(p, rfc2866.AcctInputOctets(uint32(st.in)))
		_ = rfc2866.AcctOutputOctets_Add(p, rfc2866.AcctOutputOctets(uint32(st.out)))
		_ = rfc2869.AcctInputGigawords_Add(p, rfc2869.AcctInputGigawords(st.in>>32))
		_ = rfc2869.AcctOutputGigawords_Add(p, rfc2869.AcctOutputGigawords(st.out>>32))
	}
	if cause != 0 {
		_ = rfc2866.AcctTerminateCause_Add(p, rfc2866.AcctTerminateCause(cause))
	}
	if delay != 0 {
		_ = rfc2866.AcctDelayTime_Add(p, rfc2866.AcctDelayTime(delay))
	}
	if !n.quirksNow().NoClass {
		for _, c := range st.applied.class {
			p.Add(rfc2865.Class_Type, c)
		}
	}
	return n.sendAccounting(ctx, p)
}

func (n *NAS) ahead() time.Duration {
	if n.cfg.Ahead == nil {
		return 0
	}
	return n.cfg.Ahead()
}

func (n *NAS) accountDevice(ctx context.Context, status rfc2866.AcctStatusType) error {
	p := radius.New(radius.CodeAccountingRequest, n.cfg.Secret)
	_ = rfc2866.AcctStatusType_Add(p, status)
	_ = rfc2866.AcctSessionID_AddString(p, "00000000")
	_ = rfc2865.NASIPAddress_Add(p, net.IP(n.cfg.NASIP.AsSlice()))
	_ = rfc2865.NASIdentifier_AddString(p, n.cfg.NASIdentifier)
	return n.sendAccounting(ctx, p)
}

// sendAccounting is done when an authentic Accounting-Response has come.
func (n *NAS) sendAccounting(ctx context.Context, p *radius.Packet) error {
	if !n.vendor.noEventTime {
		_ = rfc2869.EventTimestamp_Add(p, time.Now())
	}
	packets, tries := 1, n.cfg.Tries
	if n.vendor.newPackets {
		packets, tries = tries, 1
	}
	var answer *radius.Packet
	err := ErrUnanswered
	for i := 0; i < packets && errors.Is(err, ErrUnanswered); i++ {
		answer, err = n.acct.exchange(ctx, p, false, tries, func(request, reply []byte) (*radius.Packet, error) {
			return n.verifyReply(request, reply, Quirks{AcceptUnsigned: true})
		})
	}
	if err != nil {
		if errors.Is(err, ErrUnanswered) {
			n.stats.unanswered.Add(1)
		}
		return err
	}
	if answer.Code != radius.CodeAccountingResponse {
		return fmt.Errorf("the server answered accounting with %s", answer.Code)
	}
	return nil
}
