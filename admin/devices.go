package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"enlace/contracts"
	"enlace/nas"
)

func devicePath(id nas.DeviceID) string { return fmt.Sprintf("/devices/%d", id) }

// sourceText writes a prefix of one address as the address, and none as nothing.
func sourceText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// deviceQuery narrows a list of devices; empty parts do not.
type deviceQuery struct {
	Text, POP, Dialect string
}

// has reports whether a device is of those asked for. Text is part of a name, a model, a place or an address.
func (q deviceQuery) has(d *nas.Device) bool {
	if q.POP != "" && d.Site.POP != q.POP || q.Dialect != "" && d.Dialect != q.Dialect {
		return false
	}
	text := strings.ToLower(strings.TrimSpace(q.Text))
	if text == "" {
		return true
	}
	if a, err := netip.ParseAddr(text); err == nil && d.Source.IsValid() && d.Source.Contains(a) {
		return true
	}
	of := []string{d.Name, d.Site.ShortName, d.Site.Model, d.Site.POP, d.NASIdentifier, d.Certificate, sourceText(d.Source)}
	return slices.ContainsFunc(of, func(s string) bool { return strings.Contains(strings.ToLower(s), text) })
}

// devicesView is the list of access servers.
type devicesView struct {
	Query    deviceQuery
	List     []deviceLoad
	Total    int
	POPs     []string
	Dialects []choice // those that some device speaks
}

func (s *server) devicesPage(w http.ResponseWriter, r *http.Request, p *page) error {
	v := devicesView{Query: deviceQuery{bounded(r.FormValue("q")), r.FormValue("pop"), r.FormValue("dialect")}}
	list, err := s.Devices.Devices(r.Context())
	if err != nil {
		return err
	}
	counts, err := s.Sessions.Counts(r.Context())
	if err != nil {
		return err
	}
	v.Total = len(list)
	for i := range list {
		d := &list[i]
		if d.Site.POP != "" && !slices.Contains(v.POPs, d.Site.POP) {
			v.POPs = append(v.POPs, d.Site.POP)
		}
		if c := (choice{d.Dialect, p.dialectTitle(d.Dialect)}); !slices.Contains(v.Dialects, c) {
			v.Dialects = append(v.Dialects, c)
		}
		if v.Query.has(d) {
			v.List = append(v.List, deviceLoad{*d, counts[d.ID]})
		}
	}
	slices.Sort(v.POPs)
	slices.SortFunc(v.Dialects, func(a, b choice) int { return strings.Compare(a.label, b.label) })
	return show(w, r, http.StatusOK, devicesList(p, v))
}

func (s *server) newDevicePage(w http.ResponseWriter, r *http.Request, p *page) error {
	f := &form{values: map[string]string{"dialect": "mikrotik", "message_authenticator": string(nas.LearnMA), "limit_proxy_state": string(nas.LearnProxyState), "interim_seconds": "300", "commands_per_second": "50"}}
	return s.showDevice(w, r, p, http.StatusOK, f, &nas.Device{})
}

func (s *server) showDevice(w http.ResponseWriter, r *http.Request, p *page, status int, f *form, d *nas.Device) error {
	pools, err := s.Devices.Pools(r.Context(), p.now)
	if err != nil {
		return err
	}
	return show(w, r, status, deviceForm(p, f, d, pools))
}

// formOfDevice fills a form from a device; the secret stays behind.
func formOfDevice(d *nas.Device) *form {
	f := &form{values: map[string]string{"name": d.Name, "source": sourceText(d.Source), "dialect": d.Dialect, "nas_identifier": d.NASIdentifier,
		"message_authenticator": string(d.MessageAuthenticator), "limit_proxy_state": string(d.LimitProxyState), "certificate": d.Certificate,
		"interim_seconds": strconv.Itoa(d.InterimSeconds), "commands_per_second": strconv.Itoa(d.CommandsPerSecond)}}
	if d.SwapOctets {
		f.values["swap_octets"] = "yes"
	}
	for name, id := range map[string]nas.PoolID{"ipv4_pool": d.IPv4Pool, "delegated_pool": d.DelegatedPool} {
		if id != 0 {
			f.values[name] = strconv.FormatInt(int64(id), 10)
		}
	}
	if d.CoA.IsValid() {
		f.values["coa"] = d.CoA.String()
	}
	f.values["short_name"], f.values["model"], f.values["pop"], f.values["zone"] = d.Site.ShortName, d.Site.Model, d.Site.POP, d.Site.Zone
	f.values["place"] = placeText(d.Site.Place)
	if d.API.Known() {
		f.values["api"], f.values["api_user"], f.values["api_certificate"] = d.API.Addr.String(), d.API.User, d.API.Certificate
	}
	return f
}

// deviceOf reads a device out of a form; an empty secret keeps the one it has.
func deviceOf(f *form, d nas.Device, dialects *nas.Dialects) nas.Device {
	var err error
	d.Name, d.Dialect, d.NASIdentifier = f.get("name"), f.get("dialect"), f.get("nas_identifier")
	d.MessageAuthenticator, d.LimitProxyState = nas.MessageAuthenticator(f.get("message_authenticator")), nas.LimitProxyState(f.get("limit_proxy_state"))
	d.SwapOctets = f.get("swap_octets") != ""
	d.IPv4Pool, d.DelegatedPool = nas.PoolID(f.number("ipv4_pool", 0)), nas.PoolID(f.number("delegated_pool", 0))
	d.InterimSeconds, d.CommandsPerSecond = f.number("interim_seconds", 300), f.number("commands_per_second", 50)
	d.Source, err = parseSource(f.get("source"))
	f.wrong(err)
	d.CoA, err = parseCoA(f.get("coa"), dialects.Named(d.Dialect))
	f.wrong(err)
	d.Certificate, err = nas.CertificateIdentity(f.get("certificate"))
	f.wrong(err)
	if f.has("drop_older_secret") {
		d.OlderSecret = nil
	}
	d.ChangeSecret([]byte(f.get("secret")), f.has("keep_older_secret"))
	d.Site = nas.Site{ShortName: f.get("short_name"), Model: f.get("model"), POP: f.get("pop"), Zone: f.get("zone")}
	d.Site.Place, err = parsePlace(f.get("place"))
	f.wrong(err)
	d.API, err = parseAPI(f.get("api"), f.get("api_user"), f.get("api_password"), f.get("api_certificate"))
	f.wrong(err)
	return d
}

// parseSource reads an address or a prefix; nothing is no source.
func parseSource(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return netip.Prefix{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, contracts.Invalidf("source", "%q is neither an address nor a prefix", s)
	}
	return p, nil
}

// parseCoA reads address:port; an address alone gets the port that the dialect's devices listen on, or that of RFC 5176.
// Nothing is no address.
func parseCoA(s string, dialect *nas.Dialect) (netip.AddrPort, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return netip.AddrPort{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		port := uint16(3799)
		if dialect != nil && dialect.CoAPort != 0 {
			port = dialect.CoAPort
		}
		return netip.AddrPortFrom(a, port), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return ap, contracts.Invalidf("coa", "%q is not an address and port: write it as 10.0.0.1:3799", s)
	}
	return ap, nil
}

// placeText writes coordinates as maps show them: latitude, longitude.
func placeText(c *nas.Coordinates) string {
	if c == nil {
		return ""
	}
	return degrees(c.Latitude) + ", " + degrees(c.Longitude)
}

func degrees(d float64) string { return strconv.FormatFloat(d, 'f', -1, 64) }

// parsePlace reads latitude and longitude in degrees, as maps give them to copy. Nothing is no place.
func parsePlace(s string) (*nas.Coordinates, error) {
	words := strings.FieldsFunc(strings.ReplaceAll(s, "\u2212", "-"), func(c rune) bool { return c == ',' || c == ';' || c == ' ' })
	if len(words) == 0 {
		return nil, nil
	}
	if len(words) == 2 {
		latitude, err1 := strconv.ParseFloat(words[0], 64)
		longitude, err2 := strconv.ParseFloat(words[1], 64)
		if err1 == nil && err2 == nil {
			return &nas.Coordinates{Latitude: latitude, Longitude: longitude}, nil
		}
	}
	return nil, contracts.Invalidf("place", "coordinates are a latitude and a longitude in degrees, such as -27.0965, -52.6180")
}

// Ports of the RouterOS API.
const (
	apiPortTLS   = 8729
	apiPortPlain = 8728
)

// parseAPI reads where and how a device's API is reached; an address alone gets the usual port. No address is no API.
func parseAPI(address, user, password, certificate string) (nas.API, error) {
	if address = strings.TrimSpace(address); address == "" {
		return nas.API{}, nil
	}
	api := nas.API{User: strings.TrimSpace(user), Password: []byte(password), Certificate: strings.ToLower(strings.TrimSpace(certificate))}
	port := uint16(apiPortTLS)
	if api.Certificate == nas.PlainAPI {
		port = apiPortPlain
	} else if pinned, err := nas.CertificateIdentity(api.Certificate); err == nil {
		api.Certificate = pinned // what it may not be, the device's own validation says
	}
	if a, err := netip.ParseAddr(address); err == nil {
		api.Addr = netip.AddrPortFrom(a, port)
		return api, nil
	}
	var err error
	if api.Addr, err = netip.ParseAddrPort(address); err != nil {
		return api, contracts.Invalidf("api", "%q is not an address and port: write it as 10.0.0.1:8729", address)
	}
	return api, nil
}

func (s *server) createDevice(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	d := deviceOf(f, nas.Device{}, s.Dialects)
	if f.err == nil {
		err = s.Devices.CreateDevice(r.Context(), p.actor(), p.now, &d)
	}
	if f.wrong(err) {
		return s.showDevice(w, r, p, http.StatusUnprocessableEntity, f, &nas.Device{})
	}
	return s.saved(w, r, p, err, devicePath(d.ID))
}

func (s *server) editDevicePage(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	d, err := s.Devices.Device(r.Context(), number)
	if err != nil {
		return err
	}
	return s.showDevice(w, r, p, http.StatusOK, formOfDevice(&d), &d)
}

func (s *server) updateDevice(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	was, err := s.Devices.Device(r.Context(), number)
	if err != nil {
		return err
	}
	d := deviceOf(f, was, s.Dialects)
	if f.err == nil {
		err = s.Devices.UpdateDevice(r.Context(), p.actor(), p.now, &d)
	}
	if f.wrong(err) {
		return s.showDevice(w, r, p, http.StatusUnprocessableEntity, f, &was)
	}
	return s.saved(w, r, p, err, devicePath(number))
}

// dropOlderSecret ends the replacement of a device's secret.
func (s *server) dropOlderSecret(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	d, err := s.Devices.Device(r.Context(), number)
	if err != nil {
		return err
	}
	d.OlderSecret = nil
	return s.thenBack(w, r, p, s.Devices.UpdateDevice(r.Context(), p.actor(), p.now, &d), p.T("The older secret is accepted no longer."), devicePath(number))
}

func (s *server) retireDevice(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	return s.thenBack(w, r, p, s.Devices.RetireDevice(r.Context(), p.actor(), p.now, number), p.T("The access server is retired: its packets are no longer answered."), "/devices")
}

func (s *server) observeDeviceAnew(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	return s.thenBack(w, r, p, s.Devices.ObserveAnew(r.Context(), p.actor(), p.now, number), p.T("What was seen of the access server is forgotten."), devicePath(number))
}

// dialectChoices are the dialects that there are.
func (p *page) dialectChoices() []choice {
	var out []choice
	for _, d := range p.dialects.All() {
		out = append(out, choice{d.Name, d.Title})
	}
	return out
}

func (p *page) dialectTitle(name string) string {
	if d := p.dialects.Named(name); d != nil {
		return d.Title
	}
	return name
}

// nameOf is a device's name in a list; one that has been retired is its number.
func nameOf(names map[nas.DeviceID]string, id nas.DeviceID) string {
	if name := names[id]; name != "" {
		return name
	}
	return "#" + strconv.FormatInt(int64(id), 10)
}
