package nastest

import (
	"errors"
	"fmt"
	"slices"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
)

// vendor is how one family of access servers behaves, as its manuals and captures say. It owes nothing to the dialects,
// which it is there to check. Where a field is left out the behaviour is that of RFC 5176.
type vendor struct {
	name string
	// read takes one attribute of an Access-Accept or a CoA-Request, and reports whether it is known. Attributes that
	// all vendors have (readCommon) do not come here.
	read func(n *NAS, a *applied, attr avp) (known bool, err error)
	// sessionID is the form of the n-th session's Acct-Session-Id.
	sessionID func(n uint64) string
	// refusesAccept finds a combination that a session cannot begin with.
	refusesAccept func(attrs []avp) error
	// walled recognises the garden where names alone do not tell.
	walled func(n *NAS, a *applied) bool

	// prepare gives what a CoA-Request's attributes amount to.
	prepare func(attrs []avp) []avp
	// changes lists what a CoA-Request may change; nil: all that read knows.
	changes func(attr avp) bool
	// demands gives the Error-Cause of a CoA-Request that lacks something.
	demands func(attrs []avp) uint32
	// find gives the sessions that a command names; nil: those that match everything said (matchAll).
	find func(n *NAS, p *radius.Packet) ([]*Session, uint32)
	// names recognises the vendor's own attributes that name a session.
	names func(attr avp) bool

	ignoresUnknown bool   // attributes of a CoA-Request that are not known are passed over and acknowledged
	partial        bool   // unless Quirks.Validates: what cannot be applied is passed over and acknowledged
	keepsClass     bool   // a Class in a CoA-Request does not replace the session's
	needsSessionID bool   // a Disconnect-Request must carry Acct-Session-Id
	noCoA          uint32 // Error-Cause of every CoA-Request; 0: they are obeyed
	deaf           bool   // commands are not listened for
	unsigned       bool   // answers to commands carry no Message-Authenticator
	noEventTime    bool   // accounting carries no Event-Timestamp
	newPackets     bool   // accounting is sent again as a new packet, with another Identifier
	shorterRefused bool   // a Session-Timeout that has passed already is refused
}

var vendors = []*vendor{
	mikrotikVendor, huaweiVendor, ciscoVendor, ciscoISGVendor, ciscoXRVendor, juniperVendor, nokiaVendor, zteVendor,
	accelVendor, vyosVendor, ubiquitiVendor, pfSenseVendor, roaringPenguinVendor, standardVendor,
}

// Vendors are the names of those that can be played.
func Vendors() []string {
	names := make([]string, len(vendors))
	for i, v := range vendors {
		names[i] = v.name
	}
	return names
}

func vendorByName(name string) (*vendor, error) {
	i := slices.IndexFunc(vendors, func(v *vendor) bool { return v.name == name })
	if i < 0 {
		return nil, fmt.Errorf("nastest: %q is not a vendor that can be played", name)
	}
	return vendors[i], nil
}

// Policy is what the operator of the access server configured under a name: a QoS policy or profile, a service, a
// filter, an address list, a pool.
type Policy struct {
	Rates  contracts.Profile // 0 in a direction: it does not shape that one
	Walled bool              // whoever has it is in the walled garden
}

// SetPolicy configures a name from now on.
func (n *NAS) SetPolicy(name string, p Policy) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.policies[name] = p
}

// DropPolicy takes a name out of the configuration; sessions that have it keep it.
func (n *NAS) DropPolicy(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.policies, name)
}

func (n *NAS) policy(name string) (Policy, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.policies[name]
	return p, ok
}

// refusal is why attributes are not applied.
type refusal struct {
	cause   uint32 // Error-Cause (RFC 5176, section 3.5)
	offline bool   // the session ends over it
	why     string
}

func (r *refusal) Error() string { return r.why }

func unlisted(kind, name string) error {
	return &refusal{cause: invalidRequest, why: fmt.Sprintf("no %s %q is configured", kind, name)}
}

// change applies a CoA-Request's attributes to what a session has. The result is an Error-Cause, 0 for an ACK, and
// whether the session ends.
func (n *NAS) change(a *applied, p *radius.Packet, q Quirks) (cause uint32, offline bool) {
	v := n.vendor
	attrs, err := flatten(p.Attributes)
	if err != nil {
		return invalidRequest, false
	}
	if v.demands != nil {
		if cause := v.demands(attrs); cause != 0 {
			return cause, false
		}
	}
	if v.prepare != nil {
		attrs = v.prepare(attrs)
	}
	class := a.class
	a.class = nil
	for _, attr := range attrs {
		if v.identifies(attr) {
			continue
		}
		known, err := false, error(nil)
		if !q.unknown(attr) && (v.changes == nil || v.changes(attr)) {
			known, err = n.read(a, attr)
		}
		var r *refusal
		switch {
		case errors.As(err, &r) && r.offline && !q.Validates:
			return 0, true
		case err != nil && v.partial && !q.Validates:
		case r != nil:
			return r.cause, false
		case err != nil:
			return invalidRequest, false
		case !known && !v.ignoresUnknown && (!v.partial || q.Validates):
			return unsupportedAttribute, false
		}
	}
	if a.class == nil || v.keepsClass {
		a.class = class
	}
	return 0, false
}

// accept applies an Access-Accept to nothing. Attributes that are not known are passed over.
func (n *NAS) accept(p *radius.Packet) (applied, error) {
	var a applied
	attrs, err := flatten(p.Attributes)
	if err != nil {
		return a, err
	}
	if check := n.vendor.refusesAccept; check != nil {
		if err := check(attrs); err != nil {
			return a, err
		}
	}
	for _, attr := range attrs {
		if _, err := n.read(&a, attr); err != nil {
			return a, err
		}
	}
	return a, nil
}

// read takes one attribute: those that all vendors have, else the vendor's own.
func (n *NAS) read(a *applied, attr avp) (bool, error) {
	if attr.vendor == 0 && a.readCommon(attr) {
		return true, nil
	}
	return n.vendor.read(n, a, attr)
}

// identifies reports whether an attribute of a command says which session or access server is meant, or is about the
// command itself.
func (v *vendor) identifies(attr avp) bool {
	if v.names != nil && v.names(attr) {
		return true
	}
	if attr.vendor != 0 {
		return false
	}
	switch radius.Type(attr.kind) {
	case rfc2865.UserName_Type, rfc2866.AcctSessionID_Type, rfc2866.AcctMultiSessionID_Type, rfc2865.FramedIPAddress_Type,
		rfc2865.NASIdentifier_Type, rfc2865.NASIPAddress_Type, rfc2865.CallingStationID_Type, rfc2865.CalledStationID_Type,
		rfc2869.NASPortID_Type, rfc2865.NASPort_Type, rfc2865.ProxyState_Type, rfc2869.EventTimestamp_Type,
		rfc2869.MessageAuthenticator_Type:
		return true
	}
	return false
}

func (n *NAS) isWalled(a *applied) bool {
	if n.vendor.walled != nil {
		return n.vendor.walled(n, a)
	}
	for _, name := range a.names() {
		if p, ok := n.policy(name); ok && p.Walled {
			return true
		}
	}
	return false
}
