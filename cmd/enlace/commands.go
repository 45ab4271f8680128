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
	queue   chan nas.CommandRecord
	dropped prometheus.Counter
}

const (
	commandQueue = 50_000 // records that wait while the database is away
	commandBatch = 500
)

func newCommandLog(store *naspg.Store, log zerolog.Logger, metrics prometheus.Registerer) *commandLog {
	c := &commandLog{store: store, log: log, queue: make(chan nas.CommandRecord, commandQueue), dropped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_nas_command_records_dropped_total", Help: "Records of commands lost because the database was away for too long."})}
	metrics.MustRegister(c.dropped)
	return c
}

// add never blocks: with the queue full the record is lost and counted.
func (c *commandLog) add(r nas.CommandRecord) {
	select {
	case c.queue <- r:
	default:
		c.dropped.Inc()
	}
}

// run stores batches until ctx ends, and then what is left.
func (c *commandLog) run(ctx context.Context) {
	for {
		select {
		case r := <-c.queue:
			c.save(ctx, c.gather(r))
		case <-ctx.Done():
			select {
			case r := <-c.queue:
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
				c.save(end, c.gather(r))
				cancel()
			default:
			}
			return
		}
	}
}

func (c *commandLog) gather(first nas.CommandRecord) []nas.CommandRecord {
	batch := []nas.CommandRecord{first}
	for len(batch) < commandBatch {
		select {
		case r := <-c.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// save tries until it is done or ctx ends.
func (c *commandLog) save(ctx context.Context, batch []nas.CommandRecord) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := c.store.SaveCommands(ctx, batch)
		if err == nil {
			return
		}
		c.log.Warn().Err(err).Int("records", len(batch)).Msg("storing the record of commands failed")
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
