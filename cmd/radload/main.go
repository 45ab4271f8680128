// Command radload is a crowd of subscribers for measuring a RADIUS server on the same machine: logins, accounting,
// whole sessions, with every answer counted and its latency taken. It talks to loopback addresses only.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set at build time.
var version = "dev"

type cli struct {
	Auth       authCmd     `cmd:"" help:"Logins: Access-Requests with PAP, CHAP or MS-CHAPv2."`
	Acct       acctCmd     `cmd:"" help:"Accounting: Start, Interim-Update and Stop of every subscriber, a third of each."`
	Sessions   sessionsCmd `cmd:"" help:"Whole sessions: login, Start, Interim-Update, Stop."`
	Echo       echoCmd     `cmd:"" help:"A bare UDP echo under the same load, to compare with."`
	Bench      benchCmd    `cmd:"" help:"Bring enlace up with many subscribers, measure it and print a table."`
	Peers      peersCmd    `cmd:"" help:"Measure enlace and FreeRADIUS, one after the other in turn, and print a table."`
	Mass       massCmd     `cmd:"" help:"Bring enlace up with many open sessions, change their plan, and measure how the network follows."`
	EchoServer echoServer  `cmd:"" hidden:"" help:"The server of echo."`

	Version kong.VersionFlag `help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program with its arguments and outputs; it returns the exit status.
func run(ctx context.Context, args []string, out, errOut io.Writer) (status int) {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("radload"),
		kong.Description("A crowd of subscribers for measuring a RADIUS server on this machine."),
		kong.Vars{"version": version},
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(out, (*io.Writer)(nil)),
	)
	if err != nil {
		fmt.Fprintln(errOut, "radload:", err)
		return 2
	}
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(exited)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(errOut, "radload:", err)
		return 2
	}
	if err := k.Run(); err != nil {
		fmt.Fprintln(errOut, "radload:", err)
		return 1
	}
	return 0
}

// exited unwinds out of kong when it has printed help or the version.
type exited int
