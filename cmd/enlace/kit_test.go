package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"enlace/postgres/pgtest"
)

// binary is the real program, built once for all stories.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "enlace-story-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "enlace")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// program is a running enlace serve.
type program struct {
	t         *testing.T
	args      []string
	database  string
	dir       string
	cmd       *exec.Cmd
	log       *logBuffer
	auth      string
	acct      string
	panel     string
	token     string
	exited    chan error
	clockFrom string
}

// logBuffer keeps what the program wrote.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs the program on a database and a data folder of this test's own, with its clock set, and without a limit of
// sessions: many tests have one login on many lines.
func start(t *testing.T, clock string, more ...string) *program {
	t.Helper()
	p := &program{t: t, database: pgtest.URL(t), dir: t.TempDir(), clockFrom: clock}
	p.args = append([]string{"--auth-listen", "127.0.0.1:0", "--acct-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		"--reject-delay", "0s", "--session-limit", "0", "--coa-retry", "300ms,600ms,1200ms", "--notice-log", filepath.Join(p.dir, "notices.jsonl"),
		"--log-format", "json", "--log-level", "debug"}, more...)
	p.up(clock)
	p.token = strings.TrimSpace(p.run("token", "create", "story"))
	return p
}

var servingLine = regexp.MustCompile(`"auth":"\[([0-9.:]+)[^"]*\]","accounting":"\[([0-9.:]+)[^"]*\]","panel":"(http://[0-9.:]+)"`)

// up starts the process and waits until it serves.
func (p *program) up(clock string) {
	p.t.Helper()
	path, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	p.log = &logBuffer{}
	p.cmd = exec.Command(path, append([]string{"serve", "--database-url", p.database, "--data-dir", p.dir, "--clock", clock}, p.args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(p.cmd, p.exited)
	p.t.Cleanup(func() {
		p.kill(syscall.SIGTERM)
		if p.t.Failed() {
			p.t.Logf("the program wrote:\n%s", tail(p.log.String(), 60))
		}
	})
	p.eventually("the program serves", func() error {
		select {
		case err := <-p.exited:
			p.exited <- err
			p.t.Fatalf("the program ended: %v\n%s", err, p.log)
		default:
		}
		m := servingLine.FindStringSubmatch(p.log.String())
		if m == nil {
			return fmt.Errorf("not yet")
		}
		p.auth, p.acct, p.panel = m[1], m[2], m[3]
		return nil
	})
}

// kill ends the process with a signal and waits for its end.
func (p *program) kill(signal syscall.Signal) {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(signal)
	select {
	case <-p.exited:
	case <-time.After(15 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
		p.t.Errorf("the program did not end within 15 s of %s", signal)
	}
	p.cmd = nil
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// run runs one of the program's tools on the same database.
func (p *program) run(args ...string) string {
	p.t.Helper()
	path, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(path, append(args, "--database-url", p.database, "--data-dir", p.dir)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("enlace %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String()
}

// eventually polls until f has no complaint.
func (p *program) eventually(what string, f func() error) {
	p.t.Helper()
	eventually(p.t, what, f)
}

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// object is a JSON object.
type object map[string]any

// api calls the API and wants the status; it returns the body.
func (p *program) api(method, path string, body any, want int) object {
	p.t.Helper()
	status, b := p.call(method, path, body)
	if status != want {
		p.t.Fatalf("%s %s: status %d, want %d\n%s", method, path, status, want, b)
	}
	var o object
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &o); err != nil {
			p.t.Fatalf("%s %s: %v\n%s", method, path, err, b)
		}
	}
	return o
}

// call calls the API with any body, which may be raw bytes.
func (p *program) call(method, path string, body any) (int, []byte) {
	p.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		r = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			p.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, p.panel+path, r)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, b
}

// radclient sends one request with the real client and returns its exit status and what it printed.
func radclient(t *testing.T, server, kind, secret, attributes string) (ok bool, out string) {
	t.Helper()
	cmd := exec.Command("radclient", "-x", "-r", "2", "-t", "2", server, kind, secret)
	cmd.Stdin = strings.NewReader(attributes)
	b, err := cmd.CombinedOutput()
	if _, exit := err.(*exec.ExitError); err != nil && !exit {
		t.Fatalf("running radclient: %v", err)
	}
	return err == nil, string(b)
}

// metric reads one value of /metrics by its full name with labels.
func (p *program) metric(name string) string {
	p.t.Helper()
	_, b := p.call("GET", "/metrics", nil)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
