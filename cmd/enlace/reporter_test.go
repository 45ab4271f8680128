package main

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
)

// reporters are access servers that report sessions, one record after the other on each of their ports, and send each
// record again until it is answered. What was answered is what they remember.
type reporters struct {
	t      *testing.T
	target string
	class  []byte        // of the Access-Accept that the sessions began with
	pause  time.Duration // between two records of a port
	stop   chan struct{}
	wg     sync.WaitGroup

	answered atomic.Int64 // records
	resent   atomic.Int64
	slowest  atomic.Int64 // ns from the first sending of a record to its answer

	mu       sync.Mutex
	sessions map[string]*reported
}

// reported is a session as far as its records were answered.
type reported struct {
	began   time.Time
	records uint64
	input   uint64
	stopped bool
}

// report starts some ports on an address.
func report(t *testing.T, source, target string, class []byte, ports int, pause time.Duration) *reporters {
	t.Helper()
	r := &reporters{t: t, target: target, class: class, pause: pause, stop: make(chan struct{}), sessions: map[string]*reported{}}
	for p := range ports {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(source)}, addressOf(t, target))
		if err != nil {
			t.Fatal(err)
		}
		r.wg.Go(func() {
			defer conn.Close()
			r.run(conn, p)
		})
	}
	t.Cleanup(r.end)
	return r
}

func addressOf(t *testing.T, text string) *net.UDPAddr {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// end lets every record in hand be answered, and begins no other.
func (r *reporters) end() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.wg.Wait()
}

func (r *reporters) run(conn *net.UDPConn, port int) {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(port)))
	var identifier byte
	for n := 0; ; n++ {
		id, s := fmt.Sprintf("p%d-%d", port, n), &reported{began: time.Now()}
		r.mu.Lock()
		r.sessions[id] = s
		r.mu.Unlock()
		last := 2 + random.IntN(8)
		for k := range last + 1 {
			kind := rfc2866.AcctStatusType_Value_InterimUpdate
			switch {
			case k == 0:
				kind = rfc2866.AcctStatusType_Value_Start
			case k == last && random.IntN(4) > 0: // a quarter stays open
				kind = rfc2866.AcctStatusType_Value_Stop
			}
			select {
			case <-r.stop:
				return
			case <-time.After(r.pause):
			}
			input := s.input
			if k > 0 {
				input += 1 + random.Uint64N(1<<20)
			}
			identifier++
			if !r.deliver(conn, r.request(identifier, kind, id, int(time.Since(s.began).Seconds()), input)) {
				return
			}
			r.mu.Lock()
			s.records, s.input, s.stopped = s.records+1, input, kind == rfc2866.AcctStatusType_Value_Stop
			r.mu.Unlock()
		}
	}
}

func (r *reporters) request(identifier byte, kind rfc2866.AcctStatusType, id string, seconds int, input uint64) *layeh.Packet {
	p := layeh.New(layeh.CodeAccountingRequest, []byte(storySecret))
	p.Identifier = identifier
	_ = rfc2866.AcctStatusType_Add(p, kind)
	_ = rfc2866.AcctSessionID_AddString(p, id)
	_ = rfc2865.UserName_AddString(p, storyLogin)
	_ = rfc2865.CallingStationID_AddString(p, "station-"+id)
	_ = rfc2869.NASPortID_AddString(p, "port-"+id)
	_ = rfc2865.NASIdentifier_AddString(p, "bras-1")
	_ = rfc2865.Class_Add(p, r.class)
	if kind != rfc2866.AcctStatusType_Value_Start {
		_ = rfc2866.AcctSessionTime_Add(p, rfc2866.AcctSessionTime(seconds))
		_ = rfc2866.AcctInputOctets_Add(p, rfc2866.AcctInputOctets(uint32(input)))
		_ = rfc2869.AcctInputGigawords_Add(p, rfc2869.AcctInputGigawords(input>>32))
	}
	return p
}

// deliver sends until there is an answer; false when there is none for longer than any fault lasts.
func (r *reporters) deliver(conn *net.UDPConn, p *layeh.Packet) bool {
	b, err := p.Encode()
	if err != nil {
		r.t.Error(err)
		return false
	}
	reply := make([]byte, 4096)
	for began, first := time.Now(), true; time.Since(began) < 2*time.Minute; first = false {
		if !first {
			r.resent.Add(1)
		}
		_, _ = conn.Write(b) // nobody there is an error here; it is tried again
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		for {
			n, err := conn.Read(reply)
			if err != nil {
				if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
					time.Sleep(20 * time.Millisecond) // refused: the program is down
				}
				break
			}
			if layeh.IsAuthenticResponse(reply[:n], b, []byte(storySecret)) {
				r.answered.Add(1)
				for took := int64(time.Since(began)); ; {
					if have := r.slowest.Load(); took <= have || r.slowest.CompareAndSwap(have, took) {
						return true
					}
				}
			}
		}
	}
	r.t.Error("a record was not answered for two minutes")
	return false
}

// stored wants every answered record in the database once: the sessions with the counters that were answered, open or
// ended as they were, and their traffic once in the usage.
func (r *reporters) stored(s *story) {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	began := time.Now()
	s.eventually("every answered record is stored once", func() error {
		rows, err := conn.Query(context.Background(), `select session_id, input_octets, true from session_live
			union all select session_id, input_octets, false from session_history where closed_by = 'stop'
			union all select session_id, -1, false from session_history where closed_by <> 'stop'`)
		if err != nil {
			return err
		}
		defer rows.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		found, sum := 0, uint64(0)
		for rows.Next() {
			var id string
			var input int64
			var open bool
			if err := rows.Scan(&id, &input, &open); err != nil {
				return err
			}
			want := r.sessions[id]
			if want == nil {
				return fmt.Errorf("session %s is stored, and was never reported", id)
			}
			if uint64(input) != want.input || open == want.stopped {
				return fmt.Errorf("session %s is stored with %d octets, open %v; answered were %d octets, stopped %v", id, input, open, want.input, want.stopped)
			}
			found, sum = found+1, sum+want.input
		}
		if rows.Err() != nil {
			return rows.Err()
		}
		for id, want := range r.sessions {
			if want.records == 0 {
				delete(r.sessions, id)
			}
		}
		if found != len(r.sessions) {
			return fmt.Errorf("%d sessions are stored, %d were answered", found, len(r.sessions))
		}
		var used uint64
		if err := conn.QueryRow(context.Background(), `select coalesce(sum(input_octets), 0)::bigint from usage_day`).Scan(&used); err != nil {
			return err
		}
		if used != sum {
			return fmt.Errorf("the usage is %d octets, the sessions have %d", used, sum)
		}
		return nil
	})
	s.t.Logf("%d records answered, %d sent again, the slowest after %v; %d sessions stored %v after the end", r.answered.Load(), r.resent.Load(),
		time.Duration(r.slowest.Load()).Round(time.Millisecond), len(r.sessions), time.Since(began).Round(time.Millisecond))
}

// papLogin asks once; what is not answered with an Access-Accept within two seconds has failed.
func papLogin(server string) (accept *layeh.Packet, err error) {
	p := layeh.New(layeh.CodeAccessRequest, []byte(storySecret))
	_ = rfc2865.UserName_AddString(p, storyLogin)
	_ = rfc2865.UserPassword_AddString(p, storyPassword)
	_ = rfc2869.MessageAuthenticator_Set(p, make([]byte, 16))
	b, err := p.Encode()
	if err != nil {
		return nil, err
	}
	mac := hmac.New(md5.New, []byte(storySecret))
	mac.Write(b)
	_ = rfc2869.MessageAuthenticator_Set(p, mac.Sum(nil))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	reply, err := (&layeh.Client{Dialer: net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(victimAddress)}}}).Exchange(ctx, p, server)
	if err == nil && reply.Code != layeh.CodeAccessAccept {
		err = fmt.Errorf("%v", reply.Code)
	}
	return reply, err
}
