package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"enlace/postgres/pgtest"
)

// TestDemo starts the demonstration as a newcomer does, on its private PostgreSQL, and pastes the three commands that it
// prints.
func TestDemo(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, dir: filepath.Join(pgtest.Dir(t), "var"), log: &logBuffer{}, exited: make(chan error, 1)}
	p.cmd = exec.Command(path, "demo", "--data-dir", p.dir, "--auth-listen", "127.0.0.1:0", "--acct-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--online", "60")
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func(cmd *exec.Cmd) { p.exited <- cmd.Wait() }(p.cmd)
	t.Cleanup(func() {
		p.kill(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the program wrote:\n%s", p.log)
		}
	})
	deadline := time.Now().Add(3 * time.Minute)
	for !strings.Contains(p.log.String(), "Ctrl-C ends everything") {
		select {
		case err := <-p.exited:
			p.exited <- err
			t.Fatalf("the demonstration ended: %v\n%s", err, p.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the demonstration is not up within three minutes")
		}
	}
	said := p.log.String()
	p.panel = regexp.MustCompile(`http://[0-9.:]+`).FindString(said)
	if !regexp.MustCompile(`Sign in as +admin, password [a-z0-9-]{16,}`).MatchString(said) {
		t.Errorf("no password was printed:\n%s", said)
	}
	commands := regexp.MustCompile(`(?m)^  (echo .*)$`).FindAllStringSubmatch(said, -1)
	if len(commands) != 3 {
		t.Fatalf("%d commands were printed, want 3:\n%s", len(commands), said)
	}
	for i, want := range []string{"Access-Accept", "Access-Accept", "Access-Reject"} {
		out, _ := exec.Command("sh", "-c", commands[i][1]).CombinedOutput()
		if !strings.Contains(string(out), "Received "+want) {
			t.Errorf("command %d was not answered with %s:\n%s", i+1, want, out)
		}
	}
	p.eventually("the simulated network has sessions", func() error {
		if n := p.metric(`enlace_sessions_open{device="bras-demo"}`); len(n) < 2 {
			return fmt.Errorf("%q are open", n)
		}
		return nil
	})
	if info, err := os.Stat(filepath.Join(p.dir, "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	// A second one on the same ports says which port is taken, and leaves the first alone.
	out, err := exec.Command(path, "demo", "--data-dir", filepath.Join(t.TempDir(), "other"), "--http-listen", strings.TrimPrefix(p.panel, "http://"),
		"--auth-listen", "127.0.0.1:0", "--acct-listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is taken") {
		t.Errorf("on a taken port the program says %v: %s", err, out)
	}
	if status, _ := p.call("GET", "/healthz", nil); status != 200 {
		t.Errorf("/healthz answers %d", status)
	}
}
