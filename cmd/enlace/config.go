package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// Config is every setting of the program. Each may be given as a flag (--auth-listen), in the environment
// (ENLACE_AUTH_LISTEN) or in a YAML file (auth_listen:), in this order of precedence. Unknown keys are refused.
type Config struct {
	DatabaseURL string `yaml:"database_url" env:"ENLACE_DATABASE_URL" help:"PostgreSQL to use, such as postgres://user:password@host:5432/enlace; without it a private one is run under the data folder."`
	DataDir     string `yaml:"data_dir" env:"ENLACE_DATA_DIR" default:"var" help:"Folder for the private database, the journal, the key and the snapshot."`
	BinDir      string `yaml:"bin_dir" env:"ENLACE_BIN_DIR" help:"Folder with PostgreSQL's programs; found by itself where Debian puts them."`
	KeyFile     string `yaml:"key_file" env:"ENLACE_KEY_FILE" help:"File with the key that seals secrets in the database (64 hex digits); default: key in the data folder."`
	Key         string `yaml:"-" env:"ENLACE_KEY" hidden:"" help:"The key itself, instead of a file."`
	JournalDir  string `yaml:"journal_dir" env:"ENLACE_JOURNAL_DIR" help:"Folder of the accounting journal; default: journal in the data folder."`

	AuthListen   []string      `yaml:"auth_listen" env:"ENLACE_AUTH_LISTEN" default:":1812" sep:"," help:"Addresses of RADIUS authentication, UDP."`
	AcctListen   []string      `yaml:"acct_listen" env:"ENLACE_ACCT_LISTEN" default:":1813" sep:"," help:"Addresses of RADIUS accounting, UDP."`
	RadSecListen []string      `yaml:"radsec_listen" name:"radsec-listen" env:"ENLACE_RADSEC_LISTEN" default:":2083" sep:"," help:"Addresses of RADIUS over TLS (RadSec), TCP; not used without radsec_cert."`
	RadSecCert   string        `yaml:"radsec_cert" name:"radsec-cert" env:"ENLACE_RADSEC_CERT" help:"File with RadSec's certificate and its chain, PEM. Read again when it changes."`
	RadSecKey    string        `yaml:"radsec_key" name:"radsec-key" env:"ENLACE_RADSEC_KEY" help:"File with the certificate's key, PEM."`
	RadSecCA     string        `yaml:"radsec_ca" name:"radsec-ca" env:"ENLACE_RADSEC_CA" help:"File with the authorities that access servers' certificates come from, PEM."`
	RadSecIdle   time.Duration `yaml:"radsec_idle" name:"radsec-idle" env:"ENLACE_RADSEC_IDLE" default:"10m" help:"A RadSec connection without a packet for this long is closed."`
	HTTPListen   string        `yaml:"http_listen" env:"ENLACE_HTTP_LISTEN" default:"127.0.0.1:8080" help:"Address of panel, API, /metrics and /healthz."`

	HTTPSOnly bool   `yaml:"https_only" env:"ENLACE_HTTPS_ONLY" help:"The panel is reached through a proxy that speaks HTTPS: its cookie is sent no other way."`
	Zone      string `yaml:"zone" env:"ENLACE_ZONE" default:"America/Sao_Paulo" help:"The provider's time zone, for lists that span contracts."`

	RejectDelay        time.Duration   `yaml:"reject_delay" env:"ENLACE_REJECT_DELAY" default:"1s" help:"How long an Access-Reject for an unknown login or a wrong password waits (10s at most)."`
	MaxStaleness       time.Duration   `yaml:"max_staleness" env:"ENLACE_MAX_STALENESS" default:"0s" help:"With the database away for longer than this, logins get no reply; 0: no bound."`
	SnapshotInterval   time.Duration   `yaml:"snapshot_interval" env:"ENLACE_SNAPSHOT_INTERVAL" default:"1m" help:"How often what answering needs is written, sealed, to the data folder; a start without the database serves from it. 0: never, and none is used."`
	IPoEPassword       string          `yaml:"ipoe_password" name:"ipoe-password" env:"ENLACE_IPOE_PASSWORD" help:"Password that access servers may send for accesses without one; an empty one, User-Name and the MAC address are taken without it."`
	SessionLimit       int             `yaml:"session_limit" env:"ENLACE_SESSION_LIMIT" default:"1" help:"How many sessions an access without a limit of its own may have at once; 0: any number."`
	SessionLimitAction string          `yaml:"session_limit_action" env:"ENLACE_SESSION_LIMIT_ACTION" default:"replace" enum:"replace,reject" help:"What becomes of a login beyond the limit: replace (the oldest session is ended) or reject (after it was asked whether the sessions in its way still exist)."`
	PoolHold           time.Duration   `yaml:"pool_hold" env:"ENLACE_POOL_HOLD" default:"72h" help:"How long an address of a pool stays a subscriber's who is not online (1h at least)."`
	PoolReserveHold    time.Duration   `yaml:"pool_reserve_hold" env:"ENLACE_POOL_RESERVE_HOLD" default:"30m" help:"How long a node whose database is away lends addresses to who has none yet, and how long nobody else lends what a node that died held ready (10m at least)."`
	CoARetry           []time.Duration `yaml:"coa_retry" name:"coa-retry" env:"ENLACE_COA_RETRY" default:"2s,4s,8s" sep:"," help:"How long each attempt of a CoA or Disconnect is waited for; there are as many attempts as values."`
	WaveSessions       int             `yaml:"wave_sessions" env:"ENLACE_WAVE_SESSIONS" default:"200" help:"So many sessions that are to change at once are a mass change, which is shown with its progress."`

	WalledDownBps     uint64 `yaml:"walled_down_bps" env:"ENLACE_WALLED_DOWN_BPS" default:"1000000" help:"Download rate in the walled garden, bit/s."`
	WalledUpBps       uint64 `yaml:"walled_up_bps" env:"ENLACE_WALLED_UP_BPS" default:"1000000" help:"Upload rate in the walled garden, bit/s."`
	WalledAddressList string `yaml:"walled_address_list" env:"ENLACE_WALLED_ADDRESS_LIST" default:"enlace-walled" help:"Firewall address list of MikroTik devices."`
	WalledFilter      string `yaml:"walled_filter" env:"ENLACE_WALLED_FILTER" default:"enlace-walled" help:"Filter of the walled garden: Filter-Id, Huawei user group, Nokia SLA profile, Cisco access list."`
	WalledOpenFilter  string `yaml:"walled_open_filter" env:"ENLACE_WALLED_OPEN_FILTER" default:"enlace-open" help:"Filter that takes the place of the walled garden's when a CoA opens it."`
	WalledService     string `yaml:"walled_service" env:"ENLACE_WALLED_SERVICE" default:"enlace-walled" help:"Service of the walled garden, where devices activate services by name (Juniper, Cisco ISG)."`
	WalledPool        string `yaml:"walled_pool" env:"ENLACE_WALLED_POOL" help:"Framed-Pool of the walled garden, where devices wall by address."`
	WalledPortal      string `yaml:"walled_portal" env:"ENLACE_WALLED_PORTAL" help:"Address that walled subscribers are redirected to."`
	WalledTimeout     uint32 `yaml:"walled_timeout" env:"ENLACE_WALLED_TIMEOUT" default:"3600" help:"Session-Timeout in the walled garden, seconds (60 at least)."`

	DialectsFile string `yaml:"dialects" name:"dialects" env:"ENLACE_DIALECTS" help:"File (YAML) with what is yours in the dialects of access servers, and dialects of your own: docs/vendors/own.md."`

	ConnectionRetention      int  `yaml:"connection_retention" env:"ENLACE_CONNECTION_RETENTION" default:"13" help:"Months that connection records are kept after the connection's end; the law of Brazil wants twelve."`
	ConnectionRetentionShort bool `yaml:"connection_retention_short" env:"ENLACE_CONNECTION_RETENTION_SHORT" help:"Accept a connection_retention of less than twelve months, where the law allows it."`

	Provider  string `yaml:"provider" env:"ENLACE_PROVIDER" default:"Enlace" help:"The provider's name, as subscribers read it."`
	SMTP      string `yaml:"smtp" env:"ENLACE_SMTP" help:"Mail server of overdue notices: smtp://user:password@host:587 (STARTTLS), smtps://user:password@host:465, or smtp+insecure://localhost:25."`
	MailFrom  string `yaml:"mail_from" env:"ENLACE_MAIL_FROM" help:"Sender of overdue notices."`
	NoticeLog string `yaml:"notice_log" env:"ENLACE_NOTICE_LOG" help:"File that overdue notices are appended to, as a channel of its own."`

	Clock     string `yaml:"clock" env:"ENLACE_CLOCK" help:"Instant at which the program's clock starts, such as 2026-03-01T09:00:00-03:00; makes the clock settable. For trials, never for real subscribers."`
	LogLevel  string `yaml:"log_level" env:"ENLACE_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat string `yaml:"log_format" env:"ENLACE_LOG_FORMAT" default:"text" enum:"text,json" help:"text or json."`
}

// garden is the walled garden as the dialects take it.
func (c *Config) garden() nas.Garden {
	return nas.Garden{
		Profile:     contracts.Profile{DownBps: c.WalledDownBps, UpBps: c.WalledUpBps},
		AddressList: c.WalledAddressList, Filter: c.WalledFilter, OpenFilter: c.WalledOpenFilter, Service: c.WalledService, Pool: c.WalledPool,
		RedirectURL: c.WalledPortal, Timeout: c.WalledTimeout,
	}
}

// dialects are those that devices may speak: the built-in ones, and what the operator's file makes of them.
func (c *Config) dialects() (*nas.Dialects, error) {
	own := nas.Own{}
	if c.DialectsFile != "" {
		b, err := os.ReadFile(c.DialectsFile)
		if err != nil {
			return nil, fmt.Errorf("reading the dialects: %w", err)
		}
		if err := decodeYAML(b, &own); err != nil {
			return nil, fmt.Errorf("%s:\n%w", c.DialectsFile, err)
		}
	}
	ds, err := own.Dialects(c.garden())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(c.DialectsFile, "the walled garden's settings"), err)
	}
	return ds, nil
}

// check refuses settings that contradict themselves.
func (c *Config) check() error {
	switch {
	case c.SMTP != "" && c.MailFrom == "":
		return fmt.Errorf("smtp needs mail_from, the sender of the notices")
	case c.ConnectionRetention < 1 || c.ConnectionRetention > 1200:
		return fmt.Errorf("connection_retention is 1 to 1200 months")
	case c.ConnectionRetention < 12 && !c.ConnectionRetentionShort:
		return fmt.Errorf("connection_retention of %d months is less than the twelve that Lei 12.965/2014, article 13, wants in Brazil; "+
			"where another law rules, set connection_retention_short as well", c.ConnectionRetention)
	case c.RejectDelay < 0 || c.RejectDelay > 10*time.Second:
		return fmt.Errorf("reject_delay is between 0 and 10 seconds: access servers give up after that")
	case c.WaveSessions < 1:
		return fmt.Errorf("wave_sessions is 1 at least")
	case c.PoolReserveHold < radius.LeastReserveHold:
		return fmt.Errorf("pool_reserve_hold is %s at least", radius.LeastReserveHold)
	case c.PoolHold < time.Hour:
		return fmt.Errorf("pool_hold is an hour at least")
	case c.SnapshotInterval < 0:
		return fmt.Errorf("snapshot_interval is not negative")
	case c.WalledTimeout < 60:
		return fmt.Errorf("walled_timeout is at least 60 seconds")
	case c.WalledDownBps < 64000 || c.WalledUpBps < 64000:
		return fmt.Errorf("the walled garden's rates are at least 64000 bit/s")
	case len(c.AuthListen) == 0 || len(c.AcctListen) == 0:
		return fmt.Errorf("auth_listen and acct_listen name at least one address each")
	}
	if given := c.RadSecCert + c.RadSecKey + c.RadSecCA; given != "" && (c.RadSecCert == "" || c.RadSecKey == "" || c.RadSecCA == "" || len(c.RadSecListen) == 0) {
		return fmt.Errorf("RadSec needs radsec_cert, radsec_key, radsec_ca and an address in radsec_listen")
	}
	if c.RadSecIdle < 10*time.Second {
		return fmt.Errorf("radsec_idle is at least 10 seconds")
	}
	if _, _, err := net.SplitHostPort(c.HTTPListen); err != nil {
		return fmt.Errorf("http_listen %q is not an address and a port", c.HTTPListen)
	}
	return nil
}

// radsec is the door for RADIUS over TLS; it stays shut where no certificate is configured.
func (c *Config) radsec() radius.RadSec {
	if c.RadSecCert == "" {
		return radius.RadSec{}
	}
	return radius.RadSec{Addrs: c.RadSecListen, CertFile: c.RadSecCert, KeyFile: c.RadSecKey, CAFile: c.RadSecCA, IdleTimeout: c.RadSecIdle}
}

func (c *Config) keyFile() string {
	if c.KeyFile != "" {
		return c.KeyFile
	}
	return filepath.Join(c.DataDir, "key")
}

func (c *Config) clusterDir() string { return filepath.Join(c.DataDir, "postgres") }

func (c *Config) journalDir() string {
	if c.JournalDir != "" {
		return c.JournalDir
	}
	return filepath.Join(c.DataDir, "journal")
}

// logger writes to w in the format and from the level that are set.
func (c *Config) logger(w io.Writer) zerolog.Logger {
	if c.LogFormat == "text" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
	}
	level, err := zerolog.ParseLevel(c.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	zerolog.DurationFieldUnit = time.Millisecond
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// configFile reads a YAML file for kong: strictly, so that a misspelt key is an error that shows its line.
func configFile(r io.Reader) (kong.Resolver, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var strict Config
	if err := decodeYAML(b, &strict); err != nil {
		return nil, fmt.Errorf("the configuration file:\n%w", err)
	}
	values := map[string]any{}
	if err := decodeYAML(b, &values); err != nil {
		return nil, fmt.Errorf("the configuration file:\n%w", err)
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, env := range flag.Envs {
			if _, set := os.LookupEnv(env); set {
				return nil, nil // the environment goes before the file
			}
		}
		v, ok := values[strings.ReplaceAll(flag.Name, "-", "_")]
		if !ok {
			return nil, nil
		}
		if list, ok := v.([]any); ok {
			parts := make([]string, len(list))
			for i, x := range list {
				parts[i] = fmt.Sprint(x)
			}
			return strings.Join(parts, ","), nil
		}
		return fmt.Sprint(v), nil
	}), nil
}
