package nas

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
)

// Own is what an operator makes of the dialects, by name. Under the name of a built-in dialect it changes that one; under
// another it makes a dialect of the operator's own, like a built-in one or from nothing.
type Own map[string]OwnDialect

// OwnDialect is one of them. What is left out is as in the dialect that it changes or is like; from nothing, as said here.
type OwnDialect struct {
	// Like is the built-in dialect that a dialect of the operator's own begins as; empty: from nothing.
	Like  string `yaml:"like"`
	Title string `yaml:"title"` // for people; default: the name
	// CoAPort is where devices listen for CoA- and Disconnect-Requests; from nothing 3799.
	CoAPort int     `yaml:"coa_port"`
	Options Options `yaml:",inline"`
	// Garden has other words for the walled garden than the settings.
	Garden GardenWords `yaml:"garden"`
	// Changes are what devices change by CoA: rates, and wall, into and out of the walled garden. For all else the session
	// is disconnected. From nothing: none.
	Changes *[]string `yaml:"changes"`
	// IPv6 says what of IPv6 in the walled garden: covered, by what closes IPv4, or none, which gives a session none
	// and has it disconnected on the way in and out. From nothing: none.
	IPv6 string `yaml:"ipv6_in_garden"`
	// Identify are the attributes that name a session in a command, all of which must match: Acct-Session-Id, User-Name,
	// Framed-IP-Address, Calling-Station-Id, NAS-Port-Id. From nothing: the first three.
	Identify []string `yaml:"identify"`
	// Accept are attributes that go into every Access-Accept, and CoA those that go into every CoA-Request, beside what
	// the dialect says itself. A dialect from nothing without CoA changes a session by what Accept says.
	Accept OwnAttributes  `yaml:"accept"`
	CoA    *OwnAttributes `yaml:"coa"`
}

// OwnAttributes are attributes such as Filter-Id = "{down_kbps}/{up_kbps}", for every service and for an outcome. See
// Template for the words in braces.
type OwnAttributes struct {
	Always  []string `yaml:"always"`
	Full    []string `yaml:"full"`
	Reduced []string `yaml:"reduced"`
	Walled  []string `yaml:"walled"`
}

// GardenWords are words for the walled garden in place of the settings' (Garden has their meaning); an empty one does
// away with it.
type GardenWords struct {
	AddressList *string `yaml:"address_list"`
	Filter      *string `yaml:"filter"`
	OpenFilter  *string `yaml:"open_filter"`
	Service     *string `yaml:"service"`
	Portal      *string `yaml:"portal"`
	Pool        *string `yaml:"pool"`
}

// over gives a garden the words.
func (w *GardenWords) over(g Garden) Garden {
	for _, word := range []struct {
		from *string
		to   *string
	}{{w.AddressList, &g.AddressList}, {w.Filter, &g.Filter}, {w.OpenFilter, &g.OpenFilter}, {w.Service, &g.Service}, {w.Portal, &g.RedirectURL}, {w.Pool, &g.Pool}} {
		if word.from != nil {
			*word.to = *word.from
		}
	}
	return g
}

// Dialects binds the built-in dialects, as the operator changed them, and the operator's own to the walled garden. The
// error names the dialect and what is wrong with it; each was tried on a service of every outcome.
func (own Own) Dialects(g Garden) (*Dialects, error) {
	ds := &Dialects{byName: map[string]*Dialect{}}
	for _, b := range builtIn {
		o, mine := own[b.name]
		if mine && o.Like != "" {
			return nil, fmt.Errorf("dialect %s: it is built in, so it is not like another", b.name)
		}
		if err := own.bind(ds, b.name, b.make, o, g, mine); err != nil {
			return nil, fmt.Errorf("dialect %s: %w", b.name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if ds.byName[name] != nil {
			continue
		}
		o := own[name]
		create := fromNothing
		if o.Like != "" {
			i := slices.IndexFunc(builtIn, func(b builtInDialect) bool { return b.name == o.Like })
			if i < 0 {
				return nil, fmt.Errorf("dialect %s: there is no built-in dialect %q to be like", name, shorten(o.Like))
			}
			create = builtIn[i].make
		}
		if err := own.bind(ds, name, create, o, g, true); err != nil {
			return nil, fmt.Errorf("dialect %s: %w", shorten(name), err)
		}
	}
	return ds, nil
}

// bind makes a dialect, has the operator's changes applied to it, and adds it.
func (own Own) bind(ds *Dialects, name string, create func(Garden, Options) (*Dialect, error), o OwnDialect, g Garden, mine bool) error {
	g = o.Garden.over(g)
	d, err := create(g, o.Options)
	if err != nil {
		return err
	}
	if d.says == (Abilities{}) {
		d.says = d.Can
	}
	if !mine {
		ds.add(d)
		return nil
	}
	if err := o.apply(d, name, g); err != nil {
		return err
	}
	ds.add(d)
	return d.try(g)
}

// apply makes of a dialect what the operator says.
func (o *OwnDialect) apply(d *Dialect, name string, g Garden) error {
	if d.Name != name {
		if !isDialectName(name) {
			return contracts.Invalidf("dialects", "a dialect's name has 1 to 40 of a-z, 0-9 and -")
		}
		d.Name, d.Title = name, name
	}
	switch {
	case len(o.Title) > 100 || TextOf(o.Title) != o.Title:
		return contracts.Invalidf("title", "a title has up to 100 printable bytes")
	case o.Title != "":
		d.Title = o.Title
	}
	switch {
	case o.CoAPort < 0 || o.CoAPort > 65535:
		return contracts.Invalidf("coa_port", "a port is 1 to 65535")
	case o.CoAPort != 0:
		d.CoAPort = uint16(o.CoAPort)
	}
	switch o.IPv6 {
	case "":
	case "covered":
		d.OpenIPv6 = false
	case "none":
		d.OpenIPv6 = true
	default:
		return contracts.Invalidf("ipv6_in_garden", "ipv6_in_garden is covered or none, not %q", shorten(o.IPv6))
	}
	if err := o.identify(d); err != nil {
		return err
	}
	if err := o.attributes(d, g); err != nil {
		return err
	}
	if o.Changes == nil {
		return nil
	}
	d.Can = Abilities{}
	for _, what := range *o.Changes {
		switch {
		case what == "rates" && d.says.Rates:
			d.Can.Rates = true
		case what == "wall" && d.says.Wall:
			d.Can.Wall = true
		case what == "rates" || what == "wall":
			return contracts.Invalidf("changes", "the dialect has no attributes that change %s", what)
		default:
			return contracts.Invalidf("changes", "changes are rates and wall, not %q", shorten(what))
		}
	}
	return nil
}

func isDialectName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

// naming are the attributes that can name a session, and where they come from.
var naming = map[string]func(*radius.Packet, Session){
	"User-Name":          func(p *radius.Packet, s Session) { p.Add(rfc2865.UserName_Type, radius.Attribute(s.Login)) },
	"Acct-Session-Id":    func(p *radius.Packet, s Session) { p.Add(rfc2866.AcctSessionID_Type, radius.Attribute(s.Key.ID)) },
	"Calling-Station-Id": func(p *radius.Packet, s Session) { addKnown(p, rfc2865.CallingStationID_Type, s.CallingStation) },
	"NAS-Port-Id":        func(p *radius.Packet, s Session) { addKnown(p, rfc2869.NASPortID_Type, s.NASPort) },
	"Framed-IP-Address": func(p *radius.Packet, s Session) {
		if s.FramedIP.Is4() {
			p.Add(rfc2865.FramedIPAddress_Type, s.FramedIP.AsSlice())
		}
	},
}

func addKnown(p *radius.Packet, t radius.Type, value string) {
	if value != "" {
		p.Add(t, radius.Attribute(value))
	}
}

func (o *OwnDialect) identify(d *Dialect) error {
	if len(o.Identify) == 0 {
		return nil
	}
	for i, name := range o.Identify {
		switch {
		case naming[name] == nil:
			return contracts.Invalidf("identify", "%q names no session: %s do", shorten(name), strings.Join(slices.Sorted(maps.Keys(naming)), ", "))
		case slices.Contains(o.Identify[:i], name):
			return contracts.Invalidf("identify", "%s is there twice", name)
		}
	}
	if !slices.Contains(o.Identify, "Acct-Session-Id") && !slices.Contains(o.Identify, "User-Name") {
		return contracts.Invalidf("identify", "a session is named by Acct-Session-Id or User-Name at least: the others may be unknown")
	}
	names := slices.Clone(o.Identify)
	d.Identify = func(s Session) radius.Attributes {
		p := &radius.Packet{}
		for _, name := range names {
			naming[name](p, s)
		}
		return p.Attributes
	}
	return nil
}

// ownList are OwnAttributes read: for every outcome, and by outcome.
type ownList map[contracts.Outcome][]ownAttribute

func (a *OwnAttributes) read(where string) (ownList, error) {
	list := ownList{}
	for _, part := range []struct {
		name    string
		lines   []string
		outcome contracts.Outcome
	}{{"always", a.Always, 0}, {"full", a.Full, contracts.OutcomeFull}, {"reduced", a.Reduced, contracts.OutcomeReduced}, {"walled", a.Walled, contracts.OutcomeWalled}} {
		for _, line := range part.lines {
			own, err := parseOwnAttribute(line)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", where, part.name, err)
			}
			list[part.outcome] = append(list[part.outcome], own)
		}
	}
	return list, nil
}

// say adds the attributes of a service.
func (l ownList) say(say *saying, s Service, g Garden) {
	s.Profile = rates(say, s, g)
	for _, outcome := range [...]contracts.Outcome{0, s.Outcome} {
		for i := range l[outcome] {
			say.own(&l[outcome][i], s)
		}
	}
}

// attributes has the operator's own said beside the dialect's.
func (o *OwnDialect) attributes(d *Dialect, g Garden) error {
	accept, err := o.Accept.read("accept")
	if err != nil {
		return err
	}
	coa := accept
	if o.CoA != nil {
		if coa, err = o.CoA.read("coa"); err != nil {
			return err
		}
	} else if !d.bare {
		coa = ownList{}
	}
	says, change := d.Accept, d.Change
	if len(accept) > 0 {
		d.Accept = func(s Service) (radius.Attributes, error) {
			attrs, err := says(s)
			say := &saying{attrs: attrs, err: err}
			accept.say(say, s, g)
			return say.done()
		}
	}
	if len(coa) > 0 {
		d.Change = func(have, want Service) ([]radius.Attributes, bool, error) {
			steps, ok, err := change(have, want)
			if err != nil || !ok {
				return steps, ok, err
			}
			last := len(steps) - 1
			say := &saying{attrs: steps[last]}
			coa.say(say, want, g)
			if steps[last], err = say.done(); err != nil {
				return nil, false, err
			}
			return steps, true, nil
		}
	}
	return nil
}

// fromNothing is a dialect that says only what the operator has it say.
func fromNothing(g Garden, o Options) (*Dialect, error) {
	return &Dialect{
		CoAPort:  3799,
		OpenIPv6: true,
		says:     Abilities{Rates: true, Wall: true},
		bare:     true,
		Accept: func(s Service) (radius.Attributes, error) {
			say := &saying{}
			rates(say, s, g)
			return say.done()
		},
		Change: func(_, _ Service) ([]radius.Attributes, bool, error) { return []radius.Attributes{nil}, true, nil },
	}, o.only()
}

// longestPacket bounds the attributes of a service: a packet has 4096 bytes (RFC 2865, section 3), and addresses, Class
// and others are in it too.
const longestPacket = 3000

// try has a dialect say services of every outcome and the changes between them: what does not fit, or tells two services
// apart that differ in what a subscriber notices no more than by their names, is found before a subscriber comes.
func (d *Dialect) try(g Garden) error {
	name := strings.Repeat("n", contracts.MaxProfileName) + "-10000000000k-10000000000k" // the longest that is derived
	services := []Service{
		{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 111_111_000, UpBps: 55_555_000, Name: name}},
		{Outcome: contracts.OutcomeReduced, Profile: contracts.Profile{DownBps: 11_111_000, UpBps: 5_555_000, Name: name}},
		{Outcome: contracts.OutcomeWalled, Profile: g.Profile},
	}
	said := map[string]contracts.Outcome{}
	for _, s := range services {
		attrs, err := d.Accept(s)
		if err == nil {
			err = fitting(attrs)
		}
		if err != nil {
			return fmt.Errorf("an Access-Accept for %s, tried with a profile name of %d bytes: %w", s.Outcome, len(name), err)
		}
		text := strings.Join(Describe(attrs), "\n")
		if other, same := said[text]; same {
			return contracts.Invalidf("accept", "an Access-Accept says %s and %s alike; {outcome} or a rate tells them apart", other, s.Outcome)
		}
		said[text] = s.Outcome
	}
	for _, have := range services {
		changed := map[string]contracts.Outcome{}
		for _, want := range services {
			steps, ok, err := d.Change(have, want)
			if !ok && err == nil {
				continue
			}
			text := ""
			for _, step := range steps {
				if err == nil && len(step) == 0 {
					err = contracts.Invalidf("coa", "it would say nothing")
				}
				if err == nil {
					err = fitting(step)
				}
				text += strings.Join(Describe(step), "\n") + "\n\n"
			}
			if err != nil {
				return fmt.Errorf("a CoA-Request from %s to %s: %w", have.Outcome, want.Outcome, err)
			}
			if other, same := changed[text]; same {
				return contracts.Invalidf("coa", "a CoA-Request says %s and %s alike; {outcome} or a rate tells them apart", other, want.Outcome)
			}
			changed[text] = want.Outcome
		}
	}
	return nil
}

// fitting refuses attributes that leave no room for the others.
func fitting(attrs radius.Attributes) error {
	size := 0
	for _, a := range attrs {
		size += 2 + len(a.Attribute)
	}
	if size > longestPacket {
		return contracts.Invalidf("attribute", "the attributes have %d bytes, of at most %d", size, longestPacket)
	}
	return nil
}
