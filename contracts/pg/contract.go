package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/postgres"
)

// CreateContract validates and inserts a contract with its accesses; passwords is parallel to c.Accesses. IDs are set.
func (s *Store) CreateContract(ctx context.Context, actor string, now time.Time, c *contracts.Contract, passwords []string) error {
	if err := newContract(c, now, passwords); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := customer(ctx, tx, c.CustomerID); err != nil {
			return err
		}
		return s.insertContract(ctx, tx, actor, now, c, passwords)
	})
}

// Subscribe is CreateCustomer and, for him, CreateContract: both or neither.
func (s *Store) Subscribe(ctx context.Context, actor string, now time.Time, who *contracts.Customer, c *contracts.Contract, passwords []string) error {
	who.Document = contracts.NormalTaxID(who.Document)
	if err := who.Validate(); err != nil {
		return err
	}
	if err := newContract(c, now, passwords); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := createCustomer(ctx, tx, actor, now, who); err != nil {
			return err
		}
		c.CustomerID = who.ID
		return s.insertContract(ctx, tx, actor, now, c, passwords)
	})
}

// newContract fills in what is recorded now and refuses what cannot be a contract.
func newContract(c *contracts.Contract, now time.Time, passwords []string) error {
	c.CreatedAt = now.UTC().Truncate(time.Microsecond)
	if c.BillingAnchor.IsZero() && c.Zone != nil {
		c.BillingAnchor = contracts.DateOf(now, c.Zone)
	}
	if err := c.Validate(); err != nil {
		return err
	}
	if _, err := Zone(c.Zone.String()); err != nil { // a zone of the machine's or of its own would not be found again
		return err
	}
	if len(c.Accesses) == 0 || len(passwords) != len(c.Accesses) {
		return contracts.Invalidf("accesses", "a contract has at least one access, each with a password")
	}
	if c.ExtraCalendars == nil {
		c.ExtraCalendars = []string{}
	}
	return nil
}

func (s *Store) insertContract(ctx context.Context, tx pgx.Tx, actor string, now time.Time, c *contracts.Contract, passwords []string) error {
	var planExists bool
	if err := tx.QueryRow(ctx, `select exists (select from plan where id = $1)`, c.PlanID).Scan(&planExists); err != nil {
		return fmt.Errorf("reading plan %d: %w", c.PlanID, err)
	}
	if !planExists {
		return contracts.Invalidf("plan_id", "there is no plan %d", c.PlanID)
	}
	err := tx.QueryRow(ctx, `
		insert into contract (customer_id, plan_id, zone, created_at, starts_pending, auto_block, exempt, trust_enabled,
			no_block_until, extra_calendars, due_day, timing, billing_anchor)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id`,
		c.CustomerID, c.PlanID, c.Zone.String(), c.CreatedAt, c.StartsPending, c.AutoBlock, c.Exempt, c.TrustEnabled,
		sqlDate(c.NoBlockUntil), c.ExtraCalendars, c.DueDay, c.Timing, sqlDate(c.BillingAnchor)).Scan(&c.ID)
	if err != nil {
		return fmt.Errorf("creating a contract: %w", err)
	}
	for i := range c.Accesses {
		if err := s.insertAccess(ctx, tx, now, c.ID, &c.Accesses[i], passwords[i]); err != nil {
			return err
		}
	}
	if err := Audit(ctx, tx, now, actor, "contract.create", fmt.Sprintf("contract:%d", c.ID), "done", nil); err != nil {
		return err
	}
	if err := postgres.MarkChanged(ctx, tx, "contract", int64(c.ID)); err != nil {
		return err
	}
	return postgres.NotifyChange(ctx, tx)
}

// SetPassword replaces the password of an access.
func (s *Store) SetPassword(ctx context.Context, actor string, now time.Time, id contracts.AccessID, password string) error {
	if err := ValidPassword(password); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var contract contracts.ContractID
		err := tx.QueryRow(ctx, `update access set password_sealed = $2 where id = $1 returning contract_id`, id, s.Sealer.Seal([]byte(password))).Scan(&contract)
		if errors.Is(err, pgx.ErrNoRows) {
			return contracts.NotFoundf("there is no access %d", id)
		}
		if err != nil {
			return fmt.Errorf("changing a password: %w", err)
		}
		return s.accessChanged(ctx, tx, actor, now, contract, id, "access.password", nil)
	})
}

const contractColumns = `id, customer_id, plan_id, zone, created_at, starts_pending, auto_block, exempt, trust_enabled,
	no_block_until, extra_calendars, due_day, timing, billing_anchor`

func scanContract(r pgx.CollectableRow) (contracts.Contract, error) {
	var c contracts.Contract
	var zone string
	var noBlock, anchor *time.Time
	err := r.Scan(&c.ID, &c.CustomerID, &c.PlanID, &zone, &c.CreatedAt, &c.StartsPending, &c.AutoBlock, &c.Exempt,
		&c.TrustEnabled, &noBlock, &c.ExtraCalendars, &c.DueDay, &c.Timing, &anchor)
	if err != nil {
		return c, err
	}
	c.CreatedAt = c.CreatedAt.UTC()
	c.NoBlockUntil, c.BillingAnchor = goDate(noBlock), goDate(anchor)
	c.Zone, err = location(zone)
	return c, err
}

// Contract by number, with its accesses.
func (s *Store) Contract(ctx context.Context, id contracts.ContractID) (*contracts.Contract, error) {
	return contract(ctx, s.Pool, id)
}

func contract(ctx context.Context, q Querier, id contracts.ContractID) (*contracts.Contract, error) {
	rows, err := q.Query(ctx, `select `+contractColumns+` from contract where id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("reading contract %d: %w", id, err)
	}
	c, err := pgx.CollectOneRow(rows, scanContract)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, contracts.NotFoundf("there is no contract %d", id)
	}
	if err != nil {
		return nil, fmt.Errorf("reading contract %d: %w", id, err)
	}
	list := []contracts.Contract{c}
	if err := readAccesses(ctx, q, list); err != nil {
		return nil, err
	}
	return &list[0], nil
}

// ContractsOf a customer, oldest first, with their accesses.
func (s *Store) ContractsOf(ctx context.Context, id contracts.CustomerID) ([]contracts.Contract, error) {
	rows, err := s.Pool.Query(ctx, `select `+contractColumns+` from contract where customer_id = $1 order by id`, id)
	if err != nil {
		return nil, fmt.Errorf("reading the contracts of customer %d: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, scanContract)
	if err != nil {
		return nil, fmt.Errorf("reading the contracts of customer %d: %w", id, err)
	}
	return list, readAccesses(ctx, s.Pool, list)
}

// readAccesses fills in the accesses of contracts.
func readAccesses(ctx context.Context, q Querier, list []contracts.Contract) error {
	at := map[contracts.ContractID]*contracts.Contract{}
	ids := make([]int64, len(list))
	for i := range list {
		at[list[i].ID], ids[i] = &list[i], int64(list[i].ID)
	}
	rows, err := q.Query(ctx, `select contract_id, id, login from access where contract_id = any($1) order by id`, ids)
	if err != nil {
		return fmt.Errorf("reading accesses: %w", err)
	}
	var id contracts.ContractID
	var a contracts.Access
	_, err = pgx.ForEachRow(rows, []any{&id, &a.ID, &a.Login}, func() error {
		at[id].Accesses = append(at[id].Accesses, a)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading accesses: %w", err)
	}
	return readLines(ctx, q, ids, func(id contracts.ContractID, access contracts.AccessID) *contracts.Access {
		return accessOf(at[id], access)
	})
}

func accessOf(c *contracts.Contract, id contracts.AccessID) *contracts.Access {
	if c != nil {
		for i := range c.Accesses {
			if c.Accesses[i].ID == id {
				return &c.Accesses[i]
			}
		}
	}
	return nil
}

// FindLogin says which contract and access a login belongs to.
func (s *Store) FindLogin(ctx context.Context, login string) (contracts.ContractID, contracts.AccessID, error) {
	var c contracts.ContractID
	var a contracts.AccessID
	if contracts.ValidLogin(login) != nil {
		return 0, 0, contracts.NotFoundf("there is no login %q", login)
	}
	err := s.Pool.QueryRow(ctx, `select contract_id, id from access where login = $1`, login).Scan(&c, &a)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, contracts.NotFoundf("there is no login %q", login)
	}
	return c, a, err
}

// Search finds by the beginning of a login, name, document, circuit or remote id, and by MAC address and fixed address.
func (s *Store) Search(ctx context.Context, text string, limit int) ([]contracts.Hit, error) {
	text = strings.TrimSpace(text)
	if text == "" || contracts.ValidText("", text, maxQuery) != nil {
		return nil, nil
	}
	args := []any{likePrefix(strings.ToLower(text)), documentPrefix(text), likePrefix(text), limit}
	marked, mark := findMark(text)
	if marked != "" {
		args = append(args, mark)
	} else {
		marked = "false"
	}
	rows, err := s.Pool.Query(ctx, `
		select c.id, coalesce(t.id, 0), c.name, coalesce(a.login, '') from customer c
		left join contract t on t.customer_id = c.id left join access a on a.contract_id = t.id
		where lower(c.name) like $1 or lower(c.name) like '% ' || $1 or (c.document <> '' and c.document like $2) or a.login like $3
			or `+marked+`
		order by c.id, t.id, a.id limit $4`, args...)
	if err != nil {
		return nil, fmt.Errorf("searching: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (h contracts.Hit, err error) {
		return h, r.Scan(&h.Customer, &h.Contract, &h.Name, &h.Login)
	})
}
