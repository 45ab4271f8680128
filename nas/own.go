package nas

import (
	"fmt"
	"slices"
)

// Own is what an operator makes of the dialects, by name: options of the built-in ones, and dialects of their own.
type Own map[string]OwnDialect

// OwnDialect is one of them.
type OwnDialect struct {
	Options `yaml:",inline"`
}

// Dialects binds the built-in dialects, with the operator's options, and the operator's own to the walled garden. The
// error names the dialect and what is wrong with it.
func (own Own) Dialects(g Garden) (*Dialects, error) {
	ds := &Dialects{byName: map[string]*Dialect{}}
	for _, b := range builtIn {
		d, err := b.make(g, own[b.name].Options)
		if err != nil {
			return nil, fmt.Errorf("dialect %s: %w", b.name, err)
		}
		ds.add(d)
	}
	for name := range own {
		if !slices.ContainsFunc(ds.all, func(d *Dialect) bool { return d.Name == name }) {
			return nil, fmt.Errorf("dialect %s: there is none of that name", name)
		}
	}
	return ds, nil
}
