package gguf_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// contents returns the files of a folder by their names.
func contents(t testing.TB, dir string) (names []string, files map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		names, files[e.Name()] = append(names, e.Name()), b
	}
	return names, files
}

// TestParts writes models in parts of several sizes: no part is larger than asked but by a tensor alone, together
// they hold the tensors of the model in one file, in its order, and the model that is read of them is the same.
func TestParts(t *testing.T) {
	for _, name := range []string{"transformer", "bitnet relu2 tied", "wide", "odd"} {
		c := forms()[name]
		w := weights(t, c)
		want, err := pack.Build(w)
		if err != nil {
			t.Fatal(err)
		}
		path, _ := save(t, stored.Of(w), gguf.Options{})
		whole, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { whole.Close() })
		for _, most := range []int64{1, 8 << 10, 1 << 40} {
			dir := filepath.Join(t.TempDir(), "story.gguf")
			if _, err := gguf.Save(durable.OS{}, dir, stored.Of(w), gguf.Options{MaxPart: most}); err != nil {
				t.Fatal(err)
			}
			names, files := contents(t, dir)
			for i, n := range names {
				wanted := fmt.Sprintf("story-%05d-of-%05d.gguf", i+1, len(names))
				if most == 1<<40 {
					wanted = "story.gguf"
				}
				part, err := gguf.Parse(n, files[n])
				if err != nil {
					t.Fatal(err)
				}
				held := int64(0)
				for _, x := range part.Tensors() {
					held += (x.Bytes + 31) / 32 * 32
				}
				if n != wanted || held > most && len(part.Tensors()) != 1 || held == 0 {
					t.Errorf("%s, parts of %d: file %d is %s of %d bytes, want %s", name, most, i, n, held, wanted)
				}
			}
			f, err := gguf.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(f.Tensors(), whole.Tensors(), func(a, b gguf.Tensor) bool {
				return a.Name == b.Name && a.Type == b.Type && bytes.Equal(f.Bytes(a.Name), whole.Bytes(a.Name))
			}) {
				t.Errorf("%s, parts of %d: other tensors", name, most)
			}
			for _, x := range f.Tensors() {
				file, start := f.Place(x.Name)
				if b := files[filepath.Base(file)]; !bytes.Equal(b[start+x.Offset:][:x.Bytes], f.Bytes(x.Name)) {
					t.Errorf("%s, parts of %d: %s is not where it is said to be", name, most, x.Name)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			for _, from := range []string{dir, filepath.Join(dir, names[0])} {
				got, err := reopen(t, from).Packed()
				if err != nil {
					t.Fatal(name, err)
				}
				samePacked(t, got, want)
			}
			again := filepath.Join(t.TempDir(), "story")
			if _, err := gguf.Save(durable.OS{}, again, stored.OfPacked(want), gguf.Options{MaxPart: most}); err != nil {
				t.Fatal(err)
			}
			list, second := contents(t, again)
			if !slices.Equal(list, names) || c.Arch != spec.ArchTransformer && !slices.EqualFunc(list, names, func(a, b string) bool { return bytes.Equal(second[a], files[b]) }) {
				t.Errorf("%s, parts of %d: codes give other files: %v", name, most, list)
			}
		}
	}
}

// parts are the files of a model as another program might write it, in three parts: the keys and the embedding, a part of most
// tensors, and the last one.
func parts(w *spec.Weights) []*foreignFile {
	all := llamaFile(w)
	n := len(all.tensors)
	list := []*foreignFile{{keys: all.keys, tensors: all.tensors[:1:1]}, {tensors: all.tensors[1 : n-1 : n-1]}, {tensors: all.tensors[n-1:]}}
	for i, f := range list {
		f.keys = slices.Clip(f.keys)
		f.key("split.no", uint16(i))
		f.key("split.count", uint16(len(list)))
		f.key("split.tensors.count", int32(n))
	}
	return list
}

// TestRefusedParts: parts that are missing, damaged, of another model or at other places are errors that name the file.
func TestRefusedParts(t *testing.T) {
	w := weights(t, attentionConfig(spec.ArchTransformer))
	set := func(f *foreignFile, key string, value any) {
		f.keys = slices.DeleteFunc(f.keys, func(k gguf.Key) bool { return k.Name == key })
		if value != nil {
			f.key(key, value)
		}
	}
	first, second, third := "m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"
	for name, c := range map[string]struct {
		edit func(p []*foreignFile)
		disk func(dir string) error
		open string // in the folder
		says []string
	}{
		"whole":             {},
		"the first":         {open: first},
		"a later one":       {open: second, says: []string{second, "split.no is 1", "part 2 of 3"}},
		"the middle gone":   {disk: func(dir string) error { return os.Remove(filepath.Join(dir, second)) }, open: first, says: []string{second, "is missing: part 2 of 3"}},
		"folder without it": {disk: func(dir string) error { return os.Remove(filepath.Join(dir, second)) }, says: []string{"holds 2 GGUF files that are not the parts"}},
		"the first renamed": {disk: func(dir string) error { return os.Rename(filepath.Join(dir, first), filepath.Join(dir, "x.gguf")) }, open: "x.gguf", says: []string{"x.gguf", "name does not end with -00001-of-00003.gguf"}},
		"a cut one":         {disk: func(dir string) error { return os.Truncate(filepath.Join(dir, third), 200) }, says: []string{third, "byte"}},
		"two models":        {disk: func(dir string) error { return os.WriteFile(filepath.Join(dir, "n.gguf"), nil, 0o600) }, says: []string{"holds 4 GGUF files"}},
		"other places": {disk: func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, second), filepath.Join(dir, "x")), os.Rename(filepath.Join(dir, third), filepath.Join(dir, second)), os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, third)))
		}, says: []string{second, "split.no is 2"}},
		"no number":     {edit: func(p []*foreignFile) { set(p[0], "split.no", nil) }, says: []string{first, "split.no is missing"}},
		"no total":      {edit: func(p []*foreignFile) { set(p[2], "split.tensors.count", nil) }, says: []string{third, "split.tensors.count is missing"}},
		"a text":        {edit: func(p []*foreignFile) { set(p[0], "split.count", "three") }, says: []string{first, "split.count is no whole number from 0 to 65535"}},
		"too many":      {edit: func(p []*foreignFile) { set(p[0], "split.count", uint32(1<<20)) }, says: []string{first, "split.count is no whole number from 0 to 65535"}},
		"another count": {edit: func(p []*foreignFile) { set(p[1], "split.count", uint16(4)) }, says: []string{second, "split.count is 4"}},
		"another total": {edit: func(p []*foreignFile) { set(p[1], "split.tensors.count", int32(9)) }, says: []string{second, "split.tensors.count is 9"}},
		"a wrong total": {edit: func(p []*foreignFile) {
			set(p[0], "split.tensors.count", int32(9))
			set(p[1], "split.tensors.count", int32(9))
			set(p[2], "split.tensors.count", int32(9))
		}, says: []string{first, "split.tensors.count is 9, where the 3 parts hold"}},
		"a tensor twice": {edit: func(p []*foreignFile) { p[2].tensors = append(p[2].tensors, p[0].tensors[0]) }, says: []string{third, "token_embd.weight", "earlier part"}},
		"a tensor less":  {edit: func(p []*foreignFile) { p[2].tensors = nil }, says: []string{first, "split.tensors.count"}},
	} {
		dir, list := t.TempDir(), parts(w)
		if c.edit != nil {
			c.edit(list)
		}
		for i, f := range list {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("m-%05d-of-%05d.gguf", i+1, len(list))), f.bytes(t), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.disk != nil {
			if err := c.disk(dir); err != nil {
				t.Fatal(err)
			}
		}
		m, err := gguf.OpenModel(filepath.Join(dir, c.open))
		if err == nil {
			if c.says != nil {
				t.Errorf("%s: taken", name)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		var h interface{ Hint() string }
		if !errors.Is(err, format.ErrFormat) || !errors.As(err, &h) || h.Hint() == "" || c.says == nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v does not say %q", name, err, s)
			}
		}
	}
	empty := t.TempDir()
	if _, err := gguf.Open(empty); err == nil || !strings.Contains(err.Error(), "holds no file") || gguf.HasModel(empty) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestFaultInPart: a value that cannot be read is in the part that holds it, and the error says in which.
func TestFaultInPart(t *testing.T) {
	c := forms()["wide"]
	w := weights(t, c)
	dir := filepath.Join(t.TempDir(), "m")
	if _, err := gguf.Save(durable.OS{}, dir, stored.Of(w), gguf.Options{MaxPart: 8 << 10, Ternary: gguf.TQ2}); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, x := range f.Tensors() {
		if x.Type == gguf.TQ2 {
			name = x.Name
		}
	}
	path, start := f.Place(name)
	x, _ := f.Tensor(name)
	if err := f.Close(); err != nil || strings.Contains(path, "-00001-of-") {
		t.Fatal(path, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[start+x.Offset] = 0xff // four codes of 2
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = gguf.OpenModel(dir); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q of %s: block 0", name, filepath.Base(path))) {
		t.Errorf("%v, want one of %s in %s", err, name, path)
	}
}

// TestPartsAreWhole fails each call of writing a model in parts over another folder of one: there is the former or the new one,
// under its name or, for a moment between two renames, under the one that the next run takes it back from.
func TestPartsAreWhole(t *testing.T) {
	w := weights(t, forms()["matmulfree"])
	o := gguf.Options{MaxPart: 8 << 10, Replace: true}
	want := filepath.Join(t.TempDir(), "m")
	if _, err := gguf.Save(durable.OS{}, want, stored.Of(w), o); err != nil {
		t.Fatal(err)
	}
	names, files := contents(t, want)
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.Kill, faults.PowerCut} {
		for n := 1; ; n++ {
			dir := filepath.Join(t.TempDir(), "m")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "former.gguf"), []byte("former"), 0o600)); err != nil {
				t.Fatal(err)
			}
			fsys := &faults.FS{FailAt: n, Mode: mode}
			_, err := gguf.Save(fsys, dir, stored.Of(w), o)
			if crash := fsys.Crash(); crash != nil {
				t.Fatal(crash)
			}
			if err := durable.CleanTempsOf(durable.OS{}, dir); err != nil {
				t.Fatal(err)
			}
			list, got := contents(t, dir)
			former := len(list) == 1 && string(got["former.gguf"]) == "former"
			written := slices.Equal(list, names) && !slices.ContainsFunc(list, func(s string) bool { return !bytes.Equal(got[s], files[s]) })
			if !written && (err == nil || !former) {
				t.Fatalf("%v at call %d: %v, %v", mode, n, list, err)
			}
			if fsys.Calls < n {
				break
			}
		}
	}
}

// TestPartsReplace: a folder is replaced only when asked, and never one with anything else in it.
func TestPartsReplace(t *testing.T) {
	w := weights(t, forms()["matmulfree"])
	dir := filepath.Join(t.TempDir(), "m")
	write := func(most int64, replace bool) error {
		_, err := gguf.Save(durable.OS{}, dir, stored.Of(w), gguf.Options{MaxPart: most, Replace: replace})
		return err
	}
	if err := write(4<<10, true); err != nil { // nothing is there
		t.Fatal(err)
	}
	before, _ := contents(t, dir)
	if err := write(8<<10, false); !errors.Is(err, os.ErrExist) {
		t.Errorf("a folder that is there: %v", err)
	}
	if err := write(8<<10, true); err != nil {
		t.Fatal(err)
	}
	after, _ := contents(t, dir)
	if len(after) < 2 || len(after) >= len(before) {
		t.Errorf("%d files after %d", len(after), len(before))
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(4<<10, true); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a folder with something else: %v", err)
	}
	if left, _ := contents(t, dir); !slices.Contains(left, "notes.txt") || len(left) != len(after)+1 {
		t.Errorf("left: %v", left)
	}
	w.Get(spec.FinalNormName)[2] = float32(math.NaN())
	var v *spec.ValueError
	dir = filepath.Join(t.TempDir(), "n")
	if err := write(4<<10, false); !errors.As(err, &v) {
		t.Errorf("a NaN: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused model left its folder: %v", err)
	}
}
