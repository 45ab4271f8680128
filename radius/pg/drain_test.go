package pg_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/nas"
	"enlace/postgres"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/journal"
	"enlace/radius/pg"
)

const (
	patience = time.Minute
	childEnv = "ENLACE_ACCOUNTING_CHILD"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		answerUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// datagram is an Accounting-Request as an access server sends it.
func datagram(kind rfc2866.AcctStatusType, id, login string, event time.Time, seconds int, octets uint64) []byte {
	p := layeh.New(layeh.CodeAccountingRequest, []byte("secret"))
	_ = rfc2866.AcctStatusType_Add(p, kind)
	_ = rfc2866.AcctSessionID_AddString(p, id)
	_ = rfc2865.UserName_AddString(p, login)
	_ = rfc2869.EventTimestamp_Add(p, event)
	if kind != rfc2866.AcctStatusType_Value_Start {
		_ = rfc2866.AcctSessionTime_Add(p, rfc2866.AcctSessionTime(seconds))
		_ = rfc2866.AcctInputOctets_Add(p, rfc2866.AcctInputOctets(uint32(octets)))
		_ = rfc2869.AcctInputGigawords_Add(p, rfc2869.AcctInputGigawords(octets>>32))
	}
	b, err := p.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

// answers counts replies.
type answers struct {
	wg      sync.WaitGroup
	dropped atomic.Int64
}

func (a *answers) Answer() { a.wg.Done() }
func (a *answers) Drop() {
	a.dropped.Add(1)
	a.wg.Done()
}

var (
	device = &nas.Device{ID: 7, Name: "bras"}
	source = netip.MustParseAddrPort("[::1]:1813")
)

func openJournal(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(journal.Config{Dir: dir, SegmentBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func newAccounting(t *testing.T, j *journal.Journal) (*radius.Accounting, *radius.Sessions) {
	t.Helper()
	sessions := radius.NewSessions()
	a, err := radius.NewAccounting(j, sessions, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a, sessions
}

// drain runs a drain until the test ends and gives a function that waits until the journal is empty.
func drain(t *testing.T, j *journal.Journal, store radius.SessionStore, sessions *radius.Sessions, a *radius.Accounting) (settled func()) {
	t.Helper()
	d, err := radius.NewDrain(j, store, sessions, func() time.Time { return t0 }, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a != nil {
		a.Feed(d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() {
		t.Helper()
		// Readers see a record a moment after its answer: when a later batch is durable, they see those before it.
		for range 2 {
			passed := make(marker)
			if !j.Append(passed, []byte("marker")) {
				t.Fatal("the journal refuses")
			}
			<-passed
		}
		for deadline := time.Now().Add(patience); j.Backlog() > 0; time.Sleep(5 * time.Millisecond) {
			select {
			case err := <-done:
				t.Fatalf("the drain ended: %v", err)
			default:
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes are still not drained", j.Backlog())
			}
		}
	}
}

type marker chan struct{}

func (m marker) Durable([]byte, error) { close(m) }

// submit hands over, trying again while the queue is full.
func submit(a *radius.Accounting, got *answers, datagram []byte) {
	got.wg.Add(1)
	for !a.Submit(device, datagram, source, t0, got) {
		time.Sleep(time.Millisecond)
	}
}

// crowd submits the records of n sessions: Start, Interims and, of every other one, a Stop; a tenth of them twice, and
// in a disorder of some dozens of records.
func crowd(a *radius.Accounting, got *answers, n int) {
	random := rand.New(rand.NewPCG(3, 4))
	var records [][]byte
	for i := range n {
		id, login := fmt.Sprintf("%08x", i), fmt.Sprintf("user%d", i)
		records = append(records, datagram(rfc2866.AcctStatusType_Value_Start, id, login, t0, 0, 0))
		for k := 1; k <= 3; k++ {
			records = append(records, datagram(rfc2866.AcctStatusType_Value_InterimUpdate, id, login,
				t0.Add(time.Duration(k)*time.Second), k, uint64(k)<<32))
		}
		if i%2 == 0 {
			records = append(records, datagram(rfc2866.AcctStatusType_Value_Stop, id, login, t0.Add(5*time.Second), 5, 5<<32))
		}
	}
	for i := range records {
		j := max(0, i-random.IntN(40))
		records[i], records[j] = records[j], records[i]
		if random.IntN(10) == 0 {
			records = append(records, records[i])
		}
	}
	for _, r := range records {
		submit(a, got, r)
	}
}

func check(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	var open, ended, wrong int
	err := pool.QueryRow(context.Background(), `select (select count(*) from session_live), (select count(*) from session_history),
		(select count(*) from session_live where input_octets <> 3::bigint << 32 or session_seconds <> 3 or started_at <> $1)
		+ (select count(*) from session_history where input_octets <> 5::bigint << 32 or session_seconds <> 5 or started_at <> $1
			or closed_by <> 'stop' or stopped_at <> $1 + interval '5 s')`, t0).Scan(&open, &ended, &wrong)
	if err != nil {
		t.Fatal(err)
	}
	if open != n/2 || ended != n-n/2 || wrong != 0 {
		t.Errorf("%d open, %d ended, %d of them wrong; want %d and %d", open, ended, wrong, n/2, n-n/2)
	}
}

func TestEveryAnsweredRecordIsStored(t *testing.T) {
	const n = 3000
	pool := pgtest.New(t)
	j := openJournal(t, t.TempDir())
	a, sessions := newAccounting(t, j)
	settled := drain(t, j, pg.NewStore(pool), sessions, a)
	var got answers
	crowd(a, &got, n)
	got.wg.Wait()
	settled()
	check(t, pool, n)
	if sessions.Count() != n/2 || got.dropped.Load() != 0 {
		t.Errorf("%d open in memory, %d answers dropped", sessions.Count(), got.dropped.Load())
	}
	// All of it again, as after a restart from a cursor that was lost.
	if _, err := pool.Exec(context.Background(), `delete from journal_cursor`); err != nil {
		t.Fatal(err)
	}
	before := dump(t, pool)
	again, _ := newAccounting(t, j)
	if err := again.Recover(context.Background(), pg.NewStore(pool)); err != nil {
		t.Fatal(err)
	}
	crowd(again, &got, n)
	got.wg.Wait()
	settled()
	check(t, pool, n)
	if after := dump(t, pool); after != before {
		t.Error("the same records again have changed what is stored")
	}
}

func TestDatabaseAway(t *testing.T) {
	const n = 1000
	ctx := context.Background()
	dir := pgtest.Dir(t)
	start := func() *postgres.Cluster {
		c, err := postgres.Start(ctx, postgres.ClusterConfig{DataDir: dir, Fast: true, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Stop() })
		return c
	}
	c := start()
	if err := c.EnsureDatabase(ctx, "enlace"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := postgres.Migrate(ctx, c.URL("enlace"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(ctx, c.URL("enlace"), postgres.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	j := openJournal(t, t.TempDir())
	a, sessions := newAccounting(t, j)
	settled := drain(t, j, pg.NewStore(pool), sessions, a)
	var got answers
	half := make(chan struct{})
	go func() {
		crowd(a, &got, n/2)
		close(half)
	}()
	if err := c.Stop(); err != nil { // in the middle of it
		t.Fatal(err)
	}
	<-half
	crowd(a, &got, n) // the first half again, and as many more
	got.wg.Wait()     // all are answered
	if j.Backlog() < 100_000 {
		t.Fatalf("the journal holds %d bytes though the database is away", j.Backlog())
	}
	for deadline := time.Now().Add(patience); sessions.Count() != n/2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) { // they are folded a moment after the answer
			t.Fatalf("%d open in memory", sessions.Count())
		}
	}
	start()
	settled()
	check(t, pool, n)
}

// answerUntilKilled is the child: it submits sessions without a database and writes the id of each answered record.
func answerUntilKilled(dir string) {
	j, err := journal.Open(journal.Config{Dir: dir, SegmentBytes: 100_000})
	if err != nil {
		panic(err)
	}
	a, err := radius.NewAccounting(j, radius.NewSessions(), zerolog.Nop(), nil)
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("%08x", i)
		b := datagram(rfc2866.AcctStatusType_Value_InterimUpdate, id, "user"+id, t0, 3, uint64(i))
		for !a.Submit(device, b, source, t0, say(id)) {
			time.Sleep(time.Millisecond)
		}
	}
}

type say string

func (s say) Answer() { fmt.Println(string(s)) }
func (say) Drop()     {}

func TestKilledBetweenAnswerAndDrain(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answered := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if answered[lines.Text()] = true; len(answered) == 5000 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if len(answered) < 5000 {
		t.Fatalf("the child ended by itself after %d answers", len(answered))
	}

	pool := pgtest.New(t)
	store := pg.NewStore(pool)
	j := openJournal(t, dir)
	a, sessions := newAccounting(t, j)
	if err := a.Recover(context.Background(), store); err != nil {
		t.Fatal(err)
	}
	for id := range answered { // before anything is served
		s, ok := sessions.Get(nas.SessionKey{Device: 7, ID: id})
		var n uint64
		if _, err := fmt.Sscanf(id, "%x", &n); err != nil || !ok || s.Input != n || s.Login != "user"+id {
			t.Fatalf("answered %s, in memory %v %+v, %v", id, ok, s, err)
		}
	}
	drain(t, j, store, sessions, a)()
	stored := live(t, store)
	for id := range answered {
		if s, ok := stored[id]; !ok || s.Seconds != 3 {
			t.Fatalf("answered %s, stored %v %+v", id, ok, s)
		}
	}
	if len(stored) != sessions.Count() {
		t.Errorf("%d stored, %d in memory", len(stored), sessions.Count())
	}

	// What a CoA changed is known after the next restart, stored or not.
	key := nas.SessionKey{Device: 7, ID: "00000001"}
	a.SetApplied(key, 77, t0)
	_ = j.Close()
	j = openJournal(t, dir)
	again, sessions := newAccounting(t, j)
	if err := again.Recover(context.Background(), store); err != nil {
		t.Fatal(err)
	}
	if s, _ := sessions.Get(key); s.Applied != 77 {
		t.Errorf("applied after a restart: %v", s.Applied)
	}
	drain(t, j, store, sessions, a)()
	if s := live(t, store)["00000001"]; s.Applied != 77 {
		t.Errorf("applied as stored: %v", s.Applied)
	}
}

// TestARecordThatTheDatabaseRefuses must not hold the others up.
func TestARecordThatTheDatabaseRefuses(t *testing.T) {
	pool := pgtest.New(t)
	if _, err := pool.Exec(context.Background(), `alter table session_live add check (login <> 'user5')`); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, t.TempDir())
	a, sessions := newAccounting(t, j)
	var got answers
	for i := range 50 {
		submit(a, &got, datagram(rfc2866.AcctStatusType_Value_Start, fmt.Sprint(i), fmt.Sprintf("user%d", i), t0, 0, 0))
	}
	got.wg.Wait()
	drain(t, j, pg.NewStore(pool), sessions, a)()
	if stored := live(t, pg.NewStore(pool)); len(stored) != 49 {
		t.Errorf("%d stored", len(stored))
	}
}

// TestForgottenEnd: a session that memory holds open but storage knows to have ended is settled.
func TestForgottenEnd(t *testing.T) {
	store := pg.NewStore(pgtest.New(t))
	put(t, store, rec(radius.KindStop, "a", 600, 600, 9))
	j := openJournal(t, t.TempDir())
	a, sessions := newAccounting(t, j)
	var got answers
	submit(a, &got, datagram(rfc2866.AcctStatusType_Value_InterimUpdate, "a", "login-a", at(300), 300, 5))
	got.wg.Wait()
	drain(t, j, store, sessions, a)()
	for deadline := time.Now().Add(patience); sessions.Count() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still open in memory")
		}
	}
}
