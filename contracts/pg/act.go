package pg

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
)

// Act records what somebody does to a contract, if the rules allow it, and answers with the span that holds from now.
// The guards are evaluated under the contract's lock, so a double click is refused the second time. A refusal is a
// Denied error with the guard's reason; it leaves a line in the audit and no fact.
func (s *Store) Act(ctx context.Context, now time.Time, f contracts.Fact) (contracts.Span, error) {
	var span contracts.Span
	var refused *contracts.Error
	if err := f.Validate(); err != nil {
		return span, err
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := Lock(ctx, tx, f.ContractID); err != nil {
			return err
		}
		d, err := ReadDossier(ctx, tx, f.ContractID, now)
		if err != nil {
			return err
		}
		var last *time.Time
		if n := len(d.Facts); n > 0 {
			last = &d.Facts[n-1].At
		}
		f.At = stamp(now, last)
		subject := fmt.Sprintf("contract:%d", f.ContractID)
		life := contracts.Timeline(d.Contract, append(slices.Clone(d.Facts), f), d.Rules, contracts.Options{})
		if refused = refusal(&d, f, life); refused != nil {
			return Audit(ctx, tx, now, f.Actor, string(f.Kind), subject, refused.Code, map[string]string{"reason": f.Reason})
		}
		span = *life.Spans.At(f.At)
		if err := Append(ctx, tx, now, &f); err != nil {
			return err
		}
		return Audit(ctx, tx, now, f.Actor, string(f.Kind), subject, "done", map[string]string{"reason": f.Reason})
	})
	if err != nil {
		return span, err
	}
	if refused != nil {
		return span, refused
	}
	return span, nil
}

// refusal says why an act cannot be: a guard of the timeline, or an act that makes no sense in the state it finds.
func refusal(d *contracts.Dossier, f contracts.Fact, life contracts.Life) *contracts.Error {
	if reason := life.RefusalOf(f.Kind, f.At); reason != "" {
		return contracts.Deniedf(reason, "%s is refused: %s", f.Kind, contracts.RefusalText(reason, contracts.English))
	}
	was := contracts.Timeline(d.Contract, d.Facts, d.Rules, contracts.Options{}).Spans
	before := was.At(f.At)
	wrong := func() *contracts.Error {
		return contracts.Deniedf("status_"+string(before.Status), "%s is refused: the contract is %s", f.Kind, before.Status)
	}
	switch f.Kind {
	case contracts.ManualBlock:
		if before.Status == contracts.BlockedManual || before.Status == contracts.Terminated {
			return wrong()
		}
	case contracts.ManualUnblock:
		if before.Status != contracts.BlockedManual {
			return wrong()
		}
	case contracts.Activated:
		if before.Status != contracts.Pending {
			return wrong()
		}
	case contracts.Cancelled:
		if before.Status == contracts.Terminated {
			return wrong()
		}
	case contracts.VoluntaryResume:
		// A suspension that is still to come may be taken back too.
		if !slices.ContainsFunc(was, func(s contracts.Span) bool {
			return s.Status == contracts.SuspendedRequest && (s.Until.IsZero() || s.Until.After(f.At))
		}) {
			return wrong()
		}
	case contracts.ToppedUp:
		if before.Status == contracts.Terminated {
			return wrong()
		}
		if p := d.Plans[before.PlanID]; p.Allowance == nil {
			return contracts.Deniedf("no_allowance", "%s is refused: %s", f.Kind, contracts.RefusalText("no_allowance", contracts.English))
		}
	case contracts.PlanChanged:
		if _, ok := d.Plans[f.PlanID]; !ok {
			return contracts.Invalidf("plan_id", "there is no plan %d", f.PlanID)
		}
	case contracts.AccessDisabled, contracts.AccessEnabled:
		if !slices.ContainsFunc(d.Contract.Accesses, func(a contracts.Access) bool { return a.ID == f.AccessID }) {
			return contracts.NotFoundf("contract %d has no access %d", f.ContractID, f.AccessID)
		}
	}
	return nil
}
