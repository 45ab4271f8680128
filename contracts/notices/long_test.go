package notices

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// slow is a channel over which every notice takes a while of the program's clock.
type slow struct {
	clock *time.Time
	takes time.Duration
}

func (slow) Name() string { return "slow" }

func (s slow) Send(context.Context, Notice) (string, error) {
	*s.clock = s.clock.Add(s.takes)
	return "sent", nil
}

// A fact counts from when it was recorded: the last notice of a long run must not be dated back to its beginning, or
// what held in between would change afterwards.
func TestNoticesOfALongRunAreDatedOneByOne(t *testing.T) {
	o := open(t)
	ids := []contracts.ContractID{o.debtor("", 1), o.debtor("", 1), o.debtor("", 1)}
	began := at("2026-03-11 22:30")
	clock := began
	r := Runner{Store: o.store, Channels: []Channel{slow{&clock, time.Hour}}, Log: zerolog.Nop(), Now: func() time.Time { return clock }}
	if n, err := r.Run(ctx, began); n != 3 || err != nil {
		t.Fatalf("%d notices: %v", n, err)
	}
	for i, want := range []string{"2026-03-11 22:30", "2026-03-11 23:30", "2026-03-12 00:30"} {
		facts, err := contractspg.Facts(ctx, o.store.Pool, ids[i])
		o.must(err)
		if last := facts[len(facts)-1]; last.Kind != contracts.NoticeSent || !last.At.Equal(at(want)) {
			t.Errorf("%s at %s, want a notice at %s", last.Kind, last.At, want)
		}
	}
}
