package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/nas"
	"enlace/nas/control"
	naspg "enlace/nas/pg"
	"enlace/radius"
)

// newNodes prepares this node's place among those that share the database.
func (n *node) newNodes() *naspg.Nodes {
	nodes := naspg.NewNodes(naspg.NodesConfig{
		Store: n.stores.devices, Name: n.journal.Node(), Life: control.CommandLife(n.cfg.CoARetry), Heard: n.heardHere,
		Learn: func(told []nas.Told) { n.reconciler.Learn(told) }, Gone: n.inherit,
		Changed: func(s naspg.NodesState) {
			if s.Away {
				n.log.Warn().Int("others", s.Others).Msg("the database does not answer: only sessions that this node has lately heard of are commanded")
				return
			}
			n.log.Info().Int("others", s.Others).Msg("nodes that share the database, beside this one")
		},
	})
	n.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "enlace_nodes_others",
		Help: "Other nodes at work on the same database; while there are any, each session is claimed before it is commanded."},
		func() float64 { return float64(nodes.State().Others) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "enlace_nodes_cut_off",
			Help: "1 while the database is away, so that only sessions are commanded that this node has lately heard of."}, func() float64 {
			if nodes.State().Away {
				return 1
			}
			return 0
		}))
	return nodes
}

// heardHere reports whether a session may be commanded without asking the database.
func (n *node) heardHere(key nas.SessionKey) bool {
	d, ok := n.projection.device(key.Device)
	return ok && n.sessions.HeardHere(key, n.clock.Now(), time.Duration(d.InterimSeconds)*time.Second)
}

// meet keeps this node among the others until ctx ends, which is when it commands nothing any more.
func (n *node) meet(ctx context.Context) {
	n.nodes.Run(ctx)
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience/4)
	defer cancel()
	if err := n.nodes.Leave(leaving); err != nil {
		n.log.Debug().Err(err).Msg("other nodes were not told of the end of this one: they will notice")
	}
}

// inherit takes over from nodes that are gone: the open sessions that only they knew, and what is applied to those that
// this one has not heard of lately.
func (n *node) inherit(ctx context.Context) error {
	select {
	case <-n.loaded:
	default:
		return nil // everything is taken in when the database is joined
	}
	var told []nas.Told
	adopted := 0
	_, err := n.stores.sessions.LoadOpenSessions(ctx, n.journal.Node(), func(s radius.Session) {
		if n.sessions.Adopt(s) {
			adopted++
		} else if s.Applied != 0 && !n.heardHere(s.Key) {
			told = append(told, nas.Told{Key: s.Key, StartedAt: s.StartedAt, Applied: s.Applied})
		}
	})
	if err != nil {
		return fmt.Errorf("taking over sessions of other nodes: %w", err)
	}
	n.reconciler.Learn(told)
	n.log.Info().Int("sessions", adopted).Msg("another node is gone: open sessions that only it knew are taken over")
	return nil
}
