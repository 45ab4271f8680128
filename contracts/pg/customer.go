package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
)

// CreateCustomer validates and inserts a customer; c.ID is set.
func (s *Store) CreateCustomer(ctx context.Context, actor string, now time.Time, c *contracts.Customer) error {
	c.Document = contracts.NormalTaxID(c.Document)
	if err := c.Validate(); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error { return createCustomer(ctx, tx, actor, now, c) })
}

func createCustomer(ctx context.Context, tx pgx.Tx, actor string, now time.Time, c *contracts.Customer) error {
	err := tx.QueryRow(ctx, `insert into customer (name, document, email, phone, created_at) values ($1, $2, $3, $4, $5) returning id`,
		c.Name, c.Document, c.Email, c.Phone, now).Scan(&c.ID)
	if err != nil {
		return conflictOn(err, "customer_document", "duplicate_document", "there is already a customer with document %s", c.Document)
	}
	return Audit(ctx, tx, now, actor, "customer.create", fmt.Sprintf("customer:%d", c.ID), "done", nil)
}

// UpdateCustomer replaces name, document, e-mail and phone.
func (s *Store) UpdateCustomer(ctx context.Context, actor string, now time.Time, c *contracts.Customer) error {
	c.Document = contracts.NormalTaxID(c.Document)
	if err := c.Validate(); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `update customer set name = $2, document = $3, email = $4, phone = $5 where id = $1`,
			c.ID, c.Name, c.Document, c.Email, c.Phone)
		if err != nil {
			return conflictOn(err, "customer_document", "duplicate_document", "there is already a customer with document %s", c.Document)
		}
		if tag.RowsAffected() == 0 {
			return contracts.NotFoundf("there is no customer %d", c.ID)
		}
		return Audit(ctx, tx, now, actor, "customer.update", fmt.Sprintf("customer:%d", c.ID), "done", nil)
	})
}

const customerColumns = `id, name, document, email, phone`

// Customer by number.
func (s *Store) Customer(ctx context.Context, id contracts.CustomerID) (contracts.Customer, error) {
	return customer(ctx, s.Pool, id)
}

func customer(ctx context.Context, q Querier, id contracts.CustomerID) (contracts.Customer, error) {
	var c contracts.Customer
	err := q.QueryRow(ctx, `select `+customerColumns+` from customer where id = $1`, id).Scan(&c.ID, &c.Name, &c.Document, &c.Email, &c.Phone)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, contracts.NotFoundf("there is no customer %d", id)
	}
	return c, err
}

// Customers whose name, document, e-mail or login begins with the query (all for ""), after a number, in its order.
func (s *Store) Customers(ctx context.Context, query string, after contracts.CustomerID, limit int) ([]contracts.Customer, error) {
	query = strings.TrimSpace(query)
	if contracts.ValidText("", query, maxQuery) != nil {
		return nil, nil
	}
	rows, err := s.Pool.Query(ctx, `
		select `+customerColumns+` from customer c
		where id > $2 and ($1 = ''
			or lower(name) like $3 or lower(name) like '% ' || $3 or document like $4 or lower(email) like $3
			or exists (select from contract t join access a on a.contract_id = t.id where t.customer_id = c.id and a.login like $5))
		order by id limit $6`,
		query, after, likePrefix(strings.ToLower(query)), documentPrefix(query), likePrefix(query), limit)
	if err != nil {
		return nil, fmt.Errorf("searching customers: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (c contracts.Customer, err error) {
		return c, r.Scan(&c.ID, &c.Name, &c.Document, &c.Email, &c.Phone)
	})
}

// maxQuery is the longest text that is looked for, in bytes: nothing that is found by its beginning is longer.
const maxQuery = 254

// documentPrefix is a LIKE pattern for documents that begin with s; it matches none where s is only punctuation.
func documentPrefix(s string) *string {
	s = contracts.NormalTaxID(s)
	if s == "" {
		return nil
	}
	p := likePrefix(s)
	return &p
}

// likePrefix is a LIKE pattern for "begins with s".
func likePrefix(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s) + "%"
}
