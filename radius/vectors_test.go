package radius

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	layeh "layeh.com/radius"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"enlace/contracts"
	"enlace/nas"
)

// vector is a datagram of testdata with what becomes of it. The files say how they are written.
type vector struct {
	name, secret, password, want string
	port                         port
	datagram                     []byte
}

func vectors(t testing.TB) (all []vector) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		v := vector{secret: doorSecret}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			word, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
			switch word {
			case "", "#":
			case "secret":
				v.secret = rest
			case "password":
				v.password = rest
			case "name":
				v.name = filepath.Base(file) + ": " + rest
			case "auth", "acct":
				v.datagram = unhex(t, rest)
				v.port = portAuth
				if word == "acct" {
					v.port = portAcct
				}
			case "pad":
				v.datagram = append(v.datagram, make([]byte, len(unhex(t, rest)))...)
			case "want":
				v.want = rest
				all = append(all, v)
				v = vector{secret: doorSecret}
			default:
				t.Fatalf("%s: what is %q?", file, word)
			}
		}
	}
	return all
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			c := doorConfig()
			dev := doorDevice()
			dev.Secret = []byte(v.secret)
			c.Devices.Set([]nas.Device{dev})
			c.Sink = &slowSink{answerAt: 4}
			w := newHandler(t, c)
			w.port = v.port
			if view, err := ParseView(v.datagram); err == nil && v.password != "" {
				login, _ := view.Get(attrUserName)
				c.Directory.Put(&Subscriber{Access: 1, Contract: 1, Login: string(login), Password: []byte(v.password),
					Windows: []Window{{Until: NoEnd, Plan: 7, Outcome: contracts.OutcomeFull, Status: statusIndex(contracts.Active)}}})
			}
			if got := w.fate(v.datagram); got != v.want {
				t.Errorf("%s, want %s", got, v.want)
			}
		})
	}
}

// fate says what becomes of a datagram: "accept", "reject REASON", "status", "submit" or "drop REASON".
func (w *worker) fate(datagram []byte) string {
	b := w.give(datagram)
	if b != nil {
		switch layeh.Code(b[0]) {
		case layeh.CodeAccessReject:
			return "reject " + w.door.Refusals().Recent("", 1)[0].Reason.String()
		case layeh.CodeAccessAccept:
			if datagram[0] == CodeStatusServer {
				return "status"
			}
			return "accept"
		case layeh.CodeAccountingResponse:
			return "status"
		}
		return "an unknown code"
	}
	if w.door.pending.Load() > 0 {
		return "submit"
	}
	for _, name := range dropNames {
		if testutil.ToFloat64(w.door.metrics.dropped.WithLabelValues("bras1", name)) > 0 ||
			testutil.ToFloat64(w.door.metrics.dropped.WithLabelValues("", name)) > 0 {
			return "drop " + name
		}
	}
	return "nothing"
}

// FuzzDatagram puts any datagram through the whole path, from a device with and without a known secret, on both ports.
// It must not fail, answer what is not authentic where that is checkable, or answer with what cannot be verified.
func FuzzDatagram(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.datagram, v.port == portAcct)
	}
	c := doorConfig()
	c.Sink = &slowSink{answerAt: 3}
	d, err := New(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, acct bool) {
		d.sink = &slowSink{answerAt: 3}
		w := newWorker(d, portAuth)
		if acct {
			w.port = portAcct
		}
		p := &packet{datagram: b, from: doorFrom, now: doorNow}
		if !d.identify(p) {
			t.Fatal("the device is taken for a stranger")
		}
		if out := w.handle(p); out != nil {
			checkedReply(t, b, out)
			again := w.handle(p)
			if b[0] == CodeAccessRequest && string(again) != string(out) {
				t.Fatal("the retransmission got something else")
			}
		}
		if d.identify(&packet{datagram: b, from: netip.MustParseAddrPort("192.0.2.1:1"), now: doorNow}) {
			t.Fatal("a stranger is taken for a device")
		}
	})
}
