package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
	"enlace/nas"
)

// Routers asks devices that have an API of their own about themselves. Neither changes anything.
type Routers interface {
	Facts(ctx context.Context, d *nas.Device) (nas.DeviceFacts, error)
	// Check compares a device's configuration with what it should be. server is where it reaches this server, the zero
	// value: anywhere; hosts are what walled subscribers reach beside the portal.
	Check(ctx context.Context, d *nas.Device, server netip.Addr, hosts []string) ([]nas.Remark, error)
}

// routerPatience bounds what a device is waited for.
const routerPatience = 25 * time.Second

// routerView is what the page of a device's own API shows.
type routerView struct {
	nas.Device
	Form   *form
	Facts  nas.DeviceFacts
	Marks  []nas.Remark
	Failed string // why the device could not be asked, as its API says it
}

// Commands are all that mend what was found, in their order.
func (v *routerView) Commands() string {
	var out []string
	for i := range v.Marks {
		out = append(out, v.Marks[i].Commands...)
	}
	return strings.Join(out, "\n")
}

func (s *server) routerPage(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	v := routerView{Form: &form{values: map[string]string{"server": q.Get("server"), "hosts": q.Get("hosts")}}}
	if v.Device, err = s.Devices.Device(r.Context(), number); err != nil {
		return err
	}
	server, hosts, err := routerQuestion(v.Form.get("server"), v.Form.get("hosts"))
	if v.Form.wrong(err) {
		return show(w, r, http.StatusUnprocessableEntity, routerDetail(p, &v))
	}
	if v.Facts, v.Marks, err = s.askRouter(r.Context(), &v.Device, server, hosts); err != nil {
		v.Failed = err.Error()
	}
	return show(w, r, http.StatusOK, routerDetail(p, &v))
}

// routerQuestion reads what a check is asked with.
func routerQuestion(server, hosts string) (addr netip.Addr, names []string, err error) {
	if server = strings.TrimSpace(server); server != "" {
		if addr, err = netip.ParseAddr(server); err != nil {
			return addr, nil, contracts.Invalidf("server", "%q is not an address", server)
		}
	}
	names = strings.FieldsFunc(hosts, func(r rune) bool { return r == ',' || r == ' ' })
	for _, h := range names {
		if len(names) > 50 || len(h) > 253 || strings.Trim(h, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:_") != "" {
			return addr, nil, contracts.Invalidf("hosts", "%q is neither a name nor an address", bounded(h))
		}
	}
	return addr, names, nil
}

// askRouter has a device say what it is and how it is configured.
func (s *server) askRouter(ctx context.Context, d *nas.Device, server netip.Addr, hosts []string) (f nas.DeviceFacts, marks []nas.Remark, err error) {
	if s.Routers == nil || !d.API.Known() {
		return f, nil, contracts.NotFoundf("%s has no API of its own here", d.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, routerPatience)
	defer cancel()
	if f, err = s.Routers.Facts(ctx, d); err == nil {
		marks, err = s.Routers.Check(ctx, d, server, hosts)
	}
	return f, marks, err
}

var levelLabels = map[nas.Level]string{nas.LevelOK: "In order", nas.LevelAdvice: "Advice", nas.LevelWrong: "Wrong"}

// levelClass is the colour of a remark.
func levelClass(l nas.Level) string {
	switch l {
	case nas.LevelOK:
		return "s-active"
	case nas.LevelAdvice:
		return "s-overdue"
	}
	return "s-blocked"
}

type routerJSON struct {
	Identity      string       `json:"identity"`
	Version       string       `json:"version" example:"7.16.2 (stable)"`
	Board         string       `json:"board"`
	Serial        string       `json:"serial,omitempty"`
	Firmware      string       `json:"firmware,omitempty"`
	UptimeSeconds int64        `json:"uptime_seconds"`
	Sessions      int          `json:"ppp_sessions"`
	Remarks       []remarkJSON `json:"remarks"`
}

type remarkJSON struct {
	Topic    string   `json:"topic" example:"/radius incoming"`
	Level    string   `json:"level" enum:"ok,advice,wrong"`
	Text     string   `json:"text"`
	Commands []string `json:"commands" doc:"To paste into the device's console, to mend it"`
}

func (s *server) routerAPI(a huma.API) {
	type ask struct {
		ID     int64    `path:"id" minimum:"1"`
		Server string   `query:"server" maxLength:"60" doc:"Address by which the device reaches this server; absent: any will do"`
		Hosts  []string `query:"hosts" maxItems:"50" doc:"Names or addresses that walled subscribers must reach beside the portal"`
	}
	operation(s, a, "GET", "/devices/{id}/router", "ask-router", "What an access server says of itself by its own API, and what its configuration lacks", func(ctx context.Context, in *ask) (*body[routerJSON], error) {
		d, err := s.Devices.Device(ctx, nas.DeviceID(in.ID))
		if err != nil {
			return nil, err
		}
		server, hosts, err := routerQuestion(in.Server, strings.Join(in.Hosts, ","))
		if err != nil {
			return nil, err
		}
		f, marks, err := s.askRouter(ctx, &d, server, hosts)
		if err != nil {
			var domain *contracts.Error
			if !errors.As(err, &domain) {
				domain = contracts.Conflictf("router_failed", "%v", err)
			}
			return nil, domain
		}
		out := routerJSON{f.Identity, f.Version, f.Board, f.Serial, f.Firmware, int64(f.Uptime / time.Second), f.Sessions, []remarkJSON{}}
		for i := range marks {
			m := &marks[i]
			out.Remarks = append(out.Remarks, remarkJSON{m.Topic, string(m.Level), m.String(), append([]string{}, m.Commands...)})
		}
		return reply(out), nil
	})
}
