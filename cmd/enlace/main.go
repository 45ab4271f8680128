// Command enlace is the whole program: the RADIUS server, the billing, the panel and the tools around them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set at build time.
var version = "dev"

// cli is the command line. Options of the server are documented in Config.
type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run the server."`
	Demo     demoCmd     `cmd:"" help:"Run the server with a demonstration provider and a simulated network."`
	Who      whoCmd      `cmd:"" help:"Say who had an address, and port, at an instant."`
	Explain  explainCmd  `cmd:"" help:"Say what a login may have at an instant, and why."`
	Migrate  migrateCmd  `cmd:"" help:"Bring the database to this program's schema."`
	Seed     seedCmd     `cmd:"" help:"Fill a database with synthetic subscribers, for benchmarks."`
	Token    tokenCmd    `cmd:"" help:"Manage the API's bearer tokens."`
	Staff    staffCmd    `cmd:"" help:"Manage the panel's accounts."`
	Simulate simulateCmd `cmd:"" help:"Run a decision table against the engine; needs no database."`
	NAS      nasCmd      `cmd:"" name:"nas" help:"Probe access servers."`
	RouterOS routerosCmd `cmd:"" name:"routeros" help:"Ask MikroTik routers by their API."`
	Dialects dialectsCmd `cmd:"" help:"Show the dialects of access servers: what they say, and what they change on a live session."`
	Import   importCmd   `cmd:"" help:"Bring in subscribers from elsewhere."`

	Config     Config           `embed:"" group:"Configuration"`
	ConfigFile kong.ConfigFlag  `name:"config" env:"ENLACE_CONFIG" placeholder:"FILE" help:"Configuration file (YAML): the flags' names with _ for -, such as database_url."`
	Version    kong.VersionFlag `help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGXFSZ) // a file that may not grow is the error of a write, as a full disk is
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program with its arguments and outputs; it returns the exit status.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("enlace"),
		kong.Description("RADIUS/AAA server with the subscriber billing inside."),
		kong.Vars{"version": version},
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exit = code; panic(exited{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Configuration(configFile),
		kong.Bind(&c.Config),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(out, (*io.Writer)(nil)),
	)
	if err != nil {
		fmt.Fprintln(errOut, "enlace:", err)
		return 2
	}
	return func() (code int) {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(exited); !ok {
					panic(r)
				}
				code = exit
			}
		}()
		k, err := parser.Parse(args)
		if err != nil {
			fmt.Fprintln(errOut, "enlace:", err)
			return 2
		}
		if err := k.Run(); err != nil {
			if !errors.Is(err, errRowsFailed) {
				fmt.Fprintln(errOut, "enlace:", err)
			}
			return 1
		}
		return 0
	}()
}

// exited unwinds out of kong when it has printed help or the version.
type exited struct{}
