package main

import (
	"slices"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/control"
	"enlace/radius"
)

// networkPort is what this node tells the access servers, and what it would.
type networkPort struct {
	*control.Reconciler
	n *node
}

// WouldChange holds every open session that has the plan now against a directory in which the plan is the one given.
func (p networkPort) WouldChange(pl contracts.Plan, now time.Time) map[nas.DeviceID]int {
	return p.n.projection.wouldChange(pl, now, p.n.cfg.garden())
}

func (p *projection) wouldChange(pl contracts.Plan, now time.Time, garden nas.Garden) map[nas.DeviceID]int {
	plans := slices.DeleteFunc(slices.Clone(p.plansNow()), func(other contracts.Plan) bool { return other.ID == pl.ID })
	profiles, _ := profilesOf(append(plans, pl))
	then := radius.NewDirectory()
	then.SetPlans(profiles)
	counts := map[nas.DeviceID]int{}
	for o := range p.sessions.Open {
		if o.Stale() {
			continue
		}
		sub := p.directory.Of(o.Access, o.Login)
		if sub == nil || sub.At(now).Plan != pl.ID {
			continue
		}
		is, known := p.directory.ServiceAt(sub, now, garden)
		will, ok := then.ServiceAt(sub, now, garden)
		if known && ok && is.Digest() != will.Digest() {
			counts[o.Key.Device]++
		}
	}
	return counts
}
