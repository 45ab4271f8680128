package nas

import (
	"strings"

	"enlace/contracts"
)

// Options are what an operator's network calls things in one dialect. An option left out has the dialect's default; one
// that the dialect has no use for is refused.
type Options struct {
	// UpProfile and DownProfile are templates of the names of QoS profiles or policies, where devices know rates by name
	// instead of in numbers: huawei (QOS-Profile-Name; without DownProfile, UpProfile is for both directions), zte, cisco
	// and cisco-xr.
	UpProfile   string `yaml:"up_profile"`
	DownProfile string `yaml:"down_profile"`
	// Service is a template of the service that is activated: juniper, with parameters, and cisco-isg.
	Service string `yaml:"service"`
	// SubscriberProfile and SLAProfile are templates of the profiles of nokia.
	SubscriberProfile string `yaml:"subscriber_profile"`
	SLAProfile        string `yaml:"sla_profile"`
	// Queue is the number of nokia's ingress queue whose rate is the upload rate; default 1.
	Queue int `yaml:"queue"`
	// FilterV4 and FilterV6 are the numbers of nokia's IP and IPv6 filters of the walled garden, in place of an SLA profile
	// of its own.
	FilterV4 int `yaml:"filter_v4"`
	FilterV6 int `yaml:"filter_v6"`
	// RateAttribute is what accel-ppp and vyos read rates in: Filter-Id (default) or Mikrotik-Rate-Limit.
	RateAttribute string `yaml:"rate_attribute"`
	// Unit of the numbers of zte, pfsense and ubiquiti, which are not the same everywhere: bit/s (default) or kbit/s.
	Unit string `yaml:"unit"`
}

// only refuses the options that are set beside those named.
func (o *Options) only(names ...string) error {
	set := []struct {
		name string
		set  bool
	}{
		{"up_profile", o.UpProfile != ""}, {"down_profile", o.DownProfile != ""}, {"service", o.Service != ""},
		{"subscriber_profile", o.SubscriberProfile != ""}, {"sla_profile", o.SLAProfile != ""}, {"queue", o.Queue != 0},
		{"filter_v4", o.FilterV4 != 0}, {"filter_v6", o.FilterV6 != 0}, {"rate_attribute", o.RateAttribute != ""}, {"unit", o.Unit != ""},
	}
	known := " " + strings.Join(names, " ") + " "
	for _, option := range set {
		if option.set && !strings.Contains(known, " "+option.name+" ") {
			return contracts.Invalidf(option.name, "the dialect has no use for %s", option.name)
		}
	}
	return nil
}

// template of an option, or of its default.
func (o *Options) template(option, text, otherwise string) (Template, error) {
	if text == "" {
		text = otherwise
	}
	t, err := ParseTemplate(text)
	if err != nil {
		return t, contracts.Invalidf(option, "%s: %s", option, err)
	}
	return t, nil
}

// perUnit is how many bit/s the numbers of the dialect count.
func (o *Options) perUnit() (uint64, error) {
	switch o.Unit {
	case "", "bit/s":
		return 1, nil
	case "kbit/s":
		return 1000, nil
	}
	return 0, contracts.Invalidf("unit", "unit is bit/s or kbit/s, not %q", o.Unit)
}

// in is a rate in units of so many bit/s, rounded up.
func in(bps, unit uint64) uint64 { return (bps + unit - 1) / unit }
