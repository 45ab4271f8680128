package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
)

// Dossier of a contract from one snapshot of the database.
func (s *Store) Dossier(ctx context.Context, id contracts.ContractID, at time.Time) (contracts.Dossier, error) {
	var d contracts.Dossier
	err := pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var err error
		d, err = ReadDossier(ctx, tx, id, at)
		return err
	})
	return d, err
}

// ReadDossier reads a dossier in the caller's transaction.
func ReadDossier(ctx context.Context, q Querier, id contracts.ContractID, at time.Time) (contracts.Dossier, error) {
	var d contracts.Dossier
	var err error
	if d.Contract, err = contract(ctx, q, id); err != nil {
		return d, err
	}
	if d.Customer, err = customer(ctx, q, d.Contract.CustomerID); err != nil {
		return d, err
	}
	if d.Facts, err = Facts(ctx, q, id); err != nil {
		return d, err
	}
	if d.Rules, err = rules(ctx, q); err != nil {
		return d, err
	}
	list, err := plans(ctx, q, at)
	if err != nil {
		return d, err
	}
	d.Plans = make(map[contracts.PlanID]contracts.Plan, len(list))
	for _, p := range list {
		d.Plans[p.ID] = p
	}
	return d, nil
}

// Facts of a contract, in the order of recording.
func Facts(ctx context.Context, q Querier, id contracts.ContractID) ([]contracts.Fact, error) {
	rows, err := q.Query(ctx, `select `+factColumns+` from fact where contract_id = $1 order by at, id`, id)
	if err != nil {
		return nil, fmt.Errorf("reading the facts of contract %d: %w", id, err)
	}
	facts, err := pgx.CollectRows(rows, scanFact)
	if err != nil {
		return nil, fmt.Errorf("reading the facts of contract %d: %w", id, err)
	}
	return facts, nil
}
