package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exactMath lists what code inside ternary may use of package math: functions whose result is exact or correctly
// rounded, hence the same bits on every machine, and constants. math.Exp and math.Log are assembly on some machines.
func exactMath() []string {
	return []string{
		"Sqrt", "Abs", "Floor", "Ceil", "Trunc", "RoundToEven", "Copysign", "Signbit", "FMA", "Frexp", "Ldexp",
		"Inf", "NaN", "IsNaN", "IsInf", "Float32bits", "Float32frombits", "Float64bits", "Float64frombits",
		"MaxInt8", "MaxInt16", "MaxInt32", "MaxInt64", "MaxInt", "MinInt8", "MinInt16", "MinInt32", "MinInt64",
		"MaxUint8", "MaxUint16", "MaxUint32", "MaxUint64", "MaxFloat32", "MaxFloat64",
		"SmallestNonzeroFloat32", "SmallestNonzeroFloat64", "Pi", "E", "Sqrt2", "Ln2", "Log2E", "Ln10", "Log10E",
	}
}

// inexactMath are the exceptions: folder -> functions.
func inexactMath() map[string][]string {
	return map[string][]string{
		"ternary/spec": {"Exp2"}, // of a constant, in the laws of initial values
	}
}

func TestSource(t *testing.T) {
	top := os.DirFS(root(t))
	for name := range goFiles(t, top) {
		for _, fault := range sourceFaults(name, read(t, top, name)) {
			t.Error(fault)
		}
	}
}

func TestSourceRules(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // part of the one fault, or "" for none
	}{
		{"ternary/f32/a.go", `import "math"; var x = math.Sqrt(2)`, ""},
		{"ternary/f32/a.go", `import "math"; var x = math.Exp(2)`, "math.Exp"},
		{"ternary/f32/a.go", `import m "math"; var x = m.Log(2)`, "math.Log"},
		{"ternary/f32/a.go", `import . "math"; var x = Log(2)`, "dot import"},
		{"ternary/f32/a_test.go", `import "math"; var x = math.Exp(2)`, ""},
		{"ternary/spec/a.go", `import "math"; var x = math.Exp2(2)`, ""},
		{"ternary/f32/a.go", `import "math"; var x = math.Exp2(2)`, "math.Exp2"},
		{"train/a.go", `import "math"; var x = math.Cos(2)`, ""},
		{"train/a.go", `import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		{"train/a.go", `import "fmt"; func f() { fmt.Printf("") }`, "fmt.Printf"},
		{"train/a.go", `import "fmt"; func f(w io.Writer) { fmt.Fprintln(w) }`, ""},
		{"train/a.go", `import "os"; var x = os.Stderr`, "os.Stderr"},
		{"train/a.go", `import "os"; var x = os.Stdout`, "os.Stdout"},
		{"train/a.go", `import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		{"train/a.go", `import "log"; func f() { log.Print() }`, "log"},
		{"train/a.go", `import "log/slog"; func f() { slog.Info("") }`, "log/slog"},
		{"train/a.go", `func f() { println() }`, "println"},
		{"cmd/mmfree/a.go", `import ("fmt"; "os"); func f() { fmt.Fprintln(os.Stderr) }`, ""},
		{"train/a_test.go", `import "fmt"; func f() { fmt.Println() }`, ""},
		{"train/a.go", `func f() { panic("no") }`, "panic"},
		{"train/a.go", `import "fmt"; func f() { panic(fmt.Sprintf("no %d", 1)) }`, "panic"},
		{"train/a.go", `func f(s string) { panic("no " + s) }`, "panic"},
		{"train/a.go", `func f(err error) { panic(err) }`, ""},
		{"train/a.go", "// f panics when x is negative.\nfunc f(x int) { panic(\"no\") }", ""},
		{"train/a_test.go", `func f() { panic("no") }`, ""},
		{"train/a.go", `var Exported = 1`, "Exported"},
		{"train/a.go", `import "errors"; var ErrOurs = errors.New("x")`, ""},
		{"train/a.go", `var hidden = 1; const Fixed = 1; func f() { var Local int; _ = Local }`, ""},
		{"train/a.go", `func init() {}`, "init"},
		{"train/a.go", `type T struct{}; func (T) init() {}`, ""},
	}
	for _, tt := range tests {
		got := sourceFaults(tt.name, []byte("package a\n"+tt.text))
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %s\ngot %q, want a fault with %q", tt.name, tt.text, got, tt.want)
		}
	}
}

// sourceFaults judges one file's text; tests may do what they like.
func sourceFaults(name string, text []byte) []string {
	if strings.HasSuffix(name, "_test.go") {
		return nil
	}
	s := source{name: name, files: token.NewFileSet(), imports: map[string]string{}}
	file, err := parser.ParseFile(s.files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	s.readImports(file)
	for _, decl := range file.Decls {
		s.judge(decl)
	}
	return s.faults
}

// source is one file under judgement.
type source struct {
	name    string
	files   *token.FileSet
	imports map[string]string // name in the file -> path
	faults  []string
}

func (s *source) bad(at token.Pos, format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf("%s: %s", s.files.Position(at), fmt.Sprintf(format, args...)))
}

func (s *source) readImports(file *ast.File) {
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser accepted it
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			s.bad(spec.Pos(), "dot import of %s: a reader cannot tell whose names these are", path)
		}
		if within(path, "log") && !within(s.name, "cmd") {
			s.bad(spec.Pos(), "imports %s: only cmd prints; return an error, or give the caller a hook", path)
		}
		s.imports[name] = path
	}
}

func (s *source) judge(decl ast.Decl) {
	doc := ""
	switch d := decl.(type) {
	case *ast.FuncDecl:
		doc = d.Doc.Text()
		if d.Name.Name == "init" && d.Recv == nil {
			s.bad(d.Pos(), "init has effects that no caller asked for: use a literal table or a constructor")
		}
	case *ast.GenDecl:
		s.judgeVars(d)
	}
	documented := strings.Contains(strings.ToLower(doc), "panics")
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			s.judgeSelector(n)
		case *ast.CallExpr:
			s.judgeCall(n, documented)
		}
		return true
	})
}

// judgeVars refuses exported variables, which any package could assign; error classes are the custom exception.
func (s *source) judgeVars(d *ast.GenDecl) {
	if d.Tok != token.VAR {
		return
	}
	for _, spec := range d.Specs {
		for _, name := range spec.(*ast.ValueSpec).Names {
			if name.IsExported() && !strings.HasPrefix(name.Name, "Err") {
				s.bad(name.Pos(), "%s is an exported variable: any package could assign it", name.Name)
			}
		}
	}
}

func (s *source) judgeSelector(n *ast.SelectorExpr) {
	x, ok := n.X.(*ast.Ident)
	if !ok {
		return
	}
	folder := s.name[:max(0, strings.LastIndexByte(s.name, '/'))]
	switch path, name := s.imports[x.Name], n.Sel.Name; {
	case path == "math" && within(folder, "ternary") && !slices.Contains(exactMath(), name) && !slices.Contains(inexactMath()[folder], name):
		s.bad(n.Pos(), "math.%s has other bits on other machines: use ternary/f32", name)
	case within(folder, "cmd"):
	case path == "fmt" && strings.HasPrefix(name, "Print"),
		path == "os" && (name == "Stderr" || name == "Stdout" || name == "Exit"):
		s.bad(n.Pos(), "%s.%s: only cmd prints and exits; return a value", path, name)
	}
}

func (s *source) judgeCall(n *ast.CallExpr, documented bool) {
	f, ok := n.Fun.(*ast.Ident)
	switch {
	case !ok:
	case f.Name == "panic" && !documented && len(n.Args) == 1 && s.isText(n.Args[0]):
		s.bad(n.Pos(), "panic on a text: return an error; a panic is a bug of ours, and then the function's comment says when it panics")
	case (f.Name == "println" || f.Name == "print") && !within(s.name, "cmd"):
		s.bad(n.Pos(), "%s: only cmd prints", f.Name)
	}
}

// isText tells whether an expression is plainly a string: a literal, a sum with one, a formatted text.
func (s *source) isText(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return s.isText(e.X) || s.isText(e.Y)
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := f.X.(*ast.Ident)
		return ok && s.imports[x.Name] == "fmt" && strings.HasPrefix(f.Sel.Name, "Sprint")
	}
	return false
}
