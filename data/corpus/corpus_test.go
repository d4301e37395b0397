package corpus

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree writes files below a new folder and returns it. A name that ends in / is an empty folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		folder := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			folder = path
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if folder != path {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func TestLoad(t *testing.T) {
	root := tree(t, map[string]string{
		"b.txt": "bee\n", "a/z.md": "zed", "a/B.TXT": "big", "a/c.text": "sea", "a/empty.txt": "",
		"a/code.go": "package a", "a/.hidden.txt": "no", ".git/x.txt": "no", "noext": "named",
	})
	// A link back to the top would loop, if links were followed.
	if err := os.Symlink(root, filepath.Join(root, "a", "loop")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := os.Symlink(filepath.Join(root, "b.txt"), filepath.Join(root, "a", "link.txt")); err != nil {
		t.Fatal(err)
	}
	c, err := Load([]string{filepath.Join(root, "noext"), root})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(c.Text), "named"+"big"+"sea"+"zed"+"bee\n"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	want := []Source{
		{filepath.Join(root, "noext"), 5, 1, 0, 0},
		{filepath.Join(root, "a", "B.TXT"), 3, 1, 1, 5},
		{filepath.Join(root, "a", "c.text"), 3, 1, 1, 8},
		{filepath.Join(root, "a", "z.md"), 3, 1, 1, 11},
		{filepath.Join(root, "b.txt"), 4, 1, 1, 14},
	}
	if diff := cmp.Diff(want, c.Sources); diff != "" {
		t.Error(diff)
	}
	// printf 'namedbigseazedbee\n' | sha256sum
	if want := "a51244233bb4f558d17f9903b6d17debb874a178ce9209f2f438d9e196e6e65e"; c.SHA256 != want {
		t.Errorf("sum %s, want %s", c.SHA256, want)
	}

	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	if c, err := Load([]string{link}); err != nil || string(c.Text) != "bigseazedbee\n" {
		t.Errorf("through a link to the folder: %v, %v", c, err)
	}
}

func TestLoadErrors(t *testing.T) {
	root := tree(t, map[string]string{"empty": "", "none/x.go": "package x", "big.txt": "0123456789", "void/": ""})
	for _, tc := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"no paths", nil, "no text was named"},
		{"missing", []string{filepath.Join(root, "gone.txt")}, "gone.txt: no such file or folder"},
		{"empty file", []string{filepath.Join(root, "empty")}, "empty: the file is empty"},
		{"folder without text", []string{filepath.Join(root, "none")}, "none: no text files"},
		{"empty folder", []string{filepath.Join(root, "void")}, "void: no text files"},
		{"device", []string{os.DevNull}, "neither a file nor a folder"},
		{"too large", []string{filepath.Join(root, "big.txt"), filepath.Join(root, "big.txt")}, "big.txt: with this file the corpus exceeds 15 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(tc.paths, 15)
			if !errors.Is(err, ErrCorpus) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if e := (*Error)(nil); errors.As(err, &e) && e.Fix == "" {
				t.Error("no advice")
			}
		})
	}
}

func TestFileThatShrank(t *testing.T) {
	path := filepath.Join(tree(t, map[string]string{"a.txt": "abc"}), "a.txt")
	_, err := read([]Source{{Path: path, Bytes: 5}}, 100)
	if e := (*Error)(nil); !errors.As(err, &e) || e.Offset != 3 || e.Path != path {
		t.Errorf("got %v", err)
	}
}

func TestBuiltin(t *testing.T) {
	book := tree(t, map[string]string{opticks: "light", "src/strings/a.go": "package strings"})
	c, name, err := Builtin(book)
	if err != nil || string(c.Text) != "light" || name != "Isaac Newton, Opticks" {
		t.Errorf("with the book: %v, %q, %v", c, name, err)
	}
	source := tree(t, map[string]string{
		"src/fmt/print.go": "package fmt\n", "src/strings/b.go": "package b\n", "src/strings/a.go": "package a\n",
		"src/strings/a_test.go": "test", "src/elsewhere/a.go": "elsewhere",
		"src/net/http/large.go": strings.Repeat("x", builtinBytes),
	})
	c, name, err = Builtin(source)
	if err != nil || string(c.Text) != "package a\npackage b\npackage fmt\n" || name != "the Go standard library's source" {
		t.Errorf("without the book: %v, %q, %v", c, name, err)
	}
	for _, goroot := range []string{"", t.TempDir()} {
		var fault *Error
		_, _, err := Builtin(goroot)
		if !errors.Is(err, ErrCorpus) || !errors.As(err, &fault) || !strings.Contains(fault.Hint(), "--corpus FILE") {
			t.Errorf("goroot %q: %v", goroot, err)
		}
	}
}

func TestBuiltinOfThisMachine(t *testing.T) {
	root := GoRoot()
	if root == "" {
		t.Skip("no Go installation found")
	}
	c, name, err := Builtin(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Text) < 100_000 {
		t.Errorf("%s has only %d bytes", name, len(c.Text))
	}
}

func TestGoRootWithoutGo(t *testing.T) {
	fake := tree(t, map[string]string{"src/": ""})
	t.Setenv("PATH", t.TempDir())
	t.Setenv("GOROOT", fake)
	if got := GoRoot(); got != fake {
		t.Errorf("got %q, want %q", got, fake)
	}
}
