package main

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parseConfig is what the program makes of a command line, with a configuration file of the given text.
func parseConfig(t *testing.T, file string, args ...string) (*Config, error) {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Name("enlace"), kong.Writers(io.Discard, io.Discard), kong.Vars{"version": version},
		kong.Configuration(configFile), kong.Exit(func(int) { t.Fatal("the parser wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	if file != "" {
		path := filepath.Join(t.TempDir(), "enlace.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return &c.Config, err
}

func TestConfigPrecedence(t *testing.T) {
	file := "provider: from file\ndata_dir: from file\nzone: from file\n"
	t.Setenv("ENLACE_PROVIDER", "from environment")
	t.Setenv("ENLACE_DATA_DIR", "from environment")
	c, err := parseConfig(t, file, "--provider", "from flag")
	if err != nil {
		t.Fatal(err)
	}
	if c.Provider != "from flag" || c.DataDir != "from environment" || c.Zone != "from file" || c.MailFrom != "" || c.HTTPListen != "127.0.0.1:8080" {
		t.Fatalf("%+v", c)
	}
	if c.keyFile() != "from environment/key" || c.journalDir() != "from environment/journal" {
		t.Errorf("the key is in %s, the journal in %s", c.keyFile(), c.journalDir())
	}
	path := filepath.Join(t.TempDir(), "env.yaml")
	if err := os.WriteFile(path, []byte("mail_from: a@example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ENLACE_CONFIG", path)
	if c, err = parseConfig(t, ""); err != nil || c.MailFrom != "a@example.com" {
		t.Fatalf("the file named in the environment: %+v (%v)", c, err)
	}
}

// samples has a value that is not the default for a setting of each type, as the file has it and as it is understood.
func samples(f reflect.StructField) (file string, want any) {
	switch f.Name {
	case "LogLevel":
		return "debug", "debug"
	case "LogFormat":
		return "json", "json"
	case "SessionLimitAction":
		return "reject", "reject"
	}
	switch f.Type {
	case reflect.TypeFor[string]():
		return `"other value"`, "other value"
	case reflect.TypeFor[bool]():
		return "true", true
	case reflect.TypeFor[[]string]():
		return `["127.0.0.1:1", "127.0.0.1:2"]`, []string{"127.0.0.1:1", "127.0.0.1:2"}
	case reflect.TypeFor[time.Duration]():
		return "77s", 77 * time.Second
	case reflect.TypeFor[[]time.Duration]():
		return "[1s, 3s]", []time.Duration{time.Second, 3 * time.Second}
	case reflect.TypeFor[int]():
		return "77", 77
	case reflect.TypeFor[uint64]():
		return "777777", uint64(777777)
	case reflect.TypeFor[uint32]():
		return "777", uint32(777)
	}
	return "", nil
}

// Every setting can be given in each of the three ways, under the names that it is documented with.
func TestEverySettingInEveryWay(t *testing.T) {
	fields := reflect.TypeFor[Config]()
	for i := range fields.NumField() {
		f := fields.Field(i)
		key := f.Tag.Get("yaml")
		text, want := samples(f)
		if want == nil {
			t.Errorf("%s has a type without a sample", f.Name)
			continue
		}
		bare := strings.NewReplacer(`"`, "", "[", "", "]", "", ", ", ",").Replace(text)
		is := func(how string, c *Config, err error) {
			t.Helper()
			if err != nil {
				t.Errorf("%s %s: %v", f.Name, how, err)
				return
			}
			if got := reflect.ValueOf(*c).Field(i).Interface(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s is %v, want %v", f.Name, how, got, want)
			}
		}
		if key != "-" {
			c, err := parseConfig(t, key+": "+text+"\n")
			is("from the file", c, err)
			flag := "--" + strings.ReplaceAll(key, "_", "-")
			if f.Type.Kind() == reflect.Bool {
				c, err = parseConfig(t, "", flag)
			} else {
				c, err = parseConfig(t, "", flag, bare)
			}
			is("as a flag", c, err)
			if env := "ENLACE_" + strings.ToUpper(key); env != f.Tag.Get("env") {
				t.Errorf("%s is %s in the environment and %s in the file", f.Name, f.Tag.Get("env"), key)
			}
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Setenv(f.Tag.Get("env"), bare)
			c, err := parseConfig(t, "")
			is("from the environment", c, err)
		})
	}
}

func TestConfigThatCannotBe(t *testing.T) {
	for _, test := range []struct{ file, want string }{
		{"provider: a\nprovidr: b\n", "[2:1] unknown field \"providr\""},
		{"key: 00\n", "unknown field \"key\""},
		{"provider: [\n", "[1:11]"},
		{"walled_timeout: soon\n", "[1:17]"},
		{"reject_delay: 5\n", "RejectDelay"},
		{"log_level: loud\n", "--log-level"},
	} {
		if _, err := parseConfig(t, test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.file, err, test.want)
		}
	}
	if _, err := parseConfig(t, "\n"); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := parseConfig(t, "# nothing is set\n"); err != nil {
		t.Errorf("a file of comments: %v", err)
	}
	for _, args := range [][]string{{"--reject-delay", "soon"}, {"--walled-timeout", "-1"}, {"--log-format", "xml"}, {"--no-such-flag"}, {"--config", "absent.yaml"}} {
		if _, err := parseConfig(t, "", args...); err == nil || !strings.Contains(err.Error(), strings.TrimLeft(args[len(args)-1], "-")) {
			t.Errorf("%v: %v", args, err)
		}
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--smtp", "smtp://u:hunter2@h"}, "mail_from"},
		{[]string{"--radsec-cert", "c", "--radsec-key", "k"}, "radsec_ca"},
		{[]string{"--radsec-ca", "c"}, "radsec_cert"},
		{[]string{"--radsec-idle", "1s"}, "radsec_idle"},
		{[]string{"--reject-delay", "11s"}, "reject_delay"},
		{[]string{"--reject-delay=-1s"}, "reject_delay"},
		{[]string{"--walled-timeout", "59"}, "walled_timeout"},
		{[]string{"--walled-up-bps", "63999"}, "64000"},
		{[]string{"--http-listen", "8080"}, "http_listen"},
	} {
		c, err := parseConfig(t, "", test.args...)
		if err != nil {
			t.Errorf("%v: %v", test.args, err)
			continue
		}
		if err := c.check(); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v, want %s", test.args, err, test.want)
		}
	}
	if c, err := parseConfig(t, ""); err != nil || c.check() != nil {
		t.Errorf("the defaults: %v, %v", err, c.check())
	}
}

func TestProgramSaysHowToUseIt(t *testing.T) {
	if code, out, _ := command(t, "--version"); code != 0 || strings.TrimSpace(out) != version {
		t.Errorf("--version: exit %d, %q", code, out)
	}
	code, out, _ := command(t, "--help")
	for _, name := range []string{"serve", "demo", "explain", "migrate", "seed", "token", "staff", "simulate"} {
		if code != 0 || !strings.Contains(out, name) {
			t.Errorf("--help: exit %d, and no word of %s", code, name)
		}
	}
	if code, _, errOut := command(t, "fly"); code != 2 || !strings.Contains(errOut, "fly") {
		t.Errorf("an unknown command: exit %d, %s", code, errOut)
	}
}

// A flag of a command that has the name of a setting would take the setting's place, or lose to it, without a word.
func TestFlagsHaveOneMeaning(t *testing.T) {
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": version})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *kong.Node, above map[string]bool)
	walk = func(n *kong.Node, above map[string]bool) {
		known := maps.Clone(above)
		for _, f := range n.Flags {
			if known[f.Name] {
				t.Errorf("%s: --%s has another meaning above", n.FullPath(), f.Name)
			}
			known[f.Name] = true
		}
		for _, child := range n.Children {
			walk(child, known)
		}
	}
	walk(parser.Model.Node, map[string]bool{})
}

func TestLogs(t *testing.T) {
	var b bytes.Buffer
	log := (&Config{LogFormat: "json", LogLevel: "warn"}).logger(&b)
	log.Info().Msg("quiet")
	log.Warn().Msg("loud")
	if got := b.String(); strings.Contains(got, "quiet") || !strings.Contains(got, `"message":"loud"`) {
		t.Error(got)
	}
	b.Reset()
	log = (&Config{LogFormat: "text", LogLevel: "debug"}).logger(&b)
	log.Debug().Str("key", "value").Msg("said")
	if got := b.String(); !strings.Contains(got, "DBG said key=value") {
		t.Errorf("%q", got)
	}
}
