package main

import (
	"context"
	"strings"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/routeros"
	"enlace/radius"
)

// prober takes the probes that people ask for and asks the devices, from this host: its address is the one that they know.
type prober struct {
	n        *node
	examiner *control.Examiner
	asked    chan struct{}
}

func newProber(n *node) *prober {
	return &prober{n: n, examiner: &control.Examiner{Dialects: n.dialects, Retry: n.cfg.CoARetry}, asked: make(chan struct{}, 1)}
}

// notice tells that a probe may be waiting.
func (p *prober) notice() {
	select {
	case p.asked <- struct{}{}:
	default:
	}
}

// probeEvery bounds how long a probe waits that was missed, such as one asked for while the database was out of reach.
const probeEvery = 15 * time.Second

// run takes probes until ctx ends.
func (p *prober) run(ctx context.Context) {
	select {
	case <-p.n.loaded:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		probe, ok, err := p.n.stores.devices.TakeProbe(ctx, p.n.journal.Node())
		if ok {
			p.do(ctx, &probe)
			continue
		}
		if err != nil && ctx.Err() == nil {
			p.n.log.Debug().Err(err).Msg("looking for probes failed; it is tried again")
		}
		select {
		case <-ctx.Done():
			return
		case <-p.asked:
		case <-tick.C:
		}
	}
}

// probeLimit bounds one probe.
const probeLimit = 100 * time.Second

// do probes a device and stores what was found.
func (p *prober) do(ctx context.Context, probe *nas.Probe) {
	bounded, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	found, note, err := p.examine(bounded, probe)
	store := p.n.stores.devices
	late, done := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer done()
	if err != nil {
		p.n.log.Warn().Err(err).Int64("device", int64(probe.Device)).Msg("a probe ended early")
		note = nas.NoteInterrupted
	}
	if len(found) > 0 {
		if err := store.AddFindings(late, p.n.clock.Now(), probe.Device, found); err != nil {
			p.n.log.Warn().Err(err).Int64("device", int64(probe.Device)).Msg("what a probe found could not be stored")
			note = nas.NoteInterrupted
		}
		if note != nas.NoteUnanswered {
			p.n.reconciler.Forgive(probe.Device)
		}
	}
	if err := store.EndProbe(late, probe.ID, note); err != nil {
		p.n.log.Warn().Err(err).Int64("device", int64(probe.Device)).Msg("the end of a probe could not be noted")
	}
}

func (p *prober) examine(ctx context.Context, probe *nas.Probe) (found []nas.Finding, note string, err error) {
	n := p.n
	dev, ok := n.projection.device(probe.Device)
	if !ok {
		return nil, nas.NoteUnknown, nil
	}
	var borrowed *control.Borrowed
	found, silent, unsure, err := p.examiner.Examine(ctx, dev, p.heard(dev), func() *control.Patient {
		var patient *control.Patient
		borrowed, patient = p.patient(ctx, probe)
		return patient
	})
	if borrowed != nil {
		borrowed.Return(unsure)
		for i := range found {
			if found[i].Check == nas.CheckCoAClass && found[i].Form == "acked" {
				n.projection.table.Mark(borrowed.Session.Key)
			}
		}
	}
	switch {
	case silent:
		note = nas.NoteUnanswered
	case borrowed == nil && probe.SessionID != "":
		note = nas.NoteNotOpen
	case borrowed == nil:
		note = nas.NoteNoSession
	}
	if build, ok := firmware(ctx, dev); ok {
		found = append(found, build)
	}
	return found, note, err
}

// heard reports whether requests of a device were verified, with the secret that it has.
func (p *prober) heard(dev *nas.Device) bool {
	if o, ok := p.n.projection.table.Observation(dev.ID); ok && o.Signed > 0 {
		return true
	}
	return dev.Conformance.Of(nas.CheckID).Result != nas.Unseen || len(p.n.projection.table.Sightings()[dev.ID]) > 0
}

// patients is how many sessions are tried for one that is settled.
const patients = 50

// patient borrows an open session of the device: the one asked for, or any that is settled and that its Class names.
func (p *prober) patient(ctx context.Context, probe *nas.Probe) (*control.Borrowed, *control.Patient) {
	n := p.n
	tried := 0
	for s := range n.sessions.Open {
		if s.Key.Device != probe.Device || probe.SessionID != "" && s.Key.ID != probe.SessionID || probe.SessionID == "" && (s.Quiet || s.Access == 0) {
			continue
		}
		if tried++; tried > patients || ctx.Err() != nil {
			break
		}
		if b, ok := n.reconciler.Borrow(ctx, s.Key); ok {
			return b, &control.Patient{Session: b.Session, Has: b.Has, Until: b.Until, Alone: p.alone(&s)}
		}
	}
	return nil, nil
}

// alone reports whether no other session has the same User-Name: a command that names nothing else would change both.
func (p *prober) alone(s *radius.Session) bool {
	for other := range p.n.sessions.Open {
		if other.Key != s.Key && strings.EqualFold(other.Login, s.Login) {
			return false
		}
	}
	return true
}

// firmware is what a device's API says that it is, where it has one.
func firmware(ctx context.Context, dev *nas.Device) (nas.Finding, bool) {
	if !dev.API.Known() {
		return nas.Finding{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := routeros.New(routeros.Config{})
	defer client.Close()
	facts, err := client.Facts(ctx, dev.API)
	if err != nil {
		return nas.Finding{}, false
	}
	text := nas.TextOf(strings.TrimSpace(facts.Board + " " + facts.Version))
	return nas.Finding{Check: nas.CheckBuild, Result: nas.Good, Form: "says", Facts: []nas.Fact{{Form: "says", Value: text}}}, text != ""
}

// recorded keeps a command, and takes what was seen of its effect for a sight of its device.
func (n *node) recorded(r nas.CommandRecord) {
	n.commands.add(r)
	const walled = "WALLED"
	if r.Method != nas.CoA || strings.Contains(r.Want, walled) || strings.Contains(r.Reason, walled) {
		return // the check is of rates
	}
	switch r.Evidence {
	case nas.EvidenceTraffic:
		n.projection.table.Saw(r.Session.Device, nas.SawEffect, 1, 0, n.clock.Now())
	case nas.EvidenceIgnored:
		n.projection.table.Saw(r.Session.Device, nas.SawNoEffect, 1, 0, n.clock.Now())
	}
}

// returnsClass reports whether a CoA-Request to a device may carry Class, which it then gives back in accounting.
func (p *projection) returnsClass(id nas.DeviceID) bool {
	d, ok := p.device(id)
	if !ok {
		return false
	}
	dialect := p.table.Dialect(d.Dialect)
	return dialect != nil && d.Conformance.Strategy(dialect).Class.Value == "yes"
}
