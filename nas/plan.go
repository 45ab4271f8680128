package nas

import (
	"fmt"

	"layeh.com/radius"

	"enlace/contracts"
)

// Method is how a session is changed.
type Method string

const (
	None       Method = ""           // what it has is what it should have
	CoA        Method = "coa"        // CoA-Request (RFC 5176, section 2.2)
	Disconnect Method = "disconnect" // Disconnect-Request (RFC 5176, section 2.1); the next login brings the service
	ViaAPI     Method = "api"        // the device's own API, where the others cannot do it
)

// Command is what a session's access server is to be told. Steps are the change itself, without the attributes that
// name the session; a Disconnect has none.
type Command struct {
	Method Method
	Steps  []radius.Attributes // CoA-Requests, each sent once the one before is acknowledged
}

// Plan is the command that brings a session to the service wanted. have is the digest of what is applied, 0 when that
// is unknown: then the command is given in any case, because applying a service twice does no harm. The error says that
// the dialect cannot carry the service.
func Plan(d *Dialect, have Digest, want Service) (Command, error) {
	switch {
	case want.Outcome == contracts.OutcomeReject:
		return Command{Method: Disconnect}, nil
	case want.Outcome < contracts.OutcomeFull || want.Outcome > contracts.OutcomeReject:
		return Command{}, contracts.Invalidf("outcome", "%s is not a service", want.Outcome)
	case have != 0 && have == want.Digest():
		return Command{}, nil
	}
	steps, ok, err := d.Change(d.known(have), want)
	if err != nil {
		return Command{}, fmt.Errorf("saying %s in dialect %s: %w", want, d.Name, err)
	}
	if !ok {
		return Command{Method: Disconnect}, nil
	}
	return Command{Method: CoA, Steps: steps}, nil
}

// Restores reports whether going from have to want lowers a restriction. Such commands overtake the others. From an
// unknown service nothing is known to be restored.
func Restores(have Digest, want Service) bool {
	return have != 0 && want.Outcome < have.Outcome()
}

// Unreachable is the answer recorded where a device has no address for commands: nothing was sent.
const Unreachable Answer = "unreachable"
