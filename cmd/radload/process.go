package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that this one started and that ends with it.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
	err  error         // how it ended; to be read after gone

	mu   sync.Mutex
	tail []string // its latest lines
}

// start runs a program with none of this program's own settings. line is called for every line it prints, to standard
// output or error.
func start(path string, args []string, line func(string)) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), gone: make(chan struct{})}
	// A group of its own: a terminal's ^C is for this program, which then stops the other in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "ENLACE_") && !strings.HasPrefix(setting, "RADLOAD_") {
			p.cmd.Env = append(p.cmd.Env, setting)
		}
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	started := make(chan error)
	go func() {
		// The child is to die with this process; the kernel asks which thread started it, so that thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		write.Close()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.gone)
	}()
	if err := <-started; err != nil {
		read.Close()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	go p.listen(read, line)
	return p, nil
}

func (p *process) listen(from io.ReadCloser, line func(string)) {
	defer from.Close()
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		if p.tail = append(p.tail, lines.Text()); len(p.tail) > 20 {
			p.tail = p.tail[1:]
		}
		p.mu.Unlock()
		line(lines.Text())
	}
}

// died is the error of a process that has ended though it should not have.
func (p *process) died() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("%s has ended (%v); it said last:\n%s", filepath.Base(p.cmd.Path), p.err, strings.Join(p.tail, "\n"))
}

// stop ends the process: kindly, and after half a minute not.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		<-p.gone
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// usage is the processor time that a process has used, and that its descendants have.
type usage struct{ own, others time.Duration }

func (u usage) since(before usage) usage { return usage{u.own - before.own, u.others - before.others} }

// clockTick is the unit of times in /proc/PID/stat: the kernel's USER_HZ, 100 a second on every architecture that Go has.
const clockTick = 10 * time.Millisecond

// usage reads the processor times now.
func (p *process) usage() (usage, error) { return usageOf(p.pid()) }

// usageOf is the processor time of a process, and of its descendants.
func usageOf(root int) (usage, error) {
	own, err := readStat(root)
	if err != nil {
		return usage{}, err
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return usage{}, err
	}
	stats := map[int]stat{}
	for _, path := range all {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if s, err := readStat(pid); err == nil { // one that has just ended is in its parent's sum
			stats[pid] = s
		}
	}
	u := usage{own: own.used}
	for pid, s := range stats {
		for up := s.parent; up > 1; up = stats[up].parent {
			if up == root && pid != root {
				u.others += s.used + s.reaped
				break
			}
		}
	}
	return u, nil
}

type stat struct {
	parent       int
	used, reaped time.Duration // reaped: by children that have ended
}

// readStat reads /proc/PID/stat (proc(5)): after the name in brackets come state, parent, and from the 12th on utime,
// stime, cutime, cstime.
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	text := string(b)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return stat{}, errors.New("/proc/PID/stat is not as it was")
	}
	number := func(i int) time.Duration {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return time.Duration(n)
	}
	return stat{int(number(1)), (number(11) + number(12)) * clockTick, (number(13) + number(14)) * clockTick}, nil
}

// resident is the process's memory now and at its peak, in bytes.
func (p *process) resident() (now, peak int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kilobytes << 10
		case "VmHWM:":
			peak = kilobytes << 10
		}
	}
	return now, peak, nil
}
