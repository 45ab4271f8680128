package radius

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/contracts"
)

// dropReason says why a datagram was met with silence.
type dropReason uint8

const (
	dropUnknownDevice dropReason = iota
	dropMalformed
	dropCode          // a code that does not belong on this port
	dropAuthenticator // Accounting-Request signed with another secret
	dropMissingMA     // the policy wants a Message-Authenticator
	dropProxyState    // the policy forbids Proxy-State without one
	dropMA            // Message-Authenticator that does not verify: another secret, or forged
	dropBackend       // the directory is staler than allowed
	dropQueueFull     // the accounting sink took no more
	dropInProgress    // retransmission of what is being answered
	dropShed          // Interim-Updates that gave way (admission.go)
	dropTooLong       // the reply would not fit a packet
	dropPanic         // the handler failed
	dropPool          // the address pool's reserve is being filled
	dropUnsent        // the system refused to send
	dropReasons       = iota
)

var dropNames = [dropReasons]string{
	"unknown_device", "malformed", "code", "bad_authenticator", "message_authenticator_missing",
	"proxy_state", "bad_message_authenticator", "backend", "queue_full", "in_progress", "shed", "reply_too_long", "panic", "pool_reserve", "unsent",
}

// port tells the two doors apart.
type port uint8

const (
	portAuth port = iota
	portAcct
	portRadSec // takes everything
)

// takes reports whether requests with a code belong on the port. Status-Server does on each.
func (p port) takes(code byte) bool {
	return code == CodeAccessRequest && p != portAcct || code == CodeAccountingRequest && p != portAuth
}

var portNames = [...]string{portAuth: "auth", portAcct: "acct", portRadSec: "radsec"}

// outcomes is the size of a table by the outcomes that are accepted.
const outcomes = int(contracts.OutcomeReject)

// metrics are the door's instruments; deviceSeries are those of one device, looked up once.
type metrics struct {
	requests *prometheus.CounterVec // device, code
	replies  *prometheus.CounterVec // device, code, reason
	dropped  *prometheus.CounterVec // device, reason
	resent   *prometheus.CounterVec // device
	latency  [len(portNames)]prometheus.Observer
	unsent   prometheus.Counter
	vec      *prometheus.HistogramVec // port
}

type deviceSeries struct {
	owner           *metrics
	access, acct    prometheus.Counter
	status          prometheus.Counter
	accepted        [outcomes]prometheus.Counter // by outcome
	refused         [reasons]prometheus.Counter
	accounted       prometheus.Counter
	statusAnswered  prometheus.Counter
	dropped         [dropReasons]prometheus.Counter
	resentFromCache prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, d *Door) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enlace_radius_requests_total", Help: "Well-formed packets of known devices, by code."}, []string{"device", "code"}),
		replies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enlace_radius_replies_total", Help: "Replies by code, with the outcome of an accept or the reason of a reject."}, []string{"device", "code", "reason"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enlace_radius_dropped_total", Help: "Datagrams met with silence. No device where none is known."}, []string{"device", "reason"}),
		resent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enlace_radius_resent_total", Help: "Retransmissions answered with the reply already given."}, []string{"device"}),
		vec: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "enlace_radius_reply_seconds", Help: "From the datagram's receipt to the reply's sending; refusals on purpose delayed are left out.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 2.5, 14)}, []string{"port"}),
	}
	collectors := []prometheus.Collector{m.requests, m.replies, m.dropped, m.resent, m.vec,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "enlace_radius_directory_subscribers", Help: "Logins in memory."}, func() float64 { return float64(d.directory.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "enlace_radius_directory_age_seconds", Help: "How long ago the directory was known to be complete."}, func() float64 { return d.directory.Age(d.now()).Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "enlace_radius_delayed_rejects", Help: "Refusals waiting for their delay to end."}, func() float64 { return float64(d.delay.waiting()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "enlace_radius_socket_overflows_total", Help: "Datagrams that the kernel dropped because a socket's buffer was full."}, func() float64 { return float64(d.overflows()) }),
	}
	if d.radsec != nil {
		collectors = append(collectors, d.radsec.collectors()...)
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of the RADIUS door: %w", err)
		}
	}
	m.unsent = m.dropped.WithLabelValues("", dropNames[dropUnsent])
	for p, name := range portNames {
		m.latency[p] = m.vec.WithLabelValues(name)
	}
	return m, nil
}

// stranger counts a drop of a datagram that belongs to no known device.
func (m *metrics) stranger(r dropReason) { m.dropped.WithLabelValues("", dropNames[r]).Inc() }

// of gives the device's series, made at its first packet.
func (m *metrics) of(d *device) *deviceSeries {
	if s := d.series.Load(); s != nil && s.owner == m {
		return s
	}
	s := &deviceSeries{
		owner:           m,
		access:          m.requests.WithLabelValues(d.Name, "Access-Request"),
		acct:            m.requests.WithLabelValues(d.Name, "Accounting-Request"),
		status:          m.requests.WithLabelValues(d.Name, "Status-Server"),
		accounted:       m.replies.WithLabelValues(d.Name, "Accounting-Response", ""),
		statusAnswered:  m.replies.WithLabelValues(d.Name, "Status-Server", ""),
		resentFromCache: m.resent.WithLabelValues(d.Name),
	}
	for o := contracts.OutcomeFull; o < contracts.OutcomeReject; o++ {
		s.accepted[o] = m.replies.WithLabelValues(d.Name, "Access-Accept", o.String())
	}
	for r := range s.refused {
		s.refused[r] = m.replies.WithLabelValues(d.Name, "Access-Reject", Reason(r).String())
	}
	for r := range s.dropped {
		s.dropped[r] = m.dropped.WithLabelValues(d.Name, dropNames[r])
	}
	d.series.Store(s)
	return s
}
