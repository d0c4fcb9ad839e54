package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// said is what separates two texts in the result of messages: no piece of a message contains it.
const said = "\x00"

// messages returns the texts that the programs of this repository can print: string literals of Go code outside tests,
// joined where the code concatenates them, and scripts.
func messages(root string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if slices.Contains(skipped, name) || name == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") {
			return literals(file, &b)
		}
		if path.Ext(name) == ".sh" || strings.Contains(filepath.ToSlash(file), "/deploy/ci/") {
			script, err := os.ReadFile(file)
			b.Write(script)
			b.WriteString(said)
			return err
		}
		return nil
	})
	return b.String(), err
}

func literals(file string, b *strings.Builder) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var write func(expr ast.Expr)
	write = func(expr ast.Expr) {
		switch expr := expr.(type) {
		case *ast.BinaryExpr:
			write(expr.X)
			write(expr.Y)
		case *ast.ParenExpr:
			write(expr.X)
		case *ast.BasicLit:
			if value, err := strconv.Unquote(expr.Value); err == nil && expr.Kind == token.STRING {
				b.WriteString(value)
			}
		default:
			b.WriteString(said)
		}
	}
	ast.Inspect(parsed, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.BinaryExpr:
			if node.Op == token.ADD {
				write(node)
				b.WriteString(said)
			}
		case *ast.BasicLit:
			if node.Kind == token.STRING {
				write(node)
				b.WriteString(said)
			}
		}
		return true
	})
	return nil
}

// placeholder matches what stands in a page for what differs from message to message, and what the code puts between
// the parts of a message by itself.
var placeholder = regexp.MustCompile(
	`…|\.\.\.|\b[A-Z]{2,}(?:_[A-Z]+)*\b|"|: given |, allowed: |not implemented here: `)

// pieces returns the parts of a message between its placeholders: `the key … is lost: FILE` has two. It leaves out
// parts of less than four letters.
func pieces(message string) []string {
	var parts []string
	for _, part := range placeholder.Split(message, -1) {
		part = strings.Trim(part, " :,;.()[]")
		if len(part) > 3 {
			parts = append(parts, part)
		}
	}
	return parts
}
