package admin

import (
	"fmt"
	"net/http"
	"net/netip"
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

func (s *server) devicesPage(w http.ResponseWriter, r *http.Request, p *page) error {
	list, err := s.Devices.Devices(r.Context())
	if err != nil {
		return err
	}
	counts, err := s.Sessions.Counts(r.Context())
	if err != nil {
		return err
	}
	var loads []deviceLoad
	for _, d := range list {
		loads = append(loads, deviceLoad{d, counts[d.ID]})
	}
	return show(w, r, http.StatusOK, devicesList(p, loads))
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
	return s.saved(w, r, p, err, "/devices")
}

func (s *server) devicePage(w http.ResponseWriter, r *http.Request, p *page) error {
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
	return s.saved(w, r, p, err, "/devices")
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
