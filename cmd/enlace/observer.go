package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"enlace/nas"
	naspg "enlace/nas/pg"
	"enlace/radius"
)

// observer stores what the door has seen and learned of the access servers, so that a restart forgets nothing: what was
// learned makes the door stricter. Without the database the door goes on learning, and what it has seen waits.
type observer struct {
	table *radius.DeviceTable
	store *naspg.Store
	now   func() time.Time
	every time.Duration
	log   zerolog.Logger
}

// run stores until ctx ends, and once more then.
func (o *observer) run(ctx context.Context) {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if err := o.save(last); err != nil {
				o.log.Warn().Err(err).Msg("what was seen of the access servers could not be stored")
			}
			return
		case <-tick.C:
		}
		err := o.save(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			o.log.Warn().Err(err).Msg("what was seen of the access servers could not be stored; it is tried again")
		}
		failing = err != nil
	}
}

func (o *observer) save(ctx context.Context) error {
	now := o.now()
	if seen := o.table.Observations(); len(seen) > 0 {
		sums, err := o.store.AddObservations(ctx, seen)
		if err != nil {
			return err
		}
		o.table.Stored(seen, sums)
		for id, s := range seen {
			o.table.Saw(id, nas.SawSigned, s.Signed, 0, now)
			o.table.Saw(id, nas.SawUnsigned, s.Unsigned, 0, now)
		}
	}
	news := o.table.Sightings()
	if len(news) == 0 {
		return nil
	}
	stored, err := o.store.AddSightings(ctx, now, news)
	for _, id := range stored {
		o.table.SightingsStored(id, news[id])
	}
	return err
}
