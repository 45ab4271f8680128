package notices

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/postgres/pgtest"
)

var ctx = context.Background()

// plain keeps secrets readable: nothing here is about them.
type plain struct{}

func (plain) Seal(b []byte) []byte          { return b }
func (plain) Open(b []byte) ([]byte, error) { return b, nil }

var saoPaulo = func() *time.Location {
	z, err := contractspg.Zone("America/Sao_Paulo")
	if err != nil {
		panic(err)
	}
	return z
}()

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, saoPaulo)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// office is a provider whose customers have an invoice due on 2026-03-10: their notices are due on the 11th at 08:00.
type office struct {
	testing.TB
	store *contractspg.Store
	plan  contracts.PlanID
	n     int
}

func open(t testing.TB) *office {
	o := &office{TB: t, store: &contractspg.Store{Pool: pgtest.New(t), Sealer: plain{}}}
	p := contracts.Plan{Name: "Fibra", Price: 10000, Full: contracts.Profile{DownBps: 1e9, UpBps: 1e9}, ReducedPercent: 10}
	o.must(o.store.CreatePlan(ctx, "test", at("2026-01-01 08:00"), &p))
	o.plan = p.ID
	return o
}

func (o *office) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// debtor is a customer with as many overdue invoices as asked for.
func (o *office) debtor(email string, invoices int) contracts.ContractID {
	o.Helper()
	o.n++
	c := contracts.Customer{Name: fmt.Sprintf("José %d", o.n), Email: email}
	o.must(o.store.CreateCustomer(ctx, "test", at("2026-01-01 08:00"), &c))
	k := contracts.Contract{CustomerID: c.ID, PlanID: o.plan, Zone: saoPaulo, AutoBlock: true, DueDay: 10, Timing: contracts.Postpaid,
		Accesses: []contracts.Access{{Login: fmt.Sprintf("user%d@isp", o.n)}}}
	o.must(o.store.CreateContract(ctx, "test", at("2026-01-01 08:00"), &k, []string{"x"}))
	due, err := contracts.ParseDate("2026-03-10")
	o.must(err)
	for i := range invoices {
		f := contracts.Fact{ContractID: k.ID, Kind: contracts.InvoiceIssued, InvoiceID: fmt.Sprintf("F%d-%d", k.ID, i+1), Amount: 123456, Due: due, Actor: "test"}
		o.must(pgx.BeginFunc(ctx, o.store.Pool, func(tx pgx.Tx) error { return contractspg.Append(ctx, tx, at("2026-02-28 06:00"), &f) }))
	}
	return k.ID
}

func (o *office) runner(channels ...Channel) *Runner {
	return &Runner{Store: o.store, Channels: channels, Provider: "Rede Sul", Log: zerolog.Nop()}
}

// notices are the recorded ones of a contract.
func (o *office) notices(id contracts.ContractID) (out []contracts.Fact) {
	o.Helper()
	facts, err := contractspg.Facts(ctx, o.store.Pool, id)
	o.must(err)
	for _, f := range facts {
		if f.Kind == contracts.NoticeSent {
			out = append(out, f)
		}
	}
	return out
}

func (o *office) run(r *Runner, now string, want int) {
	o.Helper()
	if n, err := r.Run(ctx, at(now)); err != nil || n != want {
		o.Fatalf("the run at %s sent %d (%v), want %d", now, n, err, want)
	}
}

// lines of the file of notices.
func lines(t testing.TB, path string) (out []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	return out
}

func logFile(t testing.TB) (*LogFile, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notices.jsonl")
	l, err := NewLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}

func TestEachNoticeOnce(t *testing.T) {
	o := open(t)
	one, two := o.debtor("", 1), o.debtor("a@example.com", 2)
	file, path := logFile(t)
	r := o.runner(file)
	o.run(r, "2026-03-10 12:00", 0)
	o.run(r, "2026-03-11 07:59", 0)
	o.run(r, "2026-03-11 08:00", 3)
	o.run(r, "2026-03-11 08:00", 0)
	o.run(r, "2026-06-11 08:00", 0)
	written := lines(t, path)
	if len(written) != 3 || len(o.notices(one)) != 1 || len(o.notices(two)) != 2 {
		t.Fatalf("%d lines, %d and %d facts", len(written), len(o.notices(one)), len(o.notices(two)))
	}
	f := o.notices(one)[0]
	if f.Channel != "log" || f.Actor != "system" || f.InvoiceID != fmt.Sprintf("F%d-1", one) || !f.At.Equal(at("2026-03-11 08:00")) || f.Proof != path+" at byte 0" {
		t.Errorf("recorded %+v", f)
	}
	content, err := os.ReadFile(path)
	o.must(err)
	for _, f := range o.notices(two) {
		var from int
		if _, err := fmt.Sscanf(strings.TrimPrefix(f.Proof, path), " at byte %d", &from); err != nil || !bytes.Contains(firstLine(content[from:]), []byte(f.InvoiceID)) {
			t.Errorf("the proof %q does not lead to the notice of %s (%v)", f.Proof, f.InvoiceID, err)
		}
	}
	if written[1]["email"] != "a@example.com" || written[0]["subject"] != fmt.Sprintf("Rede Sul: fatura F%d-1 em atraso", one) {
		t.Errorf("written %v", written)
	}
	// What was noticed is what restricts, fifteen days later and not before.
	d, err := o.store.Dossier(ctx, one, at("2026-03-26 09:00"))
	o.must(err)
	life := d.Timeline(contracts.Options{})
	if s := life.Spans.At(at("2026-03-26 08:59")).Status; s != contracts.Overdue {
		t.Errorf("before the day: %s", s)
	}
	if s := life.Spans.At(at("2026-03-26 09:00")).Status; s != contracts.Reduced {
		t.Errorf("on the day: %s", s)
	}
}

func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return line
}

func TestRunnersTakeTurns(t *testing.T) {
	o := open(t)
	for range 20 {
		o.debtor("", 1)
	}
	file, path := logFile(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	sent := 0
	for range 4 {
		wg.Go(func() {
			n, err := o.runner(file).Run(ctx, at("2026-03-11 08:00"))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			sent += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if n := len(lines(t, path)); sent != 20 || n != 20 {
		t.Fatalf("%d sent, %d written, want 20", sent, n)
	}
	o.debtor("", 1)
	o.run(o.runner(file), "2026-03-11 08:00", 1) // nobody holds the lock any more
}

func TestWithoutChannelsNothingIsRecorded(t *testing.T) {
	o := open(t)
	id := o.debtor("a@example.com", 1)
	o.run(o.runner(), "2026-03-20 08:00", 0)
	if n := len(o.notices(id)); n != 0 {
		t.Fatalf("%d notices are recorded that nobody sent", n)
	}
}

// broken delivers nothing, or what it is told to.
type broken struct {
	name string
	err  error
	sent int
}

func (b *broken) Name() string { return b.name }
func (b *broken) Send(context.Context, Notice) (string, error) {
	b.sent++
	return "caf\xe9\x00\r\n" + strings.Repeat("é", 5000), b.err
}

func TestChannelsAreTriedInOrder(t *testing.T) {
	o := open(t)
	id := o.debtor("", 1)
	first := &broken{name: "first", err: errors.New("out of order")}
	file, _ := logFile(t)
	o.run(o.runner(first, file), "2026-03-11 08:00", 1)
	if f := o.notices(id)[0]; f.Channel != "log" || first.sent != 1 {
		t.Fatalf("recorded %+v after %d tries", f, first.sent)
	}
	other := o.debtor("", 1)
	n, err := o.runner(first).Run(ctx, at("2026-03-11 08:00"))
	if n != 0 || err == nil || !strings.Contains(err.Error(), "1 notices could not be sent") || !strings.Contains(err.Error(), "out of order") {
		t.Fatalf("sent %d: %v", n, err)
	}
	if len(o.notices(other)) != 0 {
		t.Fatal("a notice is recorded that nobody took")
	}
	// A proof of any bytes is kept as far as it can be: the notice went out and is not to go out again.
	first.err = nil
	o.run(o.runner(first), "2026-03-11 09:00", 1)
	o.run(o.runner(first), "2026-03-11 09:00", 0)
	if f := o.notices(other)[0]; !strings.HasPrefix(f.Proof, "caf? ") || len(f.Proof) > 1000 {
		t.Fatalf("the proof is %q", f.Proof)
	}
}

func TestARunThatIsStoppedLetsGo(t *testing.T) {
	o := open(t)
	o.debtor("", 1)
	stopped, cancel := context.WithCancel(ctx)
	stopping := &stopper{cancel: cancel}
	if n, err := o.runner(stopping).Run(stopped, at("2026-03-11 08:00")); n != 0 || err == nil {
		t.Fatalf("sent %d (%v)", n, err)
	}
	file, _ := logFile(t)
	deadline := time.Now().Add(30 * time.Second)
	for {
		n, err := o.runner(file).Run(ctx, at("2026-03-11 08:00"))
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the lock of the run that was stopped is still held")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

type stopper struct{ cancel func() }

func (*stopper) Name() string { return "stopper" }
func (s *stopper) Send(ctx context.Context, _ Notice) (string, error) {
	s.cancel()
	return "", ctx.Err()
}

func TestLogFileThatCannotBe(t *testing.T) {
	if _, err := NewLogFile(filepath.Join(t.TempDir(), "absent", "notices.jsonl")); err == nil {
		t.Fatal("a file in an absent folder was opened")
	}
	file, _ := logFile(t)
	file.Close()
	if _, err := file.Send(ctx, Notice{}); err == nil {
		t.Fatal("a closed file took a notice")
	}
}
