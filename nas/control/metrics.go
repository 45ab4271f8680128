package control

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	commands    *prometheus.CounterVec // device, method, result
	givenUp     *prometheus.CounterVec // device
	ignored     *prometheus.CounterVec // device, method
	distrusted  *prometheus.GaugeVec   // device, change
	inFlight    prometheus.Gauge
	differences prometheus.Gauge
	changeToACK prometheus.Histogram
	waves       prometheus.Counter
	settled     prometheus.Counter
	pauses      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enlace_nas_commands_total", Help: "CoA- and Disconnect-Requests by what became of them."},
			[]string{"device", "method", "result"}),
		givenUp: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enlace_nas_given_up_total", Help: "Differences that could not be closed and wait for a later interim or change."},
			[]string{"device"}),
		ignored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enlace_nas_ignored_total", Help: "Commands that were acknowledged and had no effect."},
			[]string{"device", "method"}),
		distrusted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "enlace_nas_distrusted", Help: "1 where a device acknowledged a kind of change without effect again and again, so that another method is begun with."},
			[]string{"device", "change"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "enlace_nas_commands_in_flight", Help: "Commands sent and not yet answered."}),
		differences: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "enlace_nas_differences", Help: "Open sessions whose applied service is not the one wanted."}),
		changeToACK: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "enlace_nas_change_to_ack_seconds", Help: "From noticing a difference to the device's acknowledgement.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}}),
		waves: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "enlace_wave_ended_total", Help: "Mass changes that have ended."}),
		settled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "enlace_wave_settled_total", Help: "Sessions of mass changes that were done or given up."}),
		pauses: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "enlace_nas_pauses", Help: "Pauses of commands that do not restore service: of all devices, and of single ones."}),
	}
	if reg != nil {
		reg.MustRegister(m.commands, m.givenUp, m.ignored, m.distrusted, m.inFlight, m.differences, m.changeToACK, m.waves, m.settled, m.pauses)
	}
	return m
}

// results of a command, as the metric names them.
const (
	resultACK         = "ack"
	resultNAK         = "nak"
	resultTimeout     = "timeout"
	resultLate        = "late"        // answered after the timeout
	resultUnreachable = "unreachable" // the device has no address for commands
	resultUnsayable   = "unsayable"   // the dialect cannot carry the service
)

// tally is the metrics of one device.
type tally struct {
	device     string
	commands   *prometheus.CounterVec // method, result
	givenUp    prometheus.Counter
	ignored    *prometheus.CounterVec // method
	distrusted *prometheus.GaugeVec   // change
}

func (m *metrics) of(device string) *tally {
	by := prometheus.Labels{"device": device}
	t := &tally{
		device:   device,
		commands: m.commands.MustCurryWith(by), givenUp: m.givenUp.With(by), ignored: m.ignored.MustCurryWith(by),
		distrusted: m.distrusted.MustCurryWith(by),
	}
	for c := range changes {
		t.distrusted.WithLabelValues(c.String()) // 0
	}
	return t
}
