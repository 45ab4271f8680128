package routeros

import (
	"context"
	"net"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/nastest"
)

const (
	apiUser     = "enlace"
	apiPassword = "s3cr3t & long"
)

// world is a router with sessions, a RADIUS server of its own and its API.
type world struct {
	*testing.T
	nas    *nastest.NAS
	api    *nastest.RouterOS
	device nas.Device
	stops  chan string // Acct-Session-Ids of Stops
}

func newWorld(t *testing.T, plain bool, q nastest.RouterOSQuirks) *world {
	t.Helper()
	w := &world{T: t, stops: make(chan string, 100)}
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go w.serve(server)
	w.nas, err = nastest.New(nastest.Config{Dialect: "mikrotik", AuthAddr: server.LocalAddr().String(), AcctAddr: server.LocalAddr().String(),
		Secret: []byte("secret"), Interim: -1, NASIdentifier: "bras-1", Quirks: nastest.Quirks{AcceptUnsigned: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.nas.Close)
	cfg := nastest.RouterOSConfig{User: apiUser, Password: apiPassword, Quirks: q}
	if !plain {
		authority, err := nastest.NewAuthority("routers")
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Certificate, err = authority.Issue("bras-1", nil, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if w.api, err = w.nas.ServeRouterOS(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.Close)
	w.device = nas.Device{ID: 1, Name: "bras-1", API: nas.API{Addr: w.api.Addr(), User: apiUser, Password: []byte(apiPassword), Certificate: w.api.Fingerprint()}}
	if plain {
		w.device.API.Certificate = nas.PlainAPI
	}
	return w
}

// serve accepts every login with 10M up and 50M down, and every record.
func (w *world) serve(server *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := server.ReadFromUDP(buf)
		if err != nil {
			return
		}
		p, err := radius.Parse(buf[:n], []byte("secret"))
		if err != nil {
			continue
		}
		reply := p.Response(radius.CodeAccountingResponse)
		if p.Code == radius.CodeAccessRequest {
			reply = p.Response(radius.CodeAccessAccept)
			vendor, _ := radius.NewVendorSpecific(14988, append([]byte{8, 9}, "10M/50M"...))
			reply.Add(rfc2865.VendorSpecific_Type, vendor)
		} else if rfc2866.AcctStatusType_Get(p) == rfc2866.AcctStatusType_Value_Stop {
			w.stops <- rfc2866.AcctSessionID_GetString(p)
		}
		if out, err := reply.Encode(); err == nil {
			_, _ = server.WriteToUDP(out, from)
		}
	}
}

// login begins a session and says what a command names it by.
func (w *world) login(name string) (*nastest.Session, nas.Session) {
	w.Helper()
	s, err := w.nas.Login(context.Background(), name, "password", nastest.PAP)
	if err != nil {
		w.Fatal(err)
	}
	full := nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 50e6, UpBps: 10e6}}
	return s, nas.Session{Key: nas.SessionKey{Device: 1, ID: s.ID()}, Login: name, FramedIP: s.IP(), Applied: full.Digest()}
}

func (w *world) client() *Client {
	c := New(Config{Timeout: time.Second, Listing: time.Second, Confirm: time.Second})
	w.Cleanup(c.Close)
	return c
}

// stopped waits for the Stop of a session.
func (w *world) stopped(id string) {
	w.Helper()
	for {
		select {
		case got := <-w.stops:
			if got == id {
				return
			}
		case <-time.After(10 * time.Second):
			w.Fatalf("no Stop of %s came", id)
		}
	}
}

func service(outcome contracts.Outcome, down, up uint64) nas.Service {
	return nas.Service{Outcome: outcome, Profile: contracts.Profile{DownBps: down, UpBps: up}}
}

func kind(err error) contracts.ErrorKind {
	for err != nil {
		if e, ok := err.(*contracts.Error); ok {
			return e.Kind
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return 0
		}
		err = u.Unwrap()
	}
	return 0
}
