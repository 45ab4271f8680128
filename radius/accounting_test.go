package radius

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"enlace/nas"
	"enlace/radius/journal"
)

// done is an Answerer that counts.
type done struct {
	wg      sync.WaitGroup
	dropped int
}

func (d *done) Answer() { d.wg.Done() }
func (d *done) Drop() {
	d.dropped++
	d.wg.Done()
}

func testAccounting(t testing.TB, metrics prometheus.Registerer) (*Accounting, *journal.Journal, *Sessions) {
	t.Helper()
	j, err := journal.Open(journal.Config{Dir: t.TempDir(), Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	sessions := NewSessions()
	a, err := NewAccounting(j, sessions, zerolog.Nop(), metrics)
	if err != nil {
		t.Fatal(err)
	}
	return a, j, sessions
}

func TestSubmitAnswersAndKeepsTheSession(t *testing.T) {
	registry := prometheus.NewRegistry()
	a, j, sessions := testAccounting(t, registry)
	from := netip.MustParseAddrPort("192.0.2.1:1646")
	dev := &nas.Device{ID: 7, Name: "bras"}
	var d done
	send := func(attrs ...any) {
		t.Helper()
		d.wg.Add(1)
		b := accountingRequest(attrs...)
		if !a.Submit(dev, b, from, t0, &d) {
			t.Fatal("refused")
		}
		clear(b) // it was valid during the call only
	}
	send(acctStatusType, 1, acctSessionID, "a", attrUserName, "ana")
	send(acctStatusType, 3, acctSessionID, "a", attrUserName, "ana", acctSessionTime, 300, acctInputOctets, 5)
	send(acctStatusType, 3, attrUserName, "ana") // no id: answered, counted, kept nowhere
	send(acctStatusType, 15)
	d.wg.Wait()
	if err := j.Close(); err != nil { // the last Apply is over
		t.Fatal(err)
	}
	if s, ok := sessions.Get(nas.SessionKey{Device: 7, ID: "a"}); !ok || s.Input != 5 || sessions.Count() != 1 || d.dropped != 0 {
		t.Errorf("%+v, %d open, %d dropped", s, sessions.Count(), d.dropped)
	}
	if a.Submit(dev, accountingRequest(acctStatusType, 1), from, t0, &d) {
		t.Error("took a record when the journal was closed")
	}
	if testutil.ToFloat64(a.kept) != 4 || testutil.ToFloat64(a.odd[0]) != 1 || testutil.ToFloat64(a.odd[1]) != 1 {
		t.Errorf("%v kept, %v without a type, %v without an id", testutil.ToFloat64(a.kept), testutil.ToFloat64(a.odd[0]), testutil.ToFloat64(a.odd[1]))
	}
}

func TestEntriesThatAreNone(t *testing.T) {
	datagram := make([]byte, entryHead+18)
	datagram[0] = entryDatagram
	for _, payload := range [][]byte{nil, {1}, {99}, make([]byte, entryHead), datagram, append(datagram, 4, 1, 0, 20)} {
		if r, _, ok := readEntry(payload); ok {
			t.Errorf("%x was read as %+v", payload, r)
		}
	}
}

// BenchmarkAccountingDurable submits Interim-Updates of 100,000 sessions from two goroutines and waits for the answers.
func BenchmarkAccountingDurable(b *testing.B) {
	a, _, _ := testAccounting(b, nil)
	var packets [][]byte
	for i := range 100_000 {
		packets = append(packets, accountingRequest(acctStatusType, 3, acctSessionID, fmt.Sprintf("%08x", i), attrUserName, fmt.Sprintf("user%07d@isp", i),
			acctSessionTime, 300, acctInputOctets, i, acctOutputOctets, 10*i, acctFramedIP, []byte{100, 64, byte(i >> 8), byte(i)},
			attrCallingStation, "AA:BB:CC:DD:EE:FF", acctNASPortID, "eth1:100", acctNASIdentifier, "bras-1"))
	}
	from, dev := netip.MustParseAddrPort("192.0.2.1:1646"), &nas.Device{ID: 7}
	var d done
	b.ReportAllocs()
	b.ResetTimer()
	var senders sync.WaitGroup
	d.wg.Add(b.N)
	for s := range 2 {
		senders.Go(func() {
			for i := s; i < b.N; i += 2 {
				for !a.Submit(dev, packets[i%len(packets)], from, t0, &d) {
					time.Sleep(100 * time.Microsecond)
				}
			}
		})
	}
	senders.Wait()
	d.wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
