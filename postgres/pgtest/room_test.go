package pgtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// bystander makes the test binary a program that brings up its cluster, says where, and waits.
const bystander = "ENLACE_PGTEST_BYSTANDER"

func TestMain(m *testing.M) {
	if os.Getenv(bystander) == "" {
		os.Exit(m.Run())
	}
	c, err := shared()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	room, _ := room()
	fmt.Println(room.dir, c.PID(), room.pid)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestKilledBinaryLeavesNothing(t *testing.T) {
	for _, keeperToo := range []bool{false, true} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), bystander+"=1")
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var dir string
		var server, keeper int
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		if _, err := fmt.Sscan(line, &dir, &server, &keeper); err != nil {
			t.Fatalf("the bystander said %q: %v", line, err)
		}
		sweep(filepath.Dir(dir))
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("a room in use was swept: %v", err)
		}
		if keeperToo {
			_ = syscall.Kill(keeper, syscall.SIGKILL)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		gone := func() bool {
			if keeperToo {
				sweep(filepath.Dir(dir))
			}
			_, err := os.Stat(dir)
			return os.IsNotExist(err) && syscall.Kill(server, 0) == syscall.ESRCH
		}
		for deadline := time.Now().Add(30 * time.Second); !gone(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("keeper killed: %v: %s or the server %d stays", keeperToo, dir, server)
			}
		}
	}
}
