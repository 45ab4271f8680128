package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/nas"
	naspg "enlace/nas/pg"
)

// commandLog stores what the network was told, off the path of the commands themselves.
type commandLog struct {
	store   *naspg.Store
	log     zerolog.Logger
	queue   chan *nas.CommandRecord
	dropped prometheus.Counter
}

const (
	commandQueue = 50_000 // records that wait while the database is away
	commandBatch = 500
)

func newCommandLog(store *naspg.Store, log zerolog.Logger, metrics prometheus.Registerer) *commandLog {
	c := &commandLog{store: store, log: log, queue: make(chan *nas.CommandRecord, commandQueue), dropped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_nas_command_records_dropped_total", Help: "Records of commands lost because the database was away for too long."})}
	metrics.MustRegister(c.dropped)
	return c
}

// add never blocks: with the queue full the record is lost and counted.
func (c *commandLog) add(r nas.CommandRecord) {
	select {
	case c.queue <- &r:
	default:
		c.dropped.Inc()
	}
}

// run stores batches until ctx ends, and then, within a few seconds, what is left.
func (c *commandLog) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case r := <-c.queue:
			batch := c.gather(r)
			if !c.save(ctx, batch) {
				c.finish(ctx, batch)
				return
			}
		case <-ctx.Done():
		}
	}
	c.finish(ctx, nil)
}

// finish stores a batch and all that is queued behind it, and counts what it cannot store.
func (c *commandLog) finish(ctx context.Context, batch []nas.CommandRecord) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	for {
		if len(batch) > 0 && !c.save(end, batch) {
			c.dropped.Add(float64(len(batch) + len(c.queue)))
			c.log.Error().Int("records", len(batch)+len(c.queue)).Msg("the database is away at the end: records of commands are lost")
			return
		}
		select {
		case r := <-c.queue:
			batch = c.gather(r)
		default:
			return
		}
	}
}

func (c *commandLog) gather(first *nas.CommandRecord) []nas.CommandRecord {
	batch := []nas.CommandRecord{*first}
	for len(batch) < commandBatch {
		select {
		case r := <-c.queue:
			batch = append(batch, *r)
		default:
			return batch
		}
	}
	return batch
}

// save tries until it is done or ctx ends, and tells whether it is done.
func (c *commandLog) save(ctx context.Context, batch []nas.CommandRecord) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := c.store.SaveCommands(ctx, batch)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.log.Warn().Err(err).Int("records", len(batch)).Msg("storing the record of commands failed")
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}
