package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"enlace/billing"
	"enlace/contracts"
)

// keysUsed are the texts that pages ask a translation for: literal arguments of T, and the tables of labels.
func keysUsed(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	literal := map[string]int{"T": 0, "simpleAct": 3, "refuse": 3, "setPause": 4} // which argument is a key
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.Ident:
				name = f.Name
			}
			arg, ok := literal[name]
			if !ok || arg >= len(call.Args) {
				return true
			}
			if lit, ok := call.Args[arg].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				key, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				used[key] = true
			}
			return true
		})
	}
	for _, n := range navigation {
		used[n.label] = true
	}
	for _, c := range slices.Concat(zooms, invoiceStates, fates, methodChoices) {
		used[c.label] = true
	}
	addLabels(used, outcomeLabels)
	addLabels(used, factLabels)
	addLabels(used, reasonLabels)
	addLabels(used, closedLabels)
	addLabels(used, methodLabels)
	addLabels(used, accountLabels)
	addLabels(used, entryLabels)
	addLabels(used, maLabels)
	addLabels(used, proxyStateLabels)
	addLabels(used, markLabels)
	addLabels(used, kindLabels)
	addLabels(used, endLabels)
	addLabels(used, evidenceLabels)
	addLabels(used, levelLabels)
	remarksUsed(t, used)
	const today = contracts.Date(20000)
	for _, i := range []billing.Invoice{{Due: today}, {Principal: 2, Open: 1}, {Principal: 2, Open: 2, Due: today - 1}, {Principal: 2, Open: 2, Due: today}} {
		used[invoiceLabel(&i, today)] = true
	}
	for _, text := range commandReasons {
		used[text] = true
	}
	for _, text := range []string{"%s refused", "%s without answer", "%s not sent", "%s without effect"} { // hourText
		used[text] = true
	}
	used["Cancelled"] = true
	return used
}

// remarksUsed adds what may be said of a router's configuration: the formats that the check hands on.
func remarksUsed(t *testing.T, used map[string]bool) {
	t.Helper()
	found := 0
	for _, name := range []string{"check.go", "check_garden.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../nas/routeros/"+name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "say" {
				return true
			}
			key, err := strconv.Unquote(call.Args[3].(*ast.BasicLit).Value) // anything else has no translation
			if err != nil {
				t.Fatal(err)
			}
			used[key] = true
			found++
			return true
		})
	}
	if found < 30 {
		t.Fatalf("only %d remarks were found: the search for them is broken", found)
	}
}

func addLabels[K comparable](used map[string]bool, labels map[K]string) {
	for _, l := range labels {
		used[l] = true
	}
}

func TestEveryTextIsTranslated(t *testing.T) {
	used := keysUsed(t)
	if len(used) < 100 {
		t.Fatalf("only %d texts were found: the search for them is broken", len(used))
	}
	verbs := regexp.MustCompile(`%[sdq]`)
	for key := range used {
		pt, ok := portuguese[key]
		if !ok {
			t.Errorf("no translation of %q", key)
			continue
		}
		if got, want := verbs.FindAllString(pt, -1), verbs.FindAllString(key, -1); !slices.Equal(got, want) {
			t.Errorf("%q and its translation have different arguments", key)
		}
	}
	for key := range portuguese {
		if !used[key] && !slices.Contains(domainTexts, key) {
			t.Errorf("a translation of %q that nothing uses", key)
		}
	}
	for _, key := range slices.Concat(domainTexts, slices.Collect(maps.Values(conflictTexts))) {
		if _, ok := portuguese[key]; !ok {
			t.Errorf("no translation of %q", key)
		}
	}
}
