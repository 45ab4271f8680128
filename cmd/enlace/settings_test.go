package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"testing"
)

const settingsPage = "../../docs/configuration.md"

// settingRow is the row of docs/configuration.md for a setting: key, name in the environment, default, meaning.
func settingRow(f reflect.StructField) string {
	key := f.Tag.Get("yaml")
	if key == "-" {
		key = "none"
	} else {
		key = "`" + key + "`"
	}
	value := f.Tag.Get("default")
	if value == "" && f.Type.Kind() == reflect.Bool {
		value = "false"
	}
	if value != "" {
		value = "`" + value + "`"
	}
	return fmt.Sprintf("| %s | `%s` | %s | %s |", key, f.Tag.Get("env"), value, f.Tag.Get("help"))
}

// The page has each setting once, as the struct has it, and none that is not one.
func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // by the name in the environment
	for _, m := range regexp.MustCompile("(?m)^\\|[^|]*\\| `(ENLACE_[A-Z0-9_]+)` \\|.*$").FindAllStringSubmatch(string(text), -1) {
		if rows[m[1]] != "" {
			t.Errorf("%s: %s has two rows", settingsPage, m[1])
		}
		rows[m[1]] = m[0]
	}
	fields := reflect.TypeFor[Config]()
	for i := range fields.NumField() {
		f := fields.Field(i)
		if want := settingRow(f); rows[f.Tag.Get("env")] != want {
			t.Errorf("%s does not say what the program does of %s. The row is:\n%s", settingsPage, f.Name, want)
		}
		delete(rows, f.Tag.Get("env"))
	}
	for _, row := range rows {
		t.Errorf("%s: there is no such setting: %s", settingsPage, row)
	}
}

// The examples of the documentation are files that the program takes.
func TestDocumentedConfiguration(t *testing.T) {
	text, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatalf("%s has no example", settingsPage)
	}
	for _, example := range examples {
		c, err := parseConfig(t, string(example[1]))
		if err == nil {
			err = c.check()
		}
		if err != nil {
			t.Errorf("%v\n%s", err, example[1])
		}
	}
}
