package nas

import (
	"layeh.com/radius"
)

// juniperDialect speaks to Juniper MX: a session has one service of the router (a dynamic profile) with its rates as
// parameters, such as "enlace(250000k,500000k)", upload first. Service-Activate is tagged, Service-Deactivate has the
// service's name alone and no tag, and a change is two CoA-Requests: the router takes both in one in an order of its
// own. The walled garden is a service of its own (Garden.Service), whose filters must hold IPv6 too. Where the name of
// the service that a session has is not known, it is disconnected.
//
// Commands name the session by Acct-Session-Id, without which a Disconnect-Request is refused. The router acknowledges
// parameters that do not fit unless coa-dynamic-variable-validation is configured.
func juniperDialect(g Garden, o Options) (*Dialect, error) {
	service, err := o.template("service", o.Service, "enlace({up_kbps}k,{down_kbps}k)")
	if err != nil {
		return nil, err
	}
	bare := service.before("(")
	name := func(s Service) (string, error) { return serviceName(service, s, g) }
	return &Dialect{
		Name:    "juniper",
		Title:   "Juniper MX",
		CoAPort: 3799,
		Can:     Abilities{Rates: true, Wall: true},
		Accept: func(s Service) (radius.Attributes, error) {
			say := &saying{}
			rates(say, s, g)
			say.service("ERX-Service-Activate", "", name, s)
			return say.done()
		},
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			return exchangeServices(have, want, g, serviceExchange{
				activate: "ERX-Service-Activate", deactivate: "ERX-Service-Deactivate", name: name,
				bare: func(s Service) (string, error) { return serviceName(bare, s, g) },
			})
		},
		Identify: identifyByID,
	}, o.only("service")
}
