package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
	"enlace/nas"
)

type bindingJSON struct {
	Mode  string `json:"mode,omitempty" enum:"off,fixed,learn" default:"off"`
	Value string `json:"value,omitempty" maxLength:"510" doc:"fixed: required; learn: what was learned so far"`
}

// accessLineJSON is what an access has beside its login and password, as API and forms write it.
type accessLineJSON struct {
	NoPassword    bool        `json:"no_password,omitempty" doc:"Recognised by its fixed MAC address, circuit or remote id, port or VLAN alone"`
	MAC           bindingJSON `json:"mac,omitempty"`
	Device        bindingJSON `json:"device,omitempty" doc:"The access server's number"`
	Port          bindingJSON `json:"port,omitempty" doc:"NAS-Port-Id"`
	CircuitID     string      `json:"circuit_id,omitempty" maxLength:"510" doc:"Option 82 or PPPoE Agent-Circuit-Id; 0x and hexadecimal where it is not text"`
	RemoteID      string      `json:"remote_id,omitempty" maxLength:"510"`
	VLAN          string      `json:"vlan,omitempty" maxLength:"9" example:"100:200"`
	IPv4          string      `json:"ipv4,omitempty" maxLength:"15" doc:"Framed-IP-Address"`
	NetmaskBits   int         `json:"netmask_bits,omitempty" minimum:"0" maximum:"32"`
	FramedIPv6    string      `json:"framed_ipv6,omitempty" maxLength:"49" doc:"Framed-IPv6-Prefix"`
	DelegatedIPv6 string      `json:"delegated_ipv6,omitempty" maxLength:"49" doc:"Delegated-IPv6-Prefix"`
	Routes        []string    `json:"routes,omitempty" maxItems:"16" doc:"Framed-Route, Framed-IPv6-Route: network, gateway, metric" example:"[\"203.0.113.0/29 0.0.0.0 1\"]"`
}

// line reads what was written; the first thing that is wrong is said of its field.
func (j *accessLineJSON) line() (l contracts.Line, err error) {
	wrong := func(field string, e error) {
		if e != nil && err == nil {
			if domain, ok := asDomain(e); ok && field != "" {
				e = contracts.Invalidf(field, "%s", domain.Msg)
			}
			err = e
		}
	}
	var e error
	l.NoPassword = j.NoPassword
	for _, b := range [...]struct {
		field string
		from  bindingJSON
		mode  *contracts.BindMode
	}{{"mac", j.MAC, &l.MAC.Mode}, {"device", j.Device, &l.Device.Mode}, {"port", j.Port, &l.Port.Mode}} {
		*b.mode, e = contracts.ParseBindMode(b.from.Mode)
		wrong(b.field, e)
	}
	if text := j.MAC.Value; text != "" {
		var ok bool
		if l.MAC.To, ok = contracts.ParseMAC(text); !ok {
			wrong("mac", contracts.Invalidf("mac", "a MAC address has twelve hexadecimal digits, such as aa:bb:cc:dd:ee:ff"))
		}
	}
	if text := j.Device.Value; text != "" {
		if l.Device.To, e = strconv.ParseInt(text, 10, 64); e != nil {
			wrong("device", contracts.Invalidf("device", "there is no such access server"))
		}
	}
	for _, o := range [...]struct {
		field, text string
		to          *contracts.Octets
	}{{"port", j.Port.Value, &l.Port.To}, {"circuit_id", j.CircuitID, &l.CircuitID}, {"remote_id", j.RemoteID, &l.RemoteID}} {
		*o.to, e = contracts.ParseOctets(o.text)
		wrong(o.field, e)
	}
	l.VLAN, e = contracts.ParseVLAN(j.VLAN)
	wrong("vlan", e)
	wrong("", j.addresses(&l.Addresses))
	return l, err
}

func (j *accessLineJSON) addresses(a *contracts.Addresses) (err error) {
	if j.IPv4 != "" {
		if a.IPv4, err = netip.ParseAddr(j.IPv4); err != nil {
			return contracts.Invalidf("ipv4", "a fixed address is a unicast IPv4 address, such as 203.0.113.9")
		}
	}
	a.NetmaskBits = j.NetmaskBits
	for _, p := range [...]struct {
		field, text string
		to          *netip.Prefix
	}{{"framed_ipv6", j.FramedIPv6, &a.FramedIPv6}, {"delegated_ipv6", j.DelegatedIPv6, &a.DelegatedIPv6}} {
		if p.text == "" {
			continue
		}
		if *p.to, err = netip.ParsePrefix(p.text); err != nil {
			return contracts.Invalidf(p.field, "a prefix is of unicast IPv6 addresses, such as 2001:db8:1:2::/64")
		}
	}
	for _, text := range j.Routes {
		r, err := contracts.ParseRoute(text)
		if err != nil {
			return err
		}
		a.Routes = append(a.Routes, r)
	}
	return nil
}

// accessLineJSONOf writes a line; nil for an access that has nothing but login and password.
func accessLineJSONOf(l *contracts.Line) *accessLineJSON {
	if l.IsZero() {
		return nil
	}
	j := &accessLineJSON{NoPassword: l.NoPassword, MAC: bindingJSON{l.MAC.Mode.String(), l.MAC.To.String()},
		Device: bindingJSON{Mode: l.Device.Mode.String()}, Port: bindingJSON{l.Port.Mode.String(), l.Port.To.String()},
		CircuitID: l.CircuitID.String(), RemoteID: l.RemoteID.String(), VLAN: l.VLAN.String(), NetmaskBits: l.Addresses.NetmaskBits}
	if l.Device.To != 0 {
		j.Device.Value = strconv.FormatInt(l.Device.To, 10)
	}
	a := &l.Addresses
	if a.IPv4.IsValid() {
		j.IPv4 = a.IPv4.String()
	}
	if a.FramedIPv6.IsValid() {
		j.FramedIPv6 = a.FramedIPv6.String()
	}
	if a.DelegatedIPv6.IsValid() {
		j.DelegatedIPv6 = a.DelegatedIPv6.String()
	}
	for _, r := range a.Routes {
		j.Routes = append(j.Routes, r.String())
	}
	return j
}

// accessFieldsJSON is what can be changed of an access.
type accessFieldsJSON struct {
	SessionLimit int             `json:"session_limit,omitempty" minimum:"0" maximum:"1000" doc:"Sessions at once; 0: the provider's"`
	Line         *accessLineJSON `json:"line,omitempty" doc:"Marks that a request must bear, and fixed addresses"`
}

func (f *accessFieldsJSON) access() (a contracts.Access, err error) {
	a.SessionLimit = f.SessionLimit
	if f.Line != nil {
		a.Line, err = f.Line.line()
	}
	return a, err
}

func (s *server) linesAPI(a huma.API) {
	type which struct {
		ID     int64 `path:"id" minimum:"1"`
		Access int64 `path:"access" minimum:"1"`
	}
	type update struct {
		ID     int64 `path:"id" minimum:"1"`
		Access int64 `path:"access" minimum:"1"`
		Body   accessFieldsJSON
	}
	show := func(ctx context.Context, id int64) (*body[contractJSON], error) {
		c, err := s.contractJSON(ctx, contracts.ContractID(id))
		if err != nil {
			return nil, err
		}
		return reply(*c), nil
	}
	operation(s, a, "PUT", "/contracts/{id}/accesses/{access}", "update-access", "Replace what an access has beside its login and password", func(ctx context.Context, in *update) (*body[contractJSON], error) {
		access, err := in.Body.access()
		if err != nil {
			return nil, err
		}
		access.ID = contracts.AccessID(in.Access)
		if err := s.Contracts.UpdateAccess(ctx, actorOf(ctx), s.Now(), contracts.ContractID(in.ID), &access); err != nil {
			return nil, err
		}
		return show(ctx, in.ID)
	})
	operation(s, a, "POST", "/contracts/{id}/accesses/{access}/clear-binding", "clear-binding", "Forget what the bindings of an access learned: the next login is a first one", func(ctx context.Context, in *which) (*body[contractJSON], error) {
		if err := s.Contracts.ClearBinding(ctx, actorOf(ctx), s.Now(), contracts.ContractID(in.ID), contracts.AccessID(in.Access)); err != nil {
			return nil, err
		}
		return show(ctx, in.ID)
	})
}

// lineMark is a line of the summary on the contract's page.
type lineMark struct{ Label, Value, Note string }

// summary of what an access has beside its login and password, for people.
func (p *page) summary(a *contracts.Access, devices map[nas.DeviceID]string) (list []lineMark) {
	l := &a.Line
	add := func(label, value string, mode contracts.BindMode) {
		m := lineMark{Label: label, Value: value}
		switch {
		case mode == contracts.BindLearn && value == "":
			m.Value = p.T("learned at the next login")
		case mode == contracts.BindLearn:
			m.Note = p.T("learned")
		case value == "":
			return
		}
		list = append(list, m)
	}
	if l.NoPassword {
		add(p.T("Recognised by"), p.T(markLabels[l.Mark()])+p.T(", without a password"), contracts.BindOff)
	}
	if a.SessionLimit > 0 {
		add(p.T("Sessions at once"), strconv.Itoa(a.SessionLimit), contracts.BindOff)
	}
	add(p.T("MAC address"), l.MAC.To.String(), l.MAC.Mode)
	device := ""
	if l.Device.To != 0 {
		device = cmp.Or(devices[nas.DeviceID(l.Device.To)], "#"+strconv.FormatInt(l.Device.To, 10))
	}
	add(p.T("Access server"), device, l.Device.Mode)
	add(p.T("Port"), l.Port.To.String(), l.Port.Mode)
	add(p.T("Circuit id"), l.CircuitID.String(), contracts.BindOff)
	add(p.T("Remote id"), l.RemoteID.String(), contracts.BindOff)
	add("VLAN", l.VLAN.String(), contracts.BindOff)
	if j := accessLineJSONOf(l); j != nil {
		if j.NetmaskBits > 0 {
			j.IPv4 += "/" + strconv.Itoa(j.NetmaskBits)
		}
		add("IPv4", j.IPv4, contracts.BindOff)
		add(p.T("IPv6 of the line"), j.FramedIPv6, contracts.BindOff)
		add(p.T("Delegated IPv6"), j.DelegatedIPv6, contracts.BindOff)
		for _, r := range j.Routes {
			add(p.T("Route"), r, contracts.BindOff)
		}
	}
	return list
}

var markLabels = map[contracts.Mark]string{
	contracts.MarkCircuit: "circuit id", contracts.MarkMAC: "MAC address", contracts.MarkPort: "port", contracts.MarkVLAN: "VLAN",
}

// lineOfForm reads the form of an access.
func lineOfForm(f *form) (a contracts.Access) {
	j := accessFieldsJSON{SessionLimit: f.number("session_limit", 0), Line: &accessLineJSON{NoPassword: f.get("no_password") == "yes",
		MAC:    bindingJSON{f.get("mac_mode"), f.get("mac")},
		Device: bindingJSON{f.get("device_mode"), f.get("device")}, Port: bindingJSON{f.get("port_mode"), f.get("port")},
		CircuitID: f.get("circuit_id"), RemoteID: f.get("remote_id"), VLAN: f.get("vlan"), IPv4: f.get("ipv4"),
		NetmaskBits: f.number("netmask_bits", 0), FramedIPv6: f.get("framed_ipv6"), DelegatedIPv6: f.get("delegated_ipv6")}}
	for line := range strings.Lines(f.get("routes")) {
		if line = strings.TrimSpace(line); line != "" {
			j.Line.Routes = append(j.Line.Routes, line)
		}
	}
	a, err := j.access()
	f.wrong(err)
	return a
}

// formOfLine is the form of an access as it stands.
func formOfLine(a *contracts.Access) *form {
	f := &form{values: map[string]string{"login": a.Login, "mac_mode": "off", "device_mode": "off", "port_mode": "off"}}
	if a.SessionLimit > 0 {
		f.values["session_limit"] = strconv.Itoa(a.SessionLimit)
	}
	j := accessLineJSONOf(&a.Line)
	if j == nil {
		return f
	}
	if j.NoPassword {
		f.values["no_password"] = "yes"
	}
	if j.NetmaskBits > 0 {
		f.values["netmask_bits"] = strconv.Itoa(j.NetmaskBits)
	}
	for name, value := range map[string]string{"mac_mode": j.MAC.Mode, "mac": j.MAC.Value, "device_mode": j.Device.Mode, "device": j.Device.Value,
		"port_mode": j.Port.Mode, "port": j.Port.Value, "circuit_id": j.CircuitID, "remote_id": j.RemoteID, "vlan": j.VLAN, "ipv4": j.IPv4,
		"framed_ipv6": j.FramedIPv6, "delegated_ipv6": j.DelegatedIPv6, "routes": strings.Join(j.Routes, "\n")} {
		f.values[name] = value
	}
	return f
}

// accessPage is the form of an access: a new one, or one that is there.
func (s *server) accessPage(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.ContractID](r, "id")
	if err != nil {
		return err
	}
	a := contracts.Access{}
	if r.PathValue("access") != "" {
		if a, err = s.accessOf(r, number); err != nil {
			return err
		}
	}
	return s.showAccess(w, r, p, http.StatusOK, number, &a, formOfLine(&a))
}

// accessOf is the access that a path names.
func (s *server) accessOf(r *http.Request, number contracts.ContractID) (contracts.Access, error) {
	access, err := id[contracts.AccessID](r, "access")
	if err != nil {
		return contracts.Access{}, err
	}
	c, err := s.Contracts.Contract(r.Context(), number)
	if err != nil {
		return contracts.Access{}, err
	}
	i := slices.IndexFunc(c.Accesses, func(a contracts.Access) bool { return a.ID == access })
	if i < 0 {
		return contracts.Access{}, contracts.NotFoundf("contract %d has no access %d", number, access)
	}
	return c.Accesses[i], nil
}

func (s *server) showAccess(w http.ResponseWriter, r *http.Request, p *page, status int, number contracts.ContractID, a *contracts.Access, f *form) error {
	devices, err := s.Devices.Devices(r.Context())
	if err != nil {
		return err
	}
	choices := []choice{{"", "–"}}
	for _, d := range devices {
		choices = append(choices, choice{strconv.FormatInt(int64(d.ID), 10), d.Name})
	}
	return show(w, r, status, accessForm(p, f, number, a, choices))
}

// saveAccess records a new access, or what an access has beside its login and password.
func (s *server) saveAccess(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.ContractID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	was := contracts.Access{}
	if r.PathValue("access") != "" {
		if was, err = s.accessOf(r, number); err != nil {
			return err
		}
	}
	a := lineOfForm(f)
	a.ID, a.Login = was.ID, f.get("login")
	if f.err == nil {
		if was.ID == 0 {
			err = s.Contracts.AddAccess(r.Context(), p.actor(), p.now, number, &a, f.get("password"))
		} else {
			err = s.Contracts.UpdateAccess(r.Context(), p.actor(), p.now, number, &a)
		}
	}
	if f.wrong(err) {
		return s.showAccess(w, r, p, http.StatusUnprocessableEntity, number, &was, f)
	}
	if err != nil {
		return err
	}
	s.say(r, true, p.T("Access %s is recorded.", a.Login))
	http.Redirect(w, r, contractPath(number), http.StatusSeeOther)
	return nil
}

// clearBinding forgets what an access learned.
func (s *server) clearBinding(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.ContractID](r, "id")
	if err != nil {
		return err
	}
	a, err := s.accessOf(r, number)
	if err != nil {
		return err
	}
	if err := s.Contracts.ClearBinding(r.Context(), p.actor(), p.now, number, a.ID); err != nil {
		return err
	}
	s.say(r, true, p.T("What %s had learned is forgotten: the next login is a first one.", a.Login))
	http.Redirect(w, r, contractPath(number), http.StatusSeeOther)
	return nil
}
