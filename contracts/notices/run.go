package notices

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// Runner sends the notices that are due. It may run as often as one likes, on any number of nodes: what was recorded is
// not sent again, and a node works under a lock.
type Runner struct {
	Store    *contractspg.Store
	Channels []Channel
	Provider string
	Log      zerolog.Logger
	// Now is read for every contract as its turn comes, because sending thousands takes a while and a notice counts from
	// when it went out; nil: the instant given to Run holds for all.
	Now func() time.Time
}

// lockKey is the advisory lock that keeps two nodes from sending the same notice ("notice" in ASCII).
const lockKey = 0x6e6f74696365

// batch is how many contracts are looked at in one go.
const batch = 500

// Run sends what is due at now and returns how many notices were recorded. A notice that no channel could deliver is
// tried again on the next run; the error says how many failed.
func (r *Runner) Run(ctx context.Context, now time.Time) (sent int, err error) {
	if len(r.Channels) == 0 {
		return 0, nil
	}
	conn, err := r.Store.Pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("sending notices: %w", err)
	}
	defer conn.Release()
	var locked bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, int64(lockKey)).Scan(&locked); err != nil {
		return 0, fmt.Errorf("sending notices: %w", err)
	}
	if !locked {
		return 0, nil
	}
	defer func() {
		// A session that cannot be told to unlock must not go back into the pool: closing it unlocks.
		if _, lost := conn.Exec(context.WithoutCancel(ctx), `select pg_advisory_unlock($1)`, int64(lockKey)); lost != nil {
			conn.Conn().Close(context.WithoutCancel(ctx))
		}
	}()

	var failed []string
	var after contracts.ContractID
	for {
		ids, err := r.Store.AwaitingNotice(ctx, now, after, batch)
		if err != nil || len(ids) == 0 {
			return sent, errors.Join(err, failures(failed))
		}
		for _, id := range ids {
			at := now
			if r.Now != nil {
				at = r.Now()
			}
			n, err := r.contract(ctx, at, id)
			sent += n
			if err != nil {
				failed = append(failed, fmt.Sprintf("contract %d: %v", id, err))
			}
		}
		after = ids[len(ids)-1]
	}
}

func failures(failed []string) error {
	if len(failed) == 0 {
		return nil
	}
	shown := failed[:min(3, len(failed))]
	return fmt.Errorf("%d notices could not be sent, such as %s", len(failed), strings.Join(shown, "; "))
}

// contract sends the notices of one contract, each through the first channel that delivers it.
func (r *Runner) contract(ctx context.Context, now time.Time, id contracts.ContractID) (sent int, err error) {
	d, err := r.Store.Dossier(ctx, id, now)
	if err != nil {
		return 0, err
	}
	for _, debt := range contracts.Debts(d.Contract, d.Facts, d.Rules, now) {
		if !debt.NoticeDue {
			continue
		}
		n := Notice{Customer: d.Customer, Contract: id, Debt: debt, Provider: r.Provider,
			MinDays: contracts.RulesAt(d.Rules, now).Policy.NoticeMinDays}
		channel, proof, err := r.deliver(ctx, n)
		if err != nil {
			return sent, err
		}
		fact := contracts.Fact{ContractID: id, Kind: contracts.NoticeSent, InvoiceID: debt.InvoiceID, Channel: channel, Proof: storable(proof), Actor: "system"}
		err = pgx.BeginFunc(ctx, r.Store.Pool, func(tx pgx.Tx) error { return contractspg.Append(ctx, tx, now, &fact) })
		if err != nil {
			return sent, err
		}
		sent++
		r.Log.Info().Int64("contract", int64(id)).Str("invoice", debt.InvoiceID).Str("channel", channel).Msg("overdue notice sent")
	}
	return sent, nil
}

// storable is a proof as it can be kept, whatever bytes a mail server answered with: a notice that went out must not be
// sent again because its proof could not be written.
func storable(proof string) string {
	proof = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(proof, "?"))
	if len(proof) > 1000 {
		proof = strings.ToValidUTF8(proof[:1000], "")
	}
	return proof
}

func (r *Runner) deliver(ctx context.Context, n Notice) (channel, proof string, err error) {
	var problems []error
	for _, c := range r.Channels {
		proof, err := c.Send(ctx, n)
		if err == nil {
			return c.Name(), proof, nil
		}
		problems = append(problems, fmt.Errorf("%s: %w", c.Name(), err))
	}
	return "", "", errors.Join(problems...)
}
