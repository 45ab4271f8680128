package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// ciscoISGDialect speaks to Cisco's Intelligent Services Gateway: a session has one service by name, which Account-Info
// (250) activates at login and Command-Code (252) changes: 0x0c deactivates the one it has, 0x0b activates the other, in
// two CoA-Requests. The walled garden is a service of its own (Garden.Service), whose classes must hold IPv6 too. Where
// it is not known which service a session has, it is disconnected. CoA is listened for on port 1700.
func ciscoISGDialect(g Garden, o Options) (*Dialect, error) {
	service, err := o.template("service", o.Service, "enlace-{down_kbps}k-{up_kbps}k")
	if err != nil {
		return nil, err
	}
	name := func(s Service) (string, error) { return serviceName(service, s, g) }
	return &Dialect{
		Name:    "cisco-isg",
		Title:   "Cisco ISG",
		CoAPort: 1700,
		Can:     Abilities{Rates: true, Wall: true},
		Accept: func(s Service) (radius.Attributes, error) {
			say := &saying{}
			rates(say, s, g)
			say.service("Cisco-Account-Info", "A", name, s)
			return say.done()
		},
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			return exchangeServices(have, want, g, serviceExchange{
				activate: "Cisco-Command-Code", activatePrefix: "\x0b", deactivate: "Cisco-Command-Code", deactivatePrefix: "\x0c",
				name: name, bare: name,
			})
		},
		Identify: identifyByID,
	}, o.only("service")
}

// serviceName is the name of the service that stands for s: the garden's own for a walled one, where it has one.
func serviceName(t Template, s Service, g Garden) (string, error) {
	if s.Outcome == contracts.OutcomeWalled {
		if g.Service != "" {
			return g.Service, nil
		}
		if s.Profile.DownBps == 0 {
			s.Profile = g.Profile
		}
	}
	return t.Render(s)
}

// service says a service's name after a prefix.
func (s *saying) service(attribute, prefix string, name func(Service) (string, error), service Service) {
	text, err := name(service)
	if err != nil && s.err == nil {
		s.err = err
	}
	s.text(attribute, prefix+text)
}

// serviceExchange is how one service takes another's place.
type serviceExchange struct {
	activate, activatePrefix     string
	deactivate, deactivatePrefix string
	name                         func(Service) (string, error) // as it is activated
	bare                         func(Service) (string, error) // as it is deactivated
}

// exchangeServices deactivates what a session has and activates what it should have. It is not ok where it is not known
// what the session has.
func exchangeServices(have, want Service, g Garden, x serviceExchange) ([]radius.Attributes, bool, error) {
	first, second := &saying{}, &saying{}
	rates(second, want, g)
	second.service(x.activate, x.activatePrefix, x.name, want)
	activate, err := second.done()
	if err != nil {
		return nil, false, err
	}
	if have.Outcome < contracts.OutcomeFull || have.Outcome > contracts.OutcomeWalled {
		return nil, false, nil
	}
	first.service(x.deactivate, x.deactivatePrefix, x.bare, have)
	deactivate, err := first.done()
	if err != nil {
		return nil, false, nil // its name depends on what is not known
	}
	return []radius.Attributes{deactivate, activate}, true, nil
}
