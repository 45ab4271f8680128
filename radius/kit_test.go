package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
	"enlace/nas"
)

// The provider of the door's tests: one login for every answer.
const doorSecret = "testing123"

var doorNow = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func statusIndex(s contracts.Status) uint8 {
	for i := range contracts.Statuses {
		if contracts.Statuses[i] == s {
			return uint8(i)
		}
	}
	panic("no such status: " + s)
}

func doorDirectory() *Directory {
	d := NewDirectory()
	d.SetPlans(map[contracts.PlanID]PlanProfile{
		7: {Name: "Fibra 500", Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, Reduced: contracts.Profile{DownBps: 50e6, UpBps: 25e6}},
		8: {Name: "Fibra 10G", Full: contracts.Profile{DownBps: 10e9, UpBps: 10e9}, Reduced: contracts.Profile{DownBps: 1e9, UpBps: 1e9}},
	})
	access := contracts.AccessID(100)
	put := func(login string, windows ...Window) {
		access++
		d.Put(&Subscriber{Access: access, Contract: contracts.ContractID(access) * 10, Login: login,
			Password: []byte("secret-" + login), Windows: windows})
	}
	one := func(s contracts.Status, o contracts.Outcome) Window {
		return Window{Until: NoEnd, Plan: 7, Outcome: o, Status: statusIndex(s)}
	}
	put("ana@isp", one(contracts.Active, contracts.OutcomeFull))
	put("rui", one(contracts.Reduced, contracts.OutcomeReduced))
	put("eva", one(contracts.BlockedAuto, contracts.OutcomeWalled))
	put("max", one(contracts.BlockedManual, contracts.OutcomeReject))
	put("pia", one(contracts.Pending, contracts.OutcomeReject))
	put("ted", one(contracts.Terminated, contracts.OutcomeReject))
	put("ivo", Window{Until: doorNow.Unix() + 3600, Plan: 7, Outcome: contracts.OutcomeFull, Status: statusIndex(contracts.Overdue)},
		one(contracts.BlockedAuto, contracts.OutcomeWalled))
	put("zoe", Window{Until: NoEnd, Plan: 8, Outcome: contracts.OutcomeFull, Status: statusIndex(contracts.Active)})
	put("noa", Window{Until: NoEnd, Plan: 99, Outcome: contracts.OutcomeFull, Status: statusIndex(contracts.Active)})
	off := one(contracts.Active, contracts.OutcomeFull)
	off.Disabled = true
	put("lia", off)
	d.Put(&Subscriber{Access: 200, Contract: 2000, Login: "nil", Windows: []Window{one(contracts.Active, contracts.OutcomeFull)}})
	d.SetFresh(doorNow)
	return d
}

func doorDevice() nas.Device {
	return nas.Device{ID: 1, Name: "bras1", Source: netip.MustParsePrefix("127.0.0.1/32"), Secret: []byte(doorSecret),
		Dialect: "mikrotik", CoA: netip.MustParseAddrPort("127.0.0.1:3799"), MessageAuthenticator: nas.OptionalMA,
		InterimSeconds: 600, CommandsPerSecond: 50}
}

func doorConfig() Config {
	return Config{
		Devices: NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), []nas.Device{doorDevice()}), Directory: doorDirectory(), Garden: nas.DefaultGarden(),
		Now: func() time.Time { return doorNow }, Log: zerolog.Nop(), Metrics: prometheus.NewRegistry(),
	}
}

// newHandler is a worker without a socket.
func newHandler(t testing.TB, c Config) *worker {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return newWorker(d, portAuth)
}

var doorFrom = netip.MustParseAddrPort("127.0.0.1:40000")

// give hands a datagram to the worker as if it had just come.
func (w *worker) give(datagram []byte) []byte { return w.giveFrom(doorFrom, datagram) }

func (w *worker) giveFrom(from netip.AddrPort, datagram []byte) []byte {
	p := &packet{datagram: datagram, from: from, now: w.door.now(), tick: w.tick()}
	if !w.door.identify(p) {
		return nil
	}
	return w.handleSafely(p)
}

// request encodes an Access-Request with attributes added by the functions.
func request(t testing.TB, add ...func(*layeh.Packet) error) []byte {
	t.Helper()
	p := layeh.New(layeh.CodeAccessRequest, []byte(doorSecret))
	for _, f := range add {
		if err := f(p); err != nil {
			t.Fatal(err)
		}
	}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func user(login string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error { return rfc2865.UserName_AddString(p, login) }
}

func pap(password string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error { return rfc2865.UserPassword_AddString(p, password) }
}

func chap(ident byte, password string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error {
		sum := md5.Sum(append(append([]byte{ident}, password...), p.Authenticator[:]...))
		return rfc2865.CHAPPassword_Add(p, append([]byte{ident}, sum[:]...))
	}
}

func proxyState(s string) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error { return rfc2865.ProxyState_AddString(p, s) }
}

// unsigned leaves room for a Message-Authenticator, which sign fills in.
func unsigned(p *layeh.Packet) error { return rfc2869.MessageAuthenticator_Add(p, make([]byte, 16)) }

// sign computes a Message-Authenticator independently of the code under test.
func sign(b []byte, secret string) []byte {
	at := maOffset(b)
	clear(b[at : at+16])
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write(b)
	copy(b[at:], mac.Sum(nil))
	return b
}

func maOffset(b []byte) int {
	for i := headerLen; i < len(b); i += int(b[i+1]) {
		if b[i] == attrMessageAuthenticator {
			return i + 2
		}
	}
	return -1
}

// reply checks both authenticators of a reply independently of the code under test, and that the Message-Authenticator
// comes first; then it decodes it.
func checkedReply(t testing.TB, request, b []byte) *layeh.Packet {
	t.Helper()
	if b == nil {
		t.Fatal("no reply")
	}
	if !layeh.IsAuthenticResponse(b, request[:int(request[2])<<8|int(request[3])], []byte(doorSecret)) {
		t.Fatalf("response authenticator does not verify: %x", b)
	}
	if b[0] != CodeAccountingResponse {
		if len(b) < 38 || b[20] != attrMessageAuthenticator {
			t.Fatalf("Message-Authenticator is not the first attribute: %x", b)
		}
		plain := append([]byte(nil), b...)
		copy(plain[4:20], request[4:20])
		if !bytes.Equal(sign(plain, doorSecret)[22:38], b[22:38]) {
			t.Fatalf("Message-Authenticator does not verify: %x", b)
		}
	}
	p, err := layeh.Parse(b, []byte(doorSecret))
	if err != nil {
		t.Fatal(err)
	}
	copy(p.Authenticator[:], request[4:20]) // what hides attributes is the request's
	return p
}
