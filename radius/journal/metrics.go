package journal

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	to      prometheus.Registerer
	bytes   prometheus.Counter
	records prometheus.Counter
	refused prometheus.Counter
	failed  prometheus.Gauge
	errors  *prometheus.CounterVec
	sync    prometheus.Histogram
	backlog prometheus.GaugeFunc
	size    prometheus.GaugeFunc
	free    prometheus.GaugeFunc
}

func (m *metrics) register(to prometheus.Registerer, j *Journal) error {
	m.to = to
	m.bytes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_journal_bytes_total", Help: "Bytes made durable in the journal."})
	m.records = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_journal_records_total", Help: "Records made durable in the journal."})
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_journal_refused_total", Help: "Records refused because the queue was full or the disk failed."})
	m.failed = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "enlace_journal_failed", Help: "1 while the journal cannot write and nothing is acknowledged."})
	m.errors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "enlace_journal_errors_total", Help: "Failed operations on the journal's files."}, []string{"op"})
	for _, op := range []string{"create", "write", "sync", "read", "prepare"} {
		m.errors.WithLabelValues(op)
	}
	m.sync = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "enlace_journal_sync_seconds", Help: "Time to write and fdatasync one batch.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15)})
	m.backlog = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "enlace_journal_backlog_bytes", Help: "Durable bytes that have not been drained yet."},
		func() float64 { return float64(j.Backlog()) })
	m.size = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "enlace_journal_size_bytes", Help: "Durable bytes of the journal's files."},
		func() float64 { return float64(j.Size()) })
	m.free = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "enlace_journal_free_bytes", Help: "Bytes that the journal's file system has left for it; -1 when it does not say."},
		func() float64 { return float64(j.Free()) })
	if to == nil {
		return nil
	}
	for _, c := range m.all() {
		if err := to.Register(c); err != nil {
			m.unregister()
			return err
		}
	}
	return nil
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.bytes, m.records, m.refused, m.failed, m.errors, m.sync, m.backlog, m.size, m.free}
}

func (m *metrics) unregister() {
	if m.to == nil {
		return
	}
	for _, c := range m.all() {
		m.to.Unregister(c)
	}
}
