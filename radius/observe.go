package radius

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/nas"
)

// watch is what is seen and learned of a device while it is in service. It outlives changes of its settings.
type watch struct {
	since time.Time
	base  atomic.Pointer[nas.Observation] // as last stored

	// Since then:
	signed, unsigned, unsignedProxied atomic.Uint64
	lastUnsigned, lastUnsignedProxied atomic.Int64 // Unix microseconds; 0: none

	// For good:
	signs, proxiesBare atomic.Bool
	proof              atomic.Uint32 // the SecretProof of what was received last; not stored

	sights sights // in its accounting
}

func newWatch(o nas.Observation) *watch {
	w := &watch{since: o.Since}
	w.rest(o)
	return w
}

// rest takes what is stored as the ground that further counting stands on.
func (w *watch) rest(o nas.Observation) {
	w.base.Store(&o)
	if o.Signs {
		w.signs.Store(true)
	}
	if o.ProxiesBare {
		w.proxiesBare.Store(true)
	}
}

// sawSigned counts an Access-Request with a valid Message-Authenticator.
func (w *watch) sawSigned() {
	w.signed.Add(1)
	if !w.signs.Load() {
		w.signs.Store(true)
	}
}

// sawUnsigned counts an Access-Request without Message-Authenticator.
func (w *watch) sawUnsigned(proxied bool, now time.Time) {
	at := now.UnixMicro()
	w.unsigned.Add(1)
	w.lastUnsigned.Store(at)
	if proxied {
		w.unsignedProxied.Add(1)
		w.lastUnsignedProxied.Store(at)
	}
}

// fresh is what was seen since the last storing.
func (w *watch) fresh() nas.Observation {
	o := nas.Observation{Since: w.since, Signed: w.signed.Load(), Unsigned: w.unsigned.Load(), UnsignedProxied: w.unsignedProxied.Load(),
		Signs: w.signs.Load(), ProxiesBare: w.proxiesBare.Load()}
	if at := w.lastUnsigned.Load(); at != 0 {
		o.LastUnsigned = time.UnixMicro(at).UTC()
	}
	if at := w.lastUnsignedProxied.Load(); at != 0 {
		o.LastUnsignedProxied = time.UnixMicro(at).UTC()
	}
	return o
}

// all is everything that was seen.
func (w *watch) all() nas.Observation { return w.base.Load().Plus(w.fresh()) }

// stored notes that what was seen has become part of a stored sum.
func (w *watch) stored(seen, sum nas.Observation) {
	w.rest(sum)
	w.signed.Add(-seen.Signed)
	w.unsigned.Add(-seen.Unsigned)
	w.unsignedProxied.Add(-seen.UnsignedProxied)
}

// Observations is what was seen of the devices and is not stored yet; devices without news are left out.
func (t *DeviceTable) Observations() map[nas.DeviceID]nas.Observation {
	news := map[nas.DeviceID]nas.Observation{}
	for id, d := range t.current.Load().byID {
		o, base := d.watch.fresh(), d.watch.base.Load()
		if o.Signed+o.Unsigned > 0 || o.Signs != base.Signs || o.ProxiesBare != base.ProxiesBare {
			news[id] = o
		}
	}
	return news
}

// Stored tells the table that observations were added to what is stored, and to what sums. One caller at a time.
func (t *DeviceTable) Stored(seen, sums map[nas.DeviceID]nas.Observation) {
	byID := t.current.Load().byID
	for id, o := range seen {
		sum, ok := sums[id]
		if d := byID[id]; ok && d != nil && d.watch.since.Equal(o.Since) {
			d.watch.stored(o, sum)
		}
	}
}

// Observation is everything that was seen of a device; ok is false for one that is not known.
func (t *DeviceTable) Observation(id nas.DeviceID) (o nas.Observation, ok bool) {
	d := t.current.Load().byID[id]
	if d == nil {
		return o, false
	}
	return d.watch.all(), true
}

// Collector exports what was seen of the devices as metrics.
func (t *DeviceTable) Collector() prometheus.Collector { return &observationCollector{t} }

type observationCollector struct{ table *DeviceTable }

var (
	observedDesc = prometheus.NewDesc("enlace_device_access_requests_observed_total",
		"Access-Requests over UDP since the device's observation began, by whether they carried Message-Authenticator.",
		[]string{"device", "message_authenticator"}, nil)
	proxiedDesc = prometheus.NewDesc("enlace_device_unsigned_proxied_observed_total",
		"Access-Requests over UDP that carried Proxy-State and no Message-Authenticator.", []string{"device"}, nil)
	safeDesc = prometheus.NewDesc("enlace_device_policy_safe",
		"1 when the strict setting of a policy would have dropped none of many Access-Requests.", []string{"device", "policy"}, nil)
)

func (c *observationCollector) Describe(out chan<- *prometheus.Desc) {
	out <- observedDesc
	out <- proxiedDesc
	out <- safeDesc
}

func (c *observationCollector) Collect(out chan<- prometheus.Metric) {
	for _, d := range c.table.current.Load().byID {
		o := d.watch.all()
		counter := func(desc *prometheus.Desc, n uint64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
		}
		counter(observedDesc, o.Signed, d.Name, "present")
		counter(observedDesc, o.Unsigned, d.Name, "absent")
		counter(proxiedDesc, o.UnsignedProxied, d.Name)
		for policy, advice := range map[string]nas.Advice{"require_message_authenticator": o.RequireMA(), "limit_proxy_state": o.ForbidProxyState()} {
			safe := 0.0
			if advice == nas.Safe {
				safe = 1
			}
			out <- prometheus.MustNewConstMetric(safeDesc, prometheus.GaugeValue, safe, d.Name, policy)
		}
	}
}

// SecretProof is which of a device's secrets it was last seen to use, as far as this node has heard of it.
type SecretProof uint32

const (
	NoProof    SecretProof = iota // nothing was received that shows it
	NewerProof                    // the present one
	OlderProof                    // the older one, which is accepted beside it
)
