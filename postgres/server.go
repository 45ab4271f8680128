package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

const superuser = "enlace"

const (
	restartFirst = 100 * time.Millisecond
	restartLimit = 10 * time.Second
)

// supervise starts the server and starts it again when it dies, until Stop. It keeps one thread to itself until then:
// the kernel sends Pdeathsig when the thread that started the child ends, which need not be when the process does.
// It gives the thread back at the end, because a thread that is thrown away may be the one that started another child.
func (c *Cluster) supervise() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.done)
	defer c.lock.Close()
	defer os.Remove(c.socket) // an empty folder by then, unless something else is in it
	if err := c.initialise(); err != nil {
		c.setErr(err)
		return
	}
	began, pause := time.Now(), restartFirst
	for {
		s, err := c.launch()
		if s == nil {
			c.setErr(err)
			return
		}
		go c.watch(s)
		s.wait()
		switch {
		case c.ending():
			c.setErr(nil)
			return
		case !c.everUp() && (!s.contended() || time.Since(began) > contendedLimit):
			c.setErr(fmt.Errorf("PostgreSQL did not start: %s", s.lastWords()))
			return
		case !c.place.initialised():
			c.setErr(fmt.Errorf("PostgreSQL ended and its data directory %s is gone", c.place.data()))
			return
		}
		died := fmt.Errorf("PostgreSQL ended unexpectedly (%v): %s", s.err, s.lastWords())
		c.setErr(died)
		if s.wasReady() {
			pause = restartFirst
		}
		if c.everUp() {
			c.cfg.Log.Error().Err(died).Dur("again_in", pause).Msg("PostgreSQL died; starting it again")
		}
		select {
		case <-c.stop:
			c.setErr(nil)
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, restartLimit)
	}
}

// initialise runs initdb beside the place of the data and moves the finished work there, so that a data directory
// that exists is a whole one. What an interrupted initdb left holds no data and is cleared away.
func (c *Cluster) initialise() error {
	if c.place.initialised() {
		return nil
	}
	unfinished := c.place.data() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("clearing an unfinished initdb: %w", err)
	}
	if err := c.place.acct.makePrivate(unfinished); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	args := []string{
		"-D", unfinished, "--username", superuser, "--auth-local=trust", "--auth-host=reject",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions",
	}
	if c.cfg.Fast {
		args = append(args, "--no-sync")
	} else {
		args = append(args, "--data-checksums")
	}
	cmd := c.command("initdb", args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running initdb: %w", err)
	}
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-c.stop:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		case <-finished:
		}
	}()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("running initdb as %s: %w: %s", c.place.acct.name, err, strings.TrimSpace(output.String()))
	}
	if err := os.Rename(unfinished, c.place.data()); err != nil {
		return fmt.Errorf("finishing the data directory: %w", err)
	}
	c.cfg.Log.Info().Str("data_dir", c.DataDir).Str("user", c.User).Msg("made a new PostgreSQL data directory")
	return nil
}

// command prepares one of the server's programs: as the cluster's user, from a directory that every user may enter,
// and with nothing of our environment (PGDATA, PGPORT, locales, secrets).
func (c *Cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin.dir, program), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + c.bin.dir + ":/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = c.place.acct.attributes()
	return cmd
}

// launch starts the server process; it returns nothing when it cannot be started or Stop came first.
func (c *Cluster) launch() (*server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, nil
	}
	s := &server{cmd: c.command("postgres", c.arguments()...), exited: make(chan struct{}), log: c.cfg.Log}
	s.cmd.Stdout, s.cmd.Stderr = s, s
	// Backends may outlive a killed postmaster by a moment and hold its pipe.
	s.cmd.WaitDelay = time.Second
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting postgres: %w", err)
	}
	if c.server != nil && c.everUp() {
		c.restarts++
	}
	c.server = s
	return s, nil
}

// watch notices when a started server is ready: its own pid file says so, and the pid in it is the child's, not that
// of another server on the same directory.
func (c *Cluster) watch(s *server) {
	for {
		if readyPID(c.place.data()) == s.cmd.Process.Pid {
			break
		}
		select {
		case <-s.exited:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.setReady()
	if !c.everUp() {
		close(c.up)
		return
	}
	c.setErr(nil)
	c.cfg.Log.Info().Int("pid", s.cmd.Process.Pid).Msg("PostgreSQL is back")
}

func (c *Cluster) everUp() bool {
	select {
	case <-c.up:
		return true
	default:
		return false
	}
}

func (c *Cluster) ending() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

func (c *Cluster) setErr(err error) {
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
}

// readyPID reads postmaster.pid: the pid on its first line when its eighth says that the server is ready, else 0.
func readyPID(data string) int {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || strings.TrimSpace(lines[7]) != "ready" {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(lines[0]))
	return pid
}

// server is one process of postgres and what it last said.
type server struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // valid after exited
	log    zerolog.Logger

	mu    sync.Mutex
	ready bool
	part  []byte   // a line not finished yet
	tail  []string // the last lines
}

// Write takes the server's log.
func (s *server) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.part = append(s.part, text...)
	for {
		end := bytes.IndexByte(s.part, '\n')
		if end < 0 {
			break
		}
		s.note(strings.TrimRight(string(s.part[:end]), "\r"))
		s.part = s.part[end+1:]
	}
	return len(text), nil
}

func (s *server) note(line string) {
	if line == "" {
		return
	}
	s.tail = append(s.tail, line)
	if len(s.tail) > 20 {
		s.tail = s.tail[1:]
	}
	event := s.log.Debug()
	if strings.Contains(line, "PANIC:") || strings.Contains(line, "FATAL:") {
		event = s.log.Warn()
	}
	event.Str("from", "postgres").Msg(line)
}

// lastWords are the lines that say why it ended.
func (s *server) lastWords() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := max(0, len(s.tail)-6)
	if from == len(s.tail) {
		return "it said nothing"
	}
	return strings.Join(s.tail[from:], "; ")
}

// contended tells whether it ended because another server, perhaps one about to go, is on the same directory.
func (s *server) contended() bool {
	words := s.lastWords()
	return strings.Contains(words, `"postmaster.pid" already exists`) || strings.Contains(words, "is still in use") ||
		strings.Contains(words, "Is another postmaster")
}

func (s *server) wait() {
	s.err = s.cmd.Wait()
	close(s.exited)
}

func (s *server) gone() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

func (s *server) setReady() {
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
}

func (s *server) wasReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// end asks for a fast shutdown, then for an immediate one, then kills.
func (s *server) end() error {
	for _, step := range []struct {
		signal  os.Signal
		patient time.Duration
	}{{syscall.SIGINT, 30 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		_ = s.cmd.Process.Signal(step.signal)
		select {
		case <-s.exited:
			if step.signal != syscall.SIGINT {
				return fmt.Errorf("PostgreSQL did not shut down in order and was ended by %v; it will recover at the next start", step.signal)
			}
			return nil
		case <-time.After(step.patient):
		}
	}
	return errors.New("PostgreSQL did not end")
}
