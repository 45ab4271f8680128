package admin

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

type sessionJSON struct {
	DeviceID       int64      `json:"device_id"`
	Device         string     `json:"device"`
	SessionID      string     `json:"session_id" doc:"Acct-Session-Id; bytes that are not printable as \\x and hexadecimal"`
	Login          string     `json:"login"`
	ContractID     int64      `json:"contract_id,omitempty"`
	Status         string     `json:"status,omitempty"`
	Applied        string     `json:"applied,omitempty" doc:"Service that the access server applies, where it is known" example:"FULL 500M/250M"`
	Wanted         string     `json:"wanted,omitempty" doc:"Service that the contract says"`
	Settled        bool       `json:"settled" doc:"Whether applied is what is wanted"`
	FramedIP       string     `json:"framed_ip,omitempty"`
	FramedIPv6     []string   `json:"framed_ipv6"`
	CallingStation string     `json:"calling_station,omitempty"`
	StartedAt      time.Time  `json:"started_at"`
	LastSeenAt     time.Time  `json:"last_seen_at"`
	State          string     `json:"state" enum:"online,stale,closed" doc:"stale: its access server no longer reports it; it does not count for limits"`
	StoppedAt      *time.Time `json:"stopped_at,omitempty" doc:"End of a closed session; estimated unless closed_by is stop"`
	ClosedBy       string     `json:"closed_by,omitempty" enum:"stop,accounting-on,accounting-off,replaced,stale,gone" doc:"How the end is known: all but stop are inferred, and undone when the access server goes on reporting the session"`
	TerminateCause string     `json:"terminate_cause,omitempty" doc:"Acct-Terminate-Cause" example:"Lost-Carrier"`
	MultiSessionID string     `json:"multi_session_id,omitempty" doc:"Acct-Multi-Session-Id"`
	InputOctets    uint64     `json:"input_octets" doc:"From the subscriber"`
	OutputOctets   uint64     `json:"output_octets" doc:"To the subscriber"`
}

func sessionJSONOf(v *sessionView) sessionJSON {
	out := sessionJSON{DeviceID: int64(v.Key.Device), Device: v.Device, SessionID: nas.TextOf(v.Key.ID), Login: nas.TextOf(v.Login), Applied: serviceText(v.Applied),
		Settled: v.Settled(), FramedIPv6: []string{}, CallingStation: nas.TextOf(v.CallingStation), StartedAt: v.StartedAt.UTC(), LastSeenAt: v.LastSeen.UTC(),
		InputOctets: v.Input, OutputOctets: v.Output, State: "online", ClosedBy: string(v.ClosedBy), TerminateCause: radius.CauseName(v.Cause),
		MultiSessionID: nas.TextOf(v.Multi)}
	switch {
	case !v.Open():
		out.State, out.StoppedAt = "closed", &v.Stopped
	case v.Stale():
		out.State = "stale"
	}
	if v.Known {
		out.ContractID, out.Status, out.Wanted = int64(v.Standing.Contract), string(v.Standing.Status), serviceText(&v.Standing.Service)
	}
	if v.FramedIP.IsValid() {
		out.FramedIP = v.FramedIP.String()
	}
	for _, p := range v.FramedIPv6 {
		out.FramedIPv6 = append(out.FramedIPv6, p.String())
	}
	return out
}

func (s *server) sessionsJSON(ctx context.Context, list []radius.Session) (listing[sessionJSON], error) {
	out := listOf[sessionJSON](nil)
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return out, err
	}
	names, p := deviceNames(devices), &page{now: s.Now(), zone: s.Zone}
	for _, o := range list {
		v := s.viewSession(p, o, names)
		out.Items = append(out.Items, sessionJSONOf(&v))
	}
	return out, nil
}

type deviceFieldsJSON struct {
	Name                 string `json:"name" minLength:"1" maxLength:"100"`
	Source               string `json:"source,omitempty" doc:"Address or prefix its datagrams come from; absent: it speaks RadSec only. Devices may share one, each with its NAS-Identifier" example:"10.0.0.1"`
	Certificate          string `json:"certificate,omitempty" doc:"Whose certificate makes a RadSec connection this device's: a DNS name, or sha256: and the fingerprint in hexadecimal" example:"bras1.example.net"`
	Secret               string `json:"secret,omitempty" writeOnly:"true" doc:"Shared secret, 6 to 128 bytes; never shown. Absent in an update: kept"`
	KeepOlderSecret      bool   `json:"keep_older_secret,omitempty" writeOnly:"true" doc:"With a new secret: the one it has now is accepted too, until it is dropped"`
	DropOlderSecret      bool   `json:"drop_older_secret,omitempty" writeOnly:"true" doc:"The older secret is accepted no longer"`
	Dialect              string `json:"dialect" doc:"Name of a dialect, such as mikrotik, accel-ppp or standard"`
	CoA                  string `json:"coa,omitempty" doc:"Address and port of CoA- and Disconnect-Requests; absent: it cannot be told" example:"10.0.0.1:3799"`
	NASIdentifier        string `json:"nas_identifier,omitempty"`
	MessageAuthenticator string `json:"message_authenticator,omitempty" enum:"yes,auto,no" default:"auto"`
	LimitProxyState      string `json:"limit_proxy_state,omitempty" enum:"yes,auto,no" default:"auto" doc:"Drop Access-Requests with Proxy-State and no Message-Authenticator"`
	InterimSeconds       int    `json:"interim_seconds,omitempty" minimum:"60" maximum:"86400" default:"300"`
	CommandsPerSecond    int    `json:"commands_per_second,omitempty" minimum:"1" maximum:"10000" default:"50"`
	IPv4Pool             int64  `json:"ipv4_pool,omitempty" minimum:"0" doc:"Pool that lends IPv4 addresses; absent: the access server chooses"`
	DelegatedPool        int64  `json:"delegated_pool,omitempty" minimum:"0" doc:"Pool that lends delegated IPv6 prefixes"`
	SwapOctets           bool   `json:"swap_octets,omitempty" doc:"The device reports download as Acct-Input-Octets"`

	ShortName string         `json:"short_name,omitempty" maxLength:"32" doc:"What it is called in lists"`
	Model     string         `json:"model,omitempty" maxLength:"100" example:"NE8000 M8"`
	POP       string         `json:"pop,omitempty" maxLength:"100" doc:"Point of presence"`
	Zone      string         `json:"zone,omitempty" maxLength:"64" doc:"Time zone it stands in; absent: the provider's" example:"America/Manaus"`
	Place     *placeJSON     `json:"place,omitempty" doc:"Where it stands, WGS 84"`
	API       *deviceAPIJSON `json:"api,omitempty" doc:"The device's own API (RouterOS), for what RADIUS cannot do; absent: none"`
}

type placeJSON struct {
	Latitude  float64 `json:"latitude" minimum:"-90" maximum:"90"`
	Longitude float64 `json:"longitude" minimum:"-180" maximum:"180"`
}

type deviceAPIJSON struct {
	Address     string `json:"address" doc:"Address and port" example:"10.0.0.1:8729"`
	User        string `json:"user" maxLength:"100"`
	Password    string `json:"password,omitempty" writeOnly:"true" maxLength:"200" doc:"Never shown. Absent in an update: kept"`
	Certificate string `json:"certificate" doc:"sha256: and the fingerprint that its certificate must have, or plain: without TLS"`
}

type deviceJSON struct {
	ID                  int64           `json:"id"`
	OlderSecretAccepted bool            `json:"older_secret_accepted"`
	SecretInUse         string          `json:"secret_in_use,omitempty" enum:"present,older,unknown" doc:"While two are accepted: which one it was last seen to use. Commands are signed with that, and with the other when nothing answers"`
	Observed            observationJSON `json:"observed" doc:"What has been seen of its requests"`
	deviceFieldsJSON
}

func (s *server) deviceJSONOf(d *nas.Device) deviceJSON {
	p := &page{lang: contracts.English, now: s.Now(), zone: s.Zone}
	out := deviceJSON{int64(d.ID), d.OlderSecret != nil, "", observationJSONOf(p, d), deviceFieldsJSON{Name: d.Name, Source: sourceText(d.Source),
		Certificate: d.Certificate, Dialect: d.Dialect, NASIdentifier: d.NASIdentifier, MessageAuthenticator: string(d.MessageAuthenticator),
		LimitProxyState: string(d.LimitProxyState), InterimSeconds: d.InterimSeconds, CommandsPerSecond: d.CommandsPerSecond,
		SwapOctets: d.SwapOctets, IPv4Pool: int64(d.IPv4Pool), DelegatedPool: int64(d.DelegatedPool)}}
	if d.CoA.IsValid() {
		out.CoA = d.CoA.String()
	}
	if d.OlderSecret != nil {
		out.SecretInUse = map[radius.SecretProof]string{radius.NewerProof: "present", radius.OlderProof: "older", radius.NoProof: "unknown"}[s.SecretInUse(d.ID)]
	}
	out.ShortName, out.Model, out.POP, out.Zone = d.Site.ShortName, d.Site.Model, d.Site.POP, d.Site.Zone
	if d.Site.Place != nil {
		out.Place = &placeJSON{d.Site.Place.Latitude, d.Site.Place.Longitude}
	}
	if d.API.Known() {
		out.API = &deviceAPIJSON{Address: d.API.Addr.String(), User: d.API.User, Certificate: d.API.Certificate}
	}
	return out
}

// apply puts the fields on a device; an empty secret keeps the one it has.
func (f *deviceFieldsJSON) apply(d *nas.Device, dialects *nas.Dialects) error {
	var err error
	if d.Source, err = parseSource(f.Source); err != nil {
		return err
	}
	if d.CoA, err = parseCoA(f.CoA, dialects.Named(f.Dialect)); err != nil {
		return err
	}
	if d.Certificate, err = nas.CertificateIdentity(f.Certificate); err != nil {
		return err
	}
	d.Name, d.Dialect, d.NASIdentifier, d.LimitProxyState = f.Name, f.Dialect, f.NASIdentifier, nas.LimitProxyState(f.LimitProxyState)
	d.MessageAuthenticator, d.InterimSeconds, d.CommandsPerSecond = nas.MessageAuthenticator(f.MessageAuthenticator), f.InterimSeconds, f.CommandsPerSecond
	d.SwapOctets, d.IPv4Pool, d.DelegatedPool = f.SwapOctets, nas.PoolID(f.IPv4Pool), nas.PoolID(f.DelegatedPool)
	if f.DropOlderSecret {
		d.OlderSecret = nil
	}
	d.ChangeSecret([]byte(f.Secret), f.KeepOlderSecret)
	d.Site = nas.Site{ShortName: f.ShortName, Model: f.Model, POP: f.POP, Zone: f.Zone}
	if f.Place != nil {
		d.Site.Place = &nas.Coordinates{Latitude: f.Place.Latitude, Longitude: f.Place.Longitude}
	}
	api := f.API
	if api == nil {
		api = &deviceAPIJSON{}
	}
	d.API, err = parseAPI(api.Address, api.User, api.Password, api.Certificate)
	return err
}

func (s *server) networkAPI(a huma.API) {
	type find struct {
		Login    string `query:"login" maxLength:"200"`
		DeviceID int64  `query:"device_id" minimum:"0"`
		Query    string `query:"query" maxLength:"100" doc:"Part of a login, an address or a calling station"`
		After    string `query:"after" maxLength:"600" doc:"Only logins after this one"`
		Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	operation(s, a, "GET", "/sessions", "list-sessions", "Who is online", func(ctx context.Context, in *find) (*body[listing[sessionJSON]], error) {
		open, err := s.Sessions.OpenSessions(ctx, SessionFilter{Login: in.Login, Device: nas.DeviceID(in.DeviceID), Query: bounded(in.Query), AfterLogin: in.After, Limit: in.Limit})
		if err != nil {
			return nil, err
		}
		out, err := s.sessionsJSON(ctx, open)
		if err != nil {
			return nil, err
		}
		if len(open) >= in.Limit {
			out.Next = nas.TextOf(open[len(open)-1].Login)
		}
		return reply(out), nil
	})
	type past struct {
		Login string `query:"login" required:"true" maxLength:"200"`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	operation(s, a, "GET", "/sessions/closed", "list-closed-sessions", "A login's closed sessions, the latest first", func(ctx context.Context, in *past) (*body[listing[sessionJSON]], error) {
		closed, err := s.Sessions.History(ctx, in.Login, in.Limit)
		if err != nil {
			return nil, err
		}
		out, err := s.sessionsJSON(ctx, closed)
		return reply(out), err
	})
	type cut struct {
		Body struct {
			DeviceID  int64  `json:"device_id" minimum:"1"`
			SessionID string `json:"session_id" minLength:"1" maxLength:"600" doc:"As listed"`
			Reason    string `json:"reason,omitempty" maxLength:"400"`
		}
	}
	operation(s, a, "POST", "/sessions/disconnect", "disconnect", "Tell the access server to end a session", func(ctx context.Context, in *cut) (*struct{}, error) {
		key := nas.SessionKey{Device: nas.DeviceID(in.Body.DeviceID), ID: nas.RawOf(in.Body.SessionID)}
		return nil, s.Disconnect(ctx, key, actorOf(ctx), in.Body.Reason)
	})
	operation(s, a, "GET", "/status", "status", "Accesses by status and outcome", func(ctx context.Context, _ *nothing) (*body[statusJSON], error) {
		now := s.Now()
		sessions, err := s.Sessions.Counts(ctx)
		if err != nil {
			return nil, err
		}
		out := statusJSON{At: now.UTC(), Version: s.Version, NoticeChannels: append([]string{}, s.NoticeChannels...), Accesses: []countJSON{}}
		for _, c := range s.Directory.Counts(now) {
			out.Accesses = append(out.Accesses, countJSON{string(c.Status), c.Outcome.String(), c.N})
		}
		for _, n := range sessions {
			out.Sessions += n
		}
		return reply(out), nil
	})
	s.commandsAPI(a)
	s.devicesAPI(a)
	s.routerAPI(a)
	s.conformanceAPI(a)
	s.poolsAPI(a)
	if s.SetClock != nil {
		s.clockAPI(a)
	}
}

type countJSON struct {
	Status   string `json:"status"`
	Outcome  string `json:"outcome"`
	Accesses int    `json:"accesses"`
}

type statusJSON struct {
	At             time.Time   `json:"at"`
	Version        string      `json:"version"`
	Sessions       int         `json:"sessions" doc:"Open"`
	Accesses       []countJSON `json:"accesses"`
	NoticeChannels []string    `json:"notice_channels" doc:"Without any, nobody is restricted"`
}

func (s *server) devicesAPI(a huma.API) {
	type find struct {
		Query   string `query:"query" maxLength:"100" doc:"Part of a name, a model, a POP or an address"`
		POP     string `query:"pop" maxLength:"100"`
		Dialect string `query:"dialect" maxLength:"40"`
	}
	operation(s, a, "GET", "/devices", "list-devices", "Access servers", func(ctx context.Context, in *find) (*body[listing[deviceJSON]], error) {
		found, err := s.Devices.Devices(ctx)
		if err != nil {
			return nil, err
		}
		out := listOf[deviceJSON](nil)
		q := deviceQuery{bounded(in.Query), in.POP, in.Dialect}
		for i := range found {
			if q.has(&found[i]) {
				out.Items = append(out.Items, s.deviceJSONOf(&found[i]))
			}
		}
		return reply(out), nil
	})
	operation(s, a, "POST", "/devices", "create-device", "Record an access server", func(ctx context.Context, in *body[deviceFieldsJSON]) (*created[deviceJSON], error) {
		var d nas.Device
		err := in.Body.apply(&d, s.Dialects)
		if err == nil {
			err = s.Devices.CreateDevice(ctx, actorOf(ctx), s.Now(), &d)
		}
		if err == nil { // observed from now on
			d, err = s.Devices.Device(ctx, d.ID)
		}
		if err != nil {
			return nil, err
		}
		return recorded(s.deviceJSONOf(&d)), nil
	})
	operation(s, a, "GET", "/devices/{id}", "get-device", "One access server", func(ctx context.Context, in *byID) (*body[deviceJSON], error) {
		d, err := s.Devices.Device(ctx, nas.DeviceID(in.ID))
		if err != nil {
			return nil, err
		}
		return reply(s.deviceJSONOf(&d)), nil
	})
	type update struct {
		ID   int64 `path:"id" minimum:"1"`
		Body deviceFieldsJSON
	}
	operation(s, a, "PUT", "/devices/{id}", "update-device", "Replace an access server's settings", func(ctx context.Context, in *update) (*body[deviceJSON], error) {
		d, err := s.Devices.Device(ctx, nas.DeviceID(in.ID))
		if err == nil {
			err = in.Body.apply(&d, s.Dialects)
		}
		if err == nil {
			err = s.Devices.UpdateDevice(ctx, actorOf(ctx), s.Now(), &d)
		}
		if err == nil { // with another secret it is observed anew
			d, err = s.Devices.Device(ctx, d.ID)
		}
		if err != nil {
			return nil, err
		}
		return reply(s.deviceJSONOf(&d)), nil
	})
	operation(s, a, "POST", "/devices/{id}/observe", "observe-device-anew", "Forget what was seen and learned of an access server", func(ctx context.Context, in *byID) (*struct{}, error) {
		return nil, s.Devices.ObserveAnew(ctx, actorOf(ctx), s.Now(), nas.DeviceID(in.ID))
	})
	operation(s, a, "DELETE", "/devices/{id}", "retire-device", "Retire an access server: its packets are no longer answered", func(ctx context.Context, in *byID) (*struct{}, error) {
		return nil, s.Devices.RetireDevice(ctx, actorOf(ctx), s.Now(), nas.DeviceID(in.ID))
	})
}

type clockJSON struct {
	Now string `json:"now" format:"date-time"`
}

func (s *server) clockAPI(a huma.API) {
	show := func() *body[clockJSON] { return reply(clockJSON{s.Now().UTC().Format(time.RFC3339Nano)}) }
	operation(s, a, "GET", "/clock", "get-clock", "The process's settable clock", func(context.Context, *nothing) (*body[clockJSON], error) { return show(), nil })
	operation(s, a, "PUT", "/clock", "set-clock", "Move the clock forward", func(_ context.Context, in *body[clockJSON]) (*body[clockJSON], error) {
		to, err := time.Parse(time.RFC3339Nano, in.Body.Now)
		if err != nil {
			return nil, contracts.Invalidf("now", "%q is not an instant: write it as 2026-03-10T12:00:00Z", in.Body.Now)
		}
		if err := s.setClock(to.UTC()); err != nil {
			return nil, err
		}
		return show(), nil
	})
}
