package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
)

// decodeYAML reads a configuration file; unknown keys are refused where the target is a struct. An empty file sets
// nothing. Errors name the place without the text around it, which may hold secrets. The library panics on some malformed
// text, which is an error in the text like any other.
func decodeYAML(b []byte, into any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the text is not YAML that can be understood")
		}
	}()
	if err := yaml.UnmarshalWithOptions(b, into, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s", yaml.FormatError(err, false, false))
	}
	return nil
}
