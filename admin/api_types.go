package admin

import (
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
)

// money is an amount as the API carries it: text, never a float.
type money string

// Schema implements huma.SchemaProvider.
func (money) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^-?[0-9]{1,11}(\.[0-9]{1,2})?$`, PatternDescription: "an amount such as 102.03",
		Description: "An amount of money with a dot and at most two places.", Examples: []any{"102.03"}}
}

func (m money) cents(field string) (contracts.Cents, error) {
	c, err := contracts.ParseCents(string(m))
	if err != nil {
		return 0, contracts.Invalidf(field, "%q is not an amount of money: write it as 123.45", string(m))
	}
	return c, nil
}

func moneyOf(c contracts.Cents) money { return money(c.String()) }

// civil is a date as the API carries it; empty is no date.
type civil string

// Schema implements huma.SchemaProvider.
func (civil) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^([0-9]{4}-[0-9]{2}-[0-9]{2})?$`, PatternDescription: "a date such as 2026-03-10",
		Description: "A civil date in the contract's zone; empty for none.", Examples: []any{"2026-03-10"}}
}

func (d civil) date(field string) (contracts.Date, error) {
	if d == "" {
		return 0, nil
	}
	v, err := contracts.ParseDate(string(d))
	if err != nil {
		return 0, contracts.Invalidf(field, "%q is not a date: write it as 2026-03-10", string(d))
	}
	return v, nil
}

func civilOf(d contracts.Date) civil { return civil(d.String()) }

// instantOf is nil for an instant that has not come.
func instantOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// body wraps what an operation answers with.
type body[T any] struct {
	Body T
}

func reply[T any](v T) *body[T] { return &body[T]{Body: v} }

// created answers with 201.
type created[T any] struct {
	Status int
	Body   T
}

func (*created[T]) created() {}

func recorded[T any](v T) *created[T] { return &created[T]{Status: 201, Body: v} }

// listing is a page of things; next continues after it, and is absent on the last page.
type listing[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Value of the parameter after for the next page; absent on the last"`
}

func listOf[T any](items []T) listing[T] {
	if items == nil {
		items = []T{}
	}
	return listing[T]{Items: items}
}

type nothing struct{}

type byID struct {
	ID int64 `path:"id" minimum:"1"`
}

func mustURL(path string) *url.URL { return &url.URL{Path: path} }
