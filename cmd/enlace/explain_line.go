package main

import (
	"fmt"
	"net"

	"enlace/contracts"
)

// explainLine says what a request for an access must bear beside its login and password.
func explainLine(a *contracts.Access) (lines []string) {
	l := &a.Line
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if l.NoPassword {
		say("recognised without a password by its %s", l.MarkText())
	}
	if a.SessionLimit > 0 {
		say("at most %d sessions at once", a.SessionLimit)
	}
	explainBinding(say, "the MAC address", l.MAC.Mode, l.MAC.To.String())
	device := ""
	if l.Device.To != 0 {
		device = fmt.Sprint(l.Device.To)
	}
	explainBinding(say, "access server number", l.Device.Mode, device)
	explainBinding(say, "the port", l.Port.Mode, l.Port.To.String())
	for _, mark := range [...]struct{ name, value string }{{"circuit id", l.CircuitID.String()}, {"remote id", l.RemoteID.String()}, {"VLAN", l.VLAN.String()}} {
		if mark.value != "" {
			say("bound to the %s %s", mark.name, mark.value)
		}
	}
	return lines
}

func explainBinding(say func(string, ...any), what string, mode contracts.BindMode, value string) {
	switch {
	case mode == contracts.BindFixed:
		say("bound to %s %s", what, value)
	case mode == contracts.BindLearn && value == "":
		say("will be bound to %s of its next login", what)
	case mode == contracts.BindLearn:
		say("bound to %s %s, as its first login showed", what, value)
	}
}

// explainAddresses writes addresses as attributes.
func explainAddresses(a contracts.Addresses) (attrs []string) {
	say := func(name string, value any) { attrs = append(attrs, fmt.Sprintf("%s = %s", name, value)) }
	if a.IPv4.IsValid() {
		say("Framed-IP-Address", a.IPv4)
		if a.NetmaskBits > 0 {
			say("Framed-IP-Netmask", net.IP(net.CIDRMask(a.NetmaskBits, 32)))
		}
	}
	if a.FramedIPv6.IsValid() {
		say("Framed-IPv6-Prefix", a.FramedIPv6)
	}
	if a.DelegatedIPv6.IsValid() {
		say("Delegated-IPv6-Prefix", a.DelegatedIPv6)
	}
	for _, r := range a.Routes {
		name := "Framed-Route"
		if r.To.Addr().Is6() {
			name = "Framed-IPv6-Route"
		}
		say(name, fmt.Sprintf("%q", r))
	}
	return attrs
}
