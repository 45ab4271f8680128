package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	naspg "enlace/nas/pg"
	"enlace/radius"
)

// observer stores what the door has seen and learned of the access servers, so that a restart forgets nothing: what was
// learned makes the door stricter. Without the database the door goes on learning, and what it has seen waits.
type observer struct {
	table *radius.DeviceTable
	store *naspg.Store
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
	seen := o.table.Observations()
	if len(seen) == 0 {
		return nil
	}
	sums, err := o.store.AddObservations(ctx, seen)
	if err == nil {
		o.table.Stored(seen, sums)
	}
	return err
}
