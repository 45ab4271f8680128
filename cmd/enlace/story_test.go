package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas/nastest"
)

// story is one subscriber behind one access server, on the running program.
type story struct {
	*program
	nas      *nastest.NAS
	contract string // number of the contract
	device   float64
	ahead    atomic.Int64 // of the machine's clock, where the story's stands
}

const (
	storyLogin    = "maria@isp"
	storyPassword = "s3nha da maria"
	storySecret   = "story-secret"
)

// local is an instant of the story, in São Paulo (UTC-3 throughout 2026).
func local(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05 -07:00", s+" -03:00")
	if err != nil {
		panic(err)
	}
	return t
}

// provide makes the access server, its device, the one radclient is, a plan, a customer and a contract, through the API.
func provide(t *testing.T, p *program, dialect, source string) *story {
	t.Helper()
	s := &story{program: p}
	s.ahead.Store(int64(time.Until(local("2026-01-15 10:00:00"))))
	var err error
	s.nas, err = nastest.New(nastest.Config{Dialect: dialect, AuthAddr: p.auth, AcctAddr: p.acct, Secret: []byte(storySecret),
		LocalAddr: source + ":0", Interim: -1, Timeout: time.Second, NASIdentifier: "bras-1",
		Ahead: func() time.Duration { return time.Duration(s.ahead.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.nas.Close)
	d := p.api("POST", "/api/v1/devices", object{"name": "bras-1", "source": source, "secret": storySecret, "dialect": dialect,
		"coa": s.nas.CoAAddr().String(), "nas_identifier": "bras-1", "message_authenticator": "yes"}, 201)
	s.device = d["id"].(float64)
	p.api("POST", "/api/v1/devices", object{"name": "radclient", "source": "127.0.0.1", "secret": storySecret, "dialect": dialect}, 201)
	plan := p.api("POST", "/api/v1/plans", object{"name": "Fibra 500", "price": "100.00", "full": object{"down_bps": 500_000_000, "up_bps": 250_000_000}, "reduced_percent": 10}, 201)
	customer := p.api("POST", "/api/v1/customers", object{"name": "Maria Souza", "document": "529.982.247-25", "email": "maria@example.com"}, 201)
	contract := p.api("POST", "/api/v1/contracts", object{"customer_id": customer["id"], "plan_id": plan["id"], "due_day": 10,
		"zone": "America/Sao_Paulo", "accesses": []object{{"login": storyLogin, "password": storyPassword}}}, 201)
	s.contract = fmt.Sprint(contract["id"])
	return s
}

// now sets the program's clock to a local instant.
func (s *story) now(at string) {
	s.t.Helper()
	s.ahead.Store(int64(time.Until(local(at))))
	s.api("PUT", "/api/v1/clock", object{"now": local(at).Format(time.RFC3339)}, 200)
}

// explained asks the program's own tool about a local instant.
func (s *story) explained(at string) explained {
	s.t.Helper()
	var e explained
	out := s.run("explain", storyLogin, "--output", "json", "--at", local(at).Format(time.RFC3339))
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return e
}

// expect wants a status, and a sentence in the explanation, at an instant.
func (s *story) expect(at string, status contracts.Status, sentence string) explained {
	s.t.Helper()
	e := s.explained(at)
	if e.Status != status {
		s.t.Fatalf("at %s the contract is %s, want %s: %s %q", at, e.Status, status, e.Headline, e.Details)
	}
	if all := append([]string{e.Headline}, e.Details...); !slices.ContainsFunc(all, func(l string) bool { return strings.Contains(l, sentence) }) {
		s.t.Fatalf("at %s nothing says %q: %q", at, sentence, all)
	}
	return e
}

// status waits until the API shows a status; the clock stands where the story set it.
func (s *story) status(want contracts.Status) {
	s.t.Helper()
	s.eventually("the contract is "+string(want), func() error {
		if got := s.api("GET", "/api/v1/contracts/"+s.contract, nil, 200)["status"]; got != string(want) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// rates waits until the session's access server applies rates, walled or not.
func (s *story) rates(line *nastest.Session, down, up uint64, walled bool) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the session runs at %d/%d, walled %v", down, up, walled), func() error {
		if r := line.Rates(); !line.Online() || r.DownBps != down || r.UpBps != up || line.Walled() != walled {
			return fmt.Errorf("online %v, rates %+v, walled %v", line.Online(), r, line.Walled())
		}
		return nil
	})
}

// agreed waits until the panel's list shows the session applying what the contract says.
func (s *story) agreed(service string) {
	s.t.Helper()
	s.eventually("the session list shows "+service, func() error {
		list := s.api("GET", "/api/v1/sessions?login="+storyLogin, nil, 200)["items"].([]any)
		if len(list) != 1 {
			return fmt.Errorf("%d sessions are listed: %v", len(list), list)
		}
		if o := list[0].(map[string]any); o["applied"] != service || o["wanted"] != service || o["settled"] != true {
			return fmt.Errorf("it shows applied %v, wanted %v, settled %v", o["applied"], o["wanted"], o["settled"])
		}
		return nil
	})
}

// invoices of the contract, oldest first, once there are n.
func (s *story) invoices(n int) []object {
	s.t.Helper()
	var out []object
	s.eventually(fmt.Sprintf("there are %d invoices", n), func() error {
		items := s.api("GET", "/api/v1/invoices?contract_id="+s.contract, nil, 200)["items"].([]any)
		if len(items) != n {
			return fmt.Errorf("there are %d", len(items))
		}
		out = nil
		for _, i := range slices.Backward(items) {
			out = append(out, i.(map[string]any))
		}
		return nil
	})
	return out
}

// noticed waits for the recorded notice of an invoice.
func (s *story) noticed(number any) {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	s.eventually(fmt.Sprintf("a notice of %v is recorded", number), func() error {
		var proof string
		return conn.QueryRow(context.Background(), `select proof from fact where kind = 'notice' and invoice_no = $1 and channel = 'log' and proof <> ''`, number).Scan(&proof)
	})
}

func (p *program) connect() *pgx.Conn {
	p.t.Helper()
	conn, err := pgx.Connect(context.Background(), p.database)
	if err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// TestStory follows one subscriber on every dialect: she logs in, falls behind, is reduced, blocked, released, pays and
// is back.
func TestStory(t *testing.T) {
	for i, c := range []struct {
		dialect, fullRate   string
		reducesBy, blocksBy string
	}{
		{"mikrotik", `Mikrotik-Rate-Limit = "250M/500M"`, "coa", "disconnect"}, // an address list cannot be changed by CoA
		{"accel-ppp", `Filter-Id = "500000/250000"`, "coa", "coa"},
		{"standard", `WISPr-Bandwidth-Max-Down = 500000000`, "coa", "coa"},
	} {
		t.Run(c.dialect, func(t *testing.T) {
			t.Parallel()
			p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339))
			s := provide(t, p, c.dialect, fmt.Sprintf("127.31.0.%d", i+1))
			ctx := t.Context()

			// She logs in, whatever the method, with a real client and with the access server.
			for _, login := range []string{
				`User-Password = "` + storyPassword + `"`,
				`CHAP-Password = "` + storyPassword + `"`,
				`MS-CHAP-Password = "` + storyPassword + `"`, // radclient makes it MS-CHAPv1
			} {
				s.eventually("radclient is accepted with "+login[:8], func() error {
					ok, out := radclient(t, p.auth, "auth", storySecret, `User-Name = "`+storyLogin+`", `+login+`, Message-Authenticator = 0x00`)
					if !ok || !strings.Contains(out, "Access-Accept") || !strings.Contains(out, c.fullRate) {
						return fmt.Errorf("radclient says:\n%s", out)
					}
					return nil
				})
			}
			for _, m := range []nastest.Method{nastest.PAP, nastest.CHAP} {
				other, err := s.nas.Login(ctx, storyLogin, storyPassword, m)
				if err != nil {
					t.Fatalf("%s: %v", m, err)
				}
				if err := other.Stop(ctx, 1); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.nas.Login(ctx, storyLogin, "wrong", nastest.MSCHAPv2); err == nil {
				t.Fatal("a wrong password was accepted")
			}
			line := s.nas.Dial(storyLogin, storyPassword, nastest.MSCHAPv2)
			s.rates(line, 500_000_000, 250_000_000, false)
			first := line.ID()
			s.agreed("FULL 500M/250M")

			// The first invoice: 26 of the 31 days to the due date.
			s.now("2026-01-31 07:00:00")
			f1 := s.invoices(1)[0]
			if f1["principal"] != "83.87" || f1["due"] != "2026-02-10" {
				t.Fatalf("the first invoice is %v", f1)
			}
			s.now("2026-02-10 23:59:00")
			s.status(contracts.Active)
			s.now("2026-02-11 08:30:00")
			s.status(contracts.Overdue)
			s.noticed(f1["number"])
			s.rates(line, 500_000_000, 250_000_000, false)
			s.expect("2026-02-11 08:30:00", contracts.Overdue, "was due on 2026-02-10")

			// Sixteen days overdue: reduced at nine, on the live session.
			s.now("2026-02-26 08:59:00")
			s.status(contracts.Overdue)
			s.rates(line, 500_000_000, 250_000_000, false)
			s.now("2026-02-26 09:00:00")
			s.rates(line, 50_000_000, 25_000_000, false)
			s.agreed("REDUCED 50M/25M")
			if line.ID() != first || line.Logins() != 1 {
				t.Fatalf("the reduction took a new login: session %s after %s, %d logins", line.ID(), first, line.Logins())
			}
			if err := line.Interim(ctx); err != nil { // the evidence that the CoA is waiting for
				t.Fatal(err)
			}
			s.expect("2026-02-26 09:00:00", contracts.Reduced, "16 days overdue")
			s.told("2026-02-26 09:01:00", c.reducesBy, "REDUCED 50M/25M", "interim")

			// The second invoice is issued meanwhile. Thirty days overdue: the wall.
			s.now("2026-03-01 07:00:00")
			f2 := s.invoices(2)[1]
			if f2["principal"] != "100.00" || f2["due"] != "2026-03-10" {
				t.Fatalf("the second invoice is %v", f2)
			}
			s.now("2026-03-11 08:30:00")
			s.noticed(f2["number"])
			s.now("2026-03-12 09:00:00")
			s.rates(line, 1_000_000, 1_000_000, true)
			s.status(contracts.BlockedAuto)
			s.agreed("WALLED 1M/1M")
			s.expect("2026-03-12 09:00:00", contracts.BlockedAuto, "30 days overdue")
			s.told("2026-03-12 09:01:00", c.blocksBy, "WALLED 1M/1M", "")

			// She unblocks herself on her word, once.
			s.now("2026-03-12 20:00:00")
			s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/trust-unblock", object{"reason": "pago amanhã"}, 200)
			s.rates(line, 500_000_000, 250_000_000, false)
			s.expect("2026-03-12 20:05:00", contracts.ReleasedTrust, "pago amanhã")
			again := s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/trust-unblock", object{}, 409)
			if again["code"] != "status_RELEASED_TRUST" {
				t.Fatalf("the second trust unblock was refused with %v", again)
			}
			s.now("2026-03-16 08:59:00") // through Sunday, and until Monday's run
			s.status(contracts.ReleasedTrust)
			s.now("2026-03-16 09:00:00")
			s.rates(line, 1_000_000, 1_000_000, true)
			again = s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/trust-unblock", object{}, 409)
			if again["code"] != "min_interval" {
				t.Fatalf("the second trust unblock was refused with %v", again)
			}
			s.expect("2026-03-16 09:00:00", contracts.BlockedAuto, f1["number"].(string))

			// She pays the older invoice: full speed at once, while the younger one is only overdue.
			s.now("2026-03-16 11:00:00")
			quote := s.api("GET", "/api/v1/invoices/"+f1["number"].(string), nil, 200)["quote"].(map[string]any)
			if quote["fine"] != "1.68" || quote["interest"] != "0.95" || quote["total"] != "86.50" {
				t.Fatalf("34 days late, %v", quote)
			}
			pay := object{"external_id": "E2E-1", "invoice": f1["number"], "amount": quote["total"], "method": "pix"}
			p.api("POST", "/api/v1/payments", pay, 201)
			s.rates(line, 500_000_000, 250_000_000, false)
			s.agreed("FULL 500M/250M")
			s.expect("2026-03-16 11:01:00", contracts.Overdue, "was due on 2026-03-10")
			p.api("POST", "/api/v1/payments", pay, 200) // the same webhook again
			pay["amount"] = "1.00"
			p.api("POST", "/api/v1/payments", pay, 409)

			// The Stop arrives.
			line.AddTraffic(5<<32+7, 1<<33+11)
			if err := line.Leave(ctx, 1); err != nil {
				t.Fatal(err)
			}
			s.stopped(line.ID(), 5<<32+7, 1<<33+11)

			// The past is as it was.
			s.expect("2026-02-01 12:00:00", contracts.Active, "no invoice is overdue")
			s.expect("2026-02-27 12:00:00", contracts.Reduced, "16 days overdue")
			s.expect("2026-03-13 12:00:00", contracts.ReleasedTrust, "pago amanhã")
			s.expect("2026-03-16 10:00:00", contracts.BlockedAuto, f1["number"].(string))
			s.quiet()
		})
	}
}

// told wants the newest command before an instant to be of a method, for a service, with evidence where one is named.
func (s *story) told(by, method, want, evidence string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("a %s for %s is recorded", method, want), func() error {
		commands := s.explained(by).Commands
		i := slices.IndexFunc(commands, func(c explainedCommand) bool { return c.Method == method && c.Want == want && c.Answer == "ack" })
		switch {
		case i < 0:
			return fmt.Errorf("the commands are %+v", commands)
		case evidence != "" && commands[i].Evidence != evidence:
			return fmt.Errorf("its evidence is %q", commands[i].Evidence)
		}
		return nil
	})
}

// stopped wants the session closed, in history once, with at least the octets given.
func (s *story) stopped(id string, in, out int64) {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	s.eventually("the session is in history", func() error {
		var rows, live int
		var gotIn, gotOut int64
		err := conn.QueryRow(context.Background(), `select count(*), coalesce(max(input_octets), 0), coalesce(max(output_octets), 0),
			(select count(*) from session_live where login = $2) from session_history where session_id = $1`, id, storyLogin).Scan(&rows, &gotIn, &gotOut, &live)
		if err != nil || rows != 1 || live != 0 || gotIn < in || gotOut < out {
			return fmt.Errorf("%d rows with %d and %d octets, %d live, %v", rows, gotIn, gotOut, live, err)
		}
		return nil
	})
}

// quiet wants a log without errors, panics or secrets.
func (s *story) quiet() {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `"level":"error"`) || strings.Contains(line, "panic") {
			s.t.Errorf("the log says: %s", line)
		}
		for _, secret := range []string{storyPassword, storySecret, s.token} {
			if strings.Contains(line, secret) {
				s.t.Errorf("the log tells a secret: %s", line)
			}
		}
	}
}
