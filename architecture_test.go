// Package enlace_test holds the rule of who may import whom; docs/architecture.md explains it.
package enlace_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rule is what the files of a folder may import. Of ours: a folder, or "x/*" for its sub-folders too. Others: what is
// not in the standard library, by prefix.
type rule struct {
	ours   []string
	others []string
}

const everything = "*"

var rules = map[string]rule{
	"contracts":           {},
	"contracts/pg":        {ours: []string{"contracts", "postgres"}, others: []string{"github.com/jackc/pgx/v5", "golang.org/x/sync"}},
	"contracts/notices":   {ours: []string{"contracts", "contracts/pg"}, others: []string{"github.com/jackc/pgx/v5", "github.com/rs/zerolog", "github.com/wneessen/go-mail"}},
	"contracts/decisions": {ours: []string{"contracts", "contracts/pg", "billing"}, others: []string{"github.com/goccy/go-yaml"}},
	"billing":             {ours: []string{"contracts"}},
	"billing/pg":          {ours: []string{"billing", "contracts", "contracts/pg", "postgres"}, others: []string{"github.com/jackc/pgx/v5"}},
	"nas":                 {ours: []string{"contracts"}, others: []string{"layeh.com/radius"}},
	"nas/pg":              {ours: []string{"nas", "contracts", "contracts/pg", "postgres"}, others: []string{"github.com/jackc/pgx/v5"}},
	"nas/control": {ours: []string{"nas", "contracts"},
		others: []string{"layeh.com/radius", "github.com/rs/zerolog", "github.com/prometheus/client_golang", "golang.org/x/time"}},
	"nas/routeros": {ours: []string{"nas", "contracts"}, others: []string{"github.com/go-routeros/routeros/v3"}},
	"nas/nastest":  {ours: []string{"nas", "contracts"}, others: []string{"layeh.com/radius"}},
	"radius": {ours: []string{"contracts", "nas", "radius/journal"},
		others: []string{"layeh.com/radius", "github.com/rs/zerolog", "github.com/prometheus/client_golang", "golang.org/x/crypto", "golang.org/x/net", "golang.org/x/sys"}},
	"radius/journal": {others: []string{"github.com/rs/zerolog", "github.com/prometheus/client_golang", "golang.org/x/sys"}},
	"radius/pg":      {ours: []string{"radius", "nas", "contracts", "postgres"}, others: []string{"github.com/jackc/pgx/v5"}},
	"admin": {ours: []string{"contracts", "billing", "nas", "radius"},
		others: []string{"github.com/a-h/templ", "github.com/alexedwards/scs/v2", "github.com/danielgtaylor/huma/v2", "github.com/rs/zerolog",
			"github.com/prometheus/client_golang", "golang.org/x/crypto", "golang.org/x/sync", "golang.org/x/time"}},
	"admin/pg":        {ours: []string{"admin", "contracts", "postgres"}, others: []string{"github.com/jackc/pgx/v5"}},
	"postgres":        {others: []string{"github.com/jackc/pgx/v5", "github.com/pressly/goose/v3", "github.com/rs/zerolog", "golang.org/x/sys"}},
	"postgres/pgtest": {ours: []string{"postgres"}, others: []string{"github.com/jackc/pgx/v5", "github.com/rs/zerolog", "golang.org/x/sys"}},
	"cmd/enlace":      {ours: []string{everything}, others: []string{everything}},
	"cmd/radload":     {ours: []string{everything}, others: []string{everything}},
}

// pure folders decide; they neither look at the clock nor touch the world.
var pure = []string{"contracts", "billing", "nas"}

var impure = []string{"context", "database/sql", "io/fs", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec", "os/signal", "sync", "sync/atomic", "syscall"}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	walk(t, func(folder string, file *ast.File, fset *token.FileSet, name string) {
		r, known := rules[folder]
		if !known {
			t.Errorf("%s: the folder %s has no rule: add it to the table and to docs/architecture.md", name, folder)
			return
		}
		seen[folder] = true
		for _, imp := range file.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if own, ok := strings.CutPrefix(p, "enlace/"); ok {
				if own != folder && !slices.Contains(r.ours, own) && !slices.Contains(r.ours, everything) {
					t.Errorf("%s: %s may not import %s", name, folder, own)
				}
				continue
			}
			if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
				if !slices.ContainsFunc(r.others, func(o string) bool { return o == everything || p == o || strings.HasPrefix(p, o+"/") }) {
					t.Errorf("%s: %s may not import %s", name, folder, p)
				}
				continue
			}
			if slices.Contains(pure, folder) && slices.Contains(impure, p) {
				t.Errorf("%s: %s is pure and may not import %s", name, folder, p)
			}
		}
		if slices.Contains(pure, folder) {
			checkPure(t, name, file)
		}
	})
	for folder := range maps.Keys(rules) {
		if !seen[folder] {
			t.Errorf("the table names %s, which has no Go files", folder)
		}
	}
}

// checkPure finds goroutines and looks at the clock.
func checkPure(t *testing.T, name string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a goroutine in a pure folder", name)
		case *ast.SelectorExpr:
			if pkg, ok := x.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker"}, x.Sel.Name) {
				t.Errorf("%s: time.%s in a pure folder", name, x.Sel.Name)
			}
		}
		return true
	})
}

// walk visits every Go file that is not a test.
func walk(t *testing.T, visit func(folder string, file *ast.File, fset *token.FileSet, name string)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base != "." && (strings.HasPrefix(base, ".") || base == "var" || base == "bin" || base == "testdata" || base == "tools") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			return err
		}
		files++
		visit(path.Dir(filepath.ToSlash(name)), file, fset, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d files were found: the walk is broken", files)
	}
}
