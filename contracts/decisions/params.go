package decisions

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// tableParams are policy parameters by name; what is not given stays as it is.
type tableParams map[string]any

// apply sets the parameters that are given on a policy, and the two that are the table's own: tz and auto_notice.
func (p tableParams) apply(policy *contracts.Policy, zone **time.Location, notices *bool) error {
	rest := map[string]any{}
	for name, v := range p {
		switch name {
		case "tz":
			z, err := contractspg.Zone(fmt.Sprint(v))
			if err != nil {
				return err
			}
			*zone = z
		case "auto_notice":
			b, ok := v.(bool)
			if !ok {
				return fmt.Errorf("auto_notice is true or false")
			}
			*notices = b
		default:
			rest[name] = v
		}
	}
	params, err := mergeParams(policy, rest)
	if err != nil {
		return err
	}
	b, err := yaml.Marshal(params)
	if err != nil {
		return err
	}
	var merged contracts.Policy
	if err := yaml.UnmarshalWithOptions(b, &merged, yaml.Strict()); err != nil {
		return paramError(b, err)
	}
	merged.Version = policy.Version
	if merged.NoticeMinDays < contracts.LegalNoticeDays {
		merged.NoticeMinOverride = true // a table tries policies out; applying one asks for the override
	}
	*policy = merged
	return merged.Validate()
}

// paramError says which parameter could not be read. The error's place is in the merged text, which nobody sees.
func paramError(merged []byte, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return err
	}
	lines := strings.Split(string(merged), "\n")
	if n := at.GetToken().Position.Line; n >= 1 && n <= len(lines) {
		return fmt.Errorf("%s: %s", strings.TrimSpace(lines[n-1]), at.GetMessage())
	}
	return fmt.Errorf("%s", at.GetMessage())
}

// mergeParams lays the given parameters over the policy's own, nested ones key by key.
func mergeParams(policy *contracts.Policy, given map[string]any) (map[string]any, error) {
	base := map[string]any{}
	b, err := yaml.Marshal(policy)
	if err == nil {
		err = yaml.Unmarshal(b, &base)
	}
	if err != nil {
		panic(fmt.Sprintf("a policy always marshals: %v", err))
	}
	for name, v := range given {
		inner, isMap := v.(map[string]any)
		was, known := base[name]
		if !known {
			return nil, fmt.Errorf("unknown parameter %q", name)
		}
		if was, ok := was.(map[string]any); ok && isMap {
			for k, x := range inner {
				if _, known := was[k]; !known {
					return nil, fmt.Errorf("unknown parameter %q", name+"."+k)
				}
				if f, ok := x.(float64); ok {
					return nil, fmt.Errorf("%s.%s: %v is not a whole number", name, k, f)
				}
				was[k] = x
			}
			continue
		}
		if f, ok := v.(float64); ok {
			if _, money := was.(string); !money {
				return nil, fmt.Errorf("%s: %v is not a whole number", name, f)
			}
			v = strconv.FormatFloat(f, 'f', -1, 64)
		}
		base[name] = v
	}
	return base, nil
}
