package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
)

func content(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// list returns "name=content" for files and "name/" for folders directly in dir.
func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name()+"/")
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name()+"="+string(b))
	}
	return strings.Join(out, " ")
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, want := range []string{"one", "", strings.Repeat("x", 1<<20)} {
		if err := durable.WriteFile(durable.OS{}, path, content(want)); err != nil {
			t.Fatal(err)
		}
		if got := list(t, dir); got != "a="+want {
			t.Fatalf("folder holds %.40q, want %.40q", got, "a="+want)
		}
	}
}

func TestWriteFileOwnErrorPasses(t *testing.T) {
	dir := t.TempDir()
	mine := errors.New("mine")
	err := durable.WriteFile(durable.OS{}, filepath.Join(dir, "a"), func(w io.Writer) error {
		io.WriteString(w, "half")
		return mine
	})
	if err != mine || list(t, dir) != "" {
		t.Fatalf("error %v, folder %q; want mine and nothing", err, list(t, dir))
	}
}

func TestWriteFileMissingFolder(t *testing.T) {
	err := durable.WriteFile(durable.OS{}, filepath.Join(t.TempDir(), "no", "a"), content("x"))
	var we *durable.WriteError
	if !errors.As(err, &we) || !errors.Is(err, durable.ErrWrite) || !errors.Is(err, fs.ErrNotExist) || we.Hint() == "" {
		t.Fatalf("got %v", err)
	}
}

func TestHints(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{syscall.ENOSPC, "the disk is full: free space and resume"},
		{syscall.EFBIG, "ulimit -f"},
		{fs.ErrPermission, "permissions"},
		{fs.ErrExist, "exists already"},
		{fs.ErrNotExist, "does not exist"},
		{io.ErrShortWrite, "check the disk"},
	} {
		e := &durable.WriteError{Path: "p", Op: "write", Err: &fs.PathError{Op: "write", Path: "p.tmp-1", Err: c.err}}
		if !strings.Contains(e.Hint(), c.want) || strings.Contains(e.Error(), "tmp") {
			t.Errorf("%v: hint %q, want %q; text %q", c.err, e.Hint(), c.want, e.Error())
		}
	}
}

// build fills a folder with two files.
func build(fsys durable.FS, tag string) func(string) error {
	return func(dir string) error {
		for _, n := range []string{"x", "y"} {
			if err := durable.AddFile(fsys, filepath.Join(dir, n), content(tag+n)); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestFileFaults fails every call of a replacing WriteFile in every mode: the old or the new content is there, whole.
func TestFileFaults(t *testing.T) {
	everyFault(t, func(dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o644))
	}, func(fsys durable.FS, dir string) error {
		return durable.WriteFile(fsys, filepath.Join(dir, "a"), content("new"))
	}, func(dir string, _ error) error {
		if got := list(t, dir); got != "a=old" && got != "a=new" {
			return fmt.Errorf("folder holds %q", got)
		}
		return nil
	})
}

// TestDirFaults fails every call of a WriteDir: the folder is absent or whole.
func TestDirFaults(t *testing.T) {
	everyFault(t, func(string) {}, func(fsys durable.FS, dir string) error {
		return durable.WriteDir(fsys, filepath.Join(dir, "d"), build(fsys, "new"))
	}, func(dir string, err error) error {
		switch got := list(t, dir); {
		case got == "" && err != nil:
			return nil
		case got == "d/" && list(t, filepath.Join(dir, "d")) == "x=newx y=newy":
			return nil
		default:
			return fmt.Errorf("folder holds %q", got)
		}
	})
}

// TestReplaceDirFaults fails every call of a ReplaceDir: the old or the new folder is there, whole.
func TestReplaceDirFaults(t *testing.T) {
	everyFault(t, func(dir string) {
		must(t, durable.WriteDir(&faults.FS{}, filepath.Join(dir, "d"), build(&faults.FS{}, "old")))
	}, func(fsys durable.FS, dir string) error {
		return durable.ReplaceDir(fsys, filepath.Join(dir, "d"), build(fsys, "new"))
	}, func(dir string, _ error) error {
		if list(t, dir) != "d/" {
			return fmt.Errorf("folder holds %q", list(t, dir))
		}
		if got := list(t, filepath.Join(dir, "d")); got != "x=newx y=newy" && got != "x=oldx y=oldy" {
			return fmt.Errorf("d holds %q", got)
		}
		return nil
	})
}

// TestRemoveDirFaults fails every call of a RemoveDir: the folder is whole or gone.
func TestRemoveDirFaults(t *testing.T) {
	everyFault(t, func(dir string) {
		must(t, durable.WriteDir(&faults.FS{}, filepath.Join(dir, "d"), build(&faults.FS{}, "old")))
	}, func(fsys durable.FS, dir string) error {
		return durable.RemoveDir(fsys, filepath.Join(dir, "d"))
	}, func(dir string, _ error) error {
		if got := list(t, dir); got != "" && (got != "d/" || list(t, filepath.Join(dir, "d")) != "x=oldx y=oldy") {
			return fmt.Errorf("folder holds %q", got)
		}
		return nil
	})
}

// everyFault runs act with a fault at each call in turn, in each mode and after a power cut with several parts of what is
// unsynced left, cleans up as the next process would, and checks.
func everyFault(t *testing.T, setup func(dir string), act func(durable.FS, string) error, check func(string, error) error) {
	t.Helper()
	for mode, seeds := range map[faults.Mode]uint64{
		faults.ErrNoSpace: 1, faults.ErrIO: 1, faults.Full: 1, faults.ReadOnly: 1, faults.Kill: 1, faults.PowerCut: 8,
	} {
		for seed := range seeds {
			everyCall(t, mode, seed, setup, act, check)
		}
	}
}

func everyCall(t *testing.T, mode faults.Mode, seed uint64, setup func(dir string), act func(durable.FS, string) error, check func(string, error) error) {
	t.Helper()
	for n := 1; ; n++ {
		dir := t.TempDir()
		setup(dir)
		fsys := &faults.FS{FailAt: n, Mode: mode, Seed: seed}
		err := act(fsys, dir)
		must(t, fsys.Crash())
		must(t, durable.CleanTemps(durable.OS{}, dir))
		if cerr := check(dir, err); cerr != nil {
			t.Fatalf("mode %q, seed %d, call %d (%s), error %v: %v", mode, seed, n, fsys.Hit, err, cerr)
		}
		if fsys.Calls < n {
			if err != nil {
				t.Fatalf("no fault, yet error %v", err)
			}
			return
		}
		if !fsys.Dead() && err != nil && !errors.Is(err, durable.ErrWrite) {
			t.Fatalf("mode %q, call %d: error %v is not of class ErrWrite", mode, n, err)
		}
	}
}

// TestPowerCutAfterwards cuts the power when a writer has returned without error: whatever part of the unsynced survives,
// what was written is there.
func TestPowerCutAfterwards(t *testing.T) {
	for name, act := range map[string]func(durable.FS, string) error{
		"file":              func(fsys durable.FS, dir string) error { return durable.WriteFile(fsys, dir+"/d", content("new")) },
		"file over another": func(fsys durable.FS, dir string) error { return durable.WriteFile(fsys, dir+"/there", content("new")) },
		"folder":            func(fsys durable.FS, dir string) error { return durable.WriteDir(fsys, dir+"/d", build(fsys, "new")) },
		"folder, parents missing": func(fsys durable.FS, dir string) error {
			return durable.WriteDir(fsys, dir+"/a/b/d", build(fsys, "new"))
		},
		"removed": func(fsys durable.FS, dir string) error { return durable.RemoveDir(fsys, dir+"/folder") },
		"log": func(fsys durable.FS, dir string) error {
			l, err := durable.OpenLog(fsys, dir+"/there")
			return errors.Join(err, l.Append([]byte("new")), l.Close())
		},
	} {
		for seed := range uint64(20) {
			dir := t.TempDir()
			must(t, os.WriteFile(dir+"/there", []byte("old"), 0o644))
			must(t, os.MkdirAll(dir+"/folder/x", 0o755))
			fsys := &faults.FS{Mode: faults.PowerCut, Seed: seed}
			must(t, act(fsys, dir))
			must(t, fsys.Crash())
			must(t, durable.CleanTemps(durable.OS{}, dir))
			want := map[string]string{
				"file": "d=new folder/ there=old", "file over another": "folder/ there=new", "folder": "d/ folder/ there=old",
				"folder, parents missing": "a/ folder/ there=old", "removed": "there=old", "log": "folder/ there=oldnew",
			}[name]
			if got := list(t, dir); got != want {
				t.Errorf("%s, seed %d: %q, want %q", name, seed, got, want)
			}
			at := map[string]string{"folder": "/d", "folder, parents missing": "/a/b/d"}[name]
			if at != "" {
				if got := list(t, dir+at); got != "x=newx y=newy" {
					t.Errorf("%s, seed %d: %s holds %q", name, seed, at, got)
				}
			}
		}
	}
}

// TestLogGoesOn: what a log cannot write for a while it writes later, from the very byte that was reached.
func TestLogGoesOn(t *testing.T) {
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.ErrIO, faults.Short} {
		for n := 2; n <= 11; n++ { // the first call opens
			for seed := range uint64(4) {
				path := filepath.Join(t.TempDir(), "log")
				fsys := &faults.FS{FailAt: n, Mode: mode, Seed: seed}
				l, err := durable.OpenLog(fsys, path)
				must(t, err)
				want, failed := "", 0
				for i := range 10 {
					line := fmt.Sprintf("line %d\n", i)
					want += line
					if err := l.Append([]byte(line)); errors.Is(err, durable.ErrWrite) {
						failed++
					} else if err != nil {
						t.Fatal(err)
					}
				}
				must(t, l.Close())
				if got, err := os.ReadFile(path); err != nil || string(got) != want || failed != 1 {
					t.Fatalf("mode %q, call %d, seed %d: %q, %v, %d failed", mode, n, seed, got, err, failed)
				}
			}
		}
	}
	fsys := &faults.FS{FailAt: 2, Mode: faults.Full}
	l, err := durable.OpenLog(fsys, filepath.Join(t.TempDir(), "log"))
	must(t, err)
	kept := 0
	for big := bytes.Repeat([]byte{'x'}, 8<<20); kept < 100; kept++ {
		if err := l.Append(big); err == nil {
			t.Fatal("a full disk took it")
		} else if strings.Contains(err.Error(), "not kept") {
			break
		}
	}
	if kept != 8 {
		t.Errorf("%d pieces of 8 MiB were kept", kept)
	}
	if err := l.Close(); !errors.Is(err, durable.ErrWrite) {
		t.Errorf("closing says %v of what is lost", err)
	}
}

func TestWriteDirRefusesExisting(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d")
	must(t, os.Mkdir(path, 0o755))
	must(t, durable.WriteDir(durable.OS{}, path, build(durable.OS{}, "1"))) // an empty folder is filled
	if err := durable.WriteDir(durable.OS{}, path, build(durable.OS{}, "2")); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want fs.ErrExist", err)
	}
	if got := list(t, path); got != "x=1x y=1y" {
		t.Fatalf("d holds %q", got)
	}
}

func TestCleanTemps(t *testing.T) {
	dir := t.TempDir()
	hex := "0123456789abcdef"
	for _, n := range []string{"a", "a.tmp-" + hex, "notes.tmp-1", "b.tmp-0123456789abcdeX", ".tmp-" + hex} {
		must(t, os.WriteFile(filepath.Join(dir, n), nil, 0o644))
	}
	for _, n := range []string{"gone.old-" + hex, "there", "there.old-" + hex, "d.tmp-" + hex} {
		must(t, os.MkdirAll(filepath.Join(dir, n, "sub"), 0o755))
	}
	must(t, durable.CleanTemps(durable.OS{}, dir))
	if got, want := list(t, dir), "a= b.tmp-0123456789abcdeX= gone/ notes.tmp-1= there/"; got != want {
		t.Fatalf("left\n%q, want\n%q", got, want)
	}
	must(t, durable.CleanTemps(durable.OS{}, filepath.Join(dir, "absent")))
	if durable.IsTemp("step-1") || !durable.IsTemp("step-1.tmp-"+hex) {
		t.Fatal("IsTemp")
	}
}

func TestShortWriteIsAnError(t *testing.T) {
	err := durable.WriteFile(short{}, "p", func(w io.Writer) error {
		_, err := w.Write(bytes.Repeat([]byte{1}, 1<<20))
		return err
	})
	if !errors.Is(err, io.ErrShortWrite) || !errors.Is(err, durable.ErrWrite) {
		t.Fatalf("got %v", err)
	}
}

type short struct{ durable.OS }

func (short) Create(string) (durable.File, error) { return shortFile{}, nil }

type shortFile struct{}

func (shortFile) Write(p []byte) (int, error) { return len(p) / 2, nil }
func (shortFile) Sync() error                 { return nil }
func (shortFile) Close() error                { return nil }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
