package shard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/checkpoints/durable"
)

// TestStreamIsTheArray: whatever the cuts, a stream reads and marks as the plain arrays do.
func TestStreamIsTheArray(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int{2, 4}).Draw(t, "width")
		limit := map[int]int32{2: 1<<16 - 1, 4: 1<<31 - 1}[width]
		var ids []int32
		var starts []bool
		var parts []*Part
		b := NewBuilder(width)
		documents := 0
		for range rapid.IntRange(1, 20).Draw(t, "runs") {
			run := rapid.SliceOfN(rapid.Int32Range(0, limit), 0, 9).Draw(t, "ids")
			start := rapid.Bool().Draw(t, "starts")
			if err := b.Append(run, start); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, run...)
			marks := make([]bool, len(run))
			if len(run) > 0 && start {
				marks[0] = true
				documents++
			}
			starts = append(starts, marks...)
			if rapid.Bool().Draw(t, "cut") {
				parts = append(parts, b.Take())
			}
		}
		parts = append(parts, b.Take())
		for i, p := range parts { // through the bytes of a file
			var file bytes.Buffer
			if err := p.encode(&file); err != nil {
				t.Fatal(err)
			}
			again, err := ParsePart("p", file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			parts[i] = again
		}
		s := NewStream(parts)
		if s.Len() != len(ids) || s.Documents() != documents {
			t.Fatalf("%d ids in %d documents, want %d in %d", s.Len(), s.Documents(), len(ids), documents)
		}
		at := rapid.IntRange(0, len(ids)).Draw(t, "at")
		n := rapid.IntRange(0, len(ids)-at).Draw(t, "n")
		got, marks := make([]int32, n), make([]bool, n)
		s.Read(got, at)
		s.Starts(marks, at)
		if !slices.Equal(got, ids[at:at+n]) || !slices.Equal(marks, starts[at:at+n]) {
			t.Fatalf("ids %v %v, want %v %v", got, marks, ids[at:at+n], starts[at:at+n])
		}
	})
}

func TestBuilderRefuses(t *testing.T) {
	for width, bad := range map[int]int32{2: 1 << 16, 4: -1} {
		b := NewBuilder(width)
		if err := b.Append([]int32{1, bad}, true); err == nil || b.Len() != 0 {
			t.Errorf("id %d in %d bytes: %v, %d ids", bad, width, err, b.Len())
		}
	}
}

// small writes a folder of two shards to train on and one to validate with.
func small(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	x := Index{Width: 2, Tokenizer: Tokenizer{Name: "t", VocabSize: 300, SHA256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}, Made: json.RawMessage(`{}`)}
	if err := os.WriteFile(filepath.Join(dir, TokenizerFile), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := NewBuilder(2)
	for i, name := range []string{"train-00000.bin", "train-00001.bin", "val-00000.bin"} {
		if err := b.Append([]int32{int32(i), 7, 299}, true); err != nil {
			t.Fatal(err)
		}
		f, err := WriteFile(durable.OS{}, dir, name, b.Take())
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			x.Train = append(x.Train, f)
		} else {
			x.Val = append(x.Val, f)
		}
	}
	if err := WriteIndex(durable.OS{}, dir, x); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpen(t *testing.T) {
	s, err := Open(small(t))
	if err != nil {
		t.Fatal(err)
	}
	if s.Train.Len() != 6 || s.Val.Len() != 3 || s.Train.Documents() != 2 || s.Bytes() != 3*(64+8+4) {
		t.Errorf("%d and %d ids, %d bytes", s.Train.Len(), s.Val.Len(), s.Bytes())
	}
	ids := make([]int32, 4)
	s.Train.Read(ids, 1)
	if !slices.Equal(ids, []int32{7, 299, 1, 7}) {
		t.Error(ids)
	}
	if err := errors.Join(s.Verify(), s.Close()); err != nil {
		t.Error(err)
	}
}

// TestDamage: a file that is missing, cut, changed, or another's is named.
func TestDamage(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(dir string) error
		says   string
	}{
		"no index": {func(dir string) error { return os.Remove(filepath.Join(dir, IndexFile)) }, IndexFile},
		"no shard": {func(dir string) error { return os.Remove(filepath.Join(dir, "val-00000.bin")) }, "val-00000.bin: cannot be read"},
		"cut":      {func(dir string) error { return os.Truncate(filepath.Join(dir, "train-00001.bin"), 70) }, "train-00001.bin: 70 bytes, the index says 76"},
		"another": {func(dir string) error {
			return os.Rename(filepath.Join(dir, "val-00000.bin"), filepath.Join(dir, "train-00001.bin"))
		}, "val-00000.bin"},
		"tokenizer":       {func(dir string) error { return os.WriteFile(filepath.Join(dir, TokenizerFile), []byte("[]"), 0o644) }, "is not the tokenizer"},
		"an id":           {change("train-00000.bin", 66), "checksum"},
		"document starts": {change("train-00000.bin", 72), "byte 72: document start"},
		"the magic":       {change("train-00000.bin", 0), "no shard"},
		"the padding":     {change("train-00000.bin", 70), "padding"},
	} {
		dir := small(t)
		if err := tc.damage(dir); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir)
		if err == nil {
			err = errors.Join(s.Verify(), s.Close())
		}
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

func change(name string, at int) func(dir string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[at] ^= 0x5A
		return os.WriteFile(path, data, 0o644)
	}
}

func TestIndexRefusals(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(small(t), IndexFile))
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if err := json.Compact(&whole, file); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ old, new, says string }{
		"version":         {`"version":1`, `"version":2`, "version 2"},
		"path outside":    {"val-00000.bin", "../../secret", "no name of a shard"},
		"narrow ids":      {`"vocab_size":300`, `"vocab_size":70000`, "a vocabulary of 70000"},
		"no vocabulary":   {`"vocab_size":300`, `"vocab_size":0`, "a vocabulary of 0"},
		"negative tokens": {`"tokens":3`, `"tokens":-3`, "impossible sizes"},
		"cut":             {`"made":{}}`, "", "byte"},
		"more":            {`"made":{}}`, `"made":{}}{}`, "something follows"},
	} {
		text := strings.Replace(whole.String(), tc.old, tc.new, 1)
		if _, err := ParseIndex("index.json", []byte(text)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

func FuzzIndex(f *testing.F) {
	text, err := os.ReadFile(filepath.Join(small(f), IndexFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"id_bytes":4,"train":[{"file":"train-00000.bin"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := ParseIndex("i", text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		again, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		y, err := ParseIndex("i", again)
		if err != nil || fmt.Sprint(x.Train, x.Val, x.Tokenizer) != fmt.Sprint(y.Train, y.Val, y.Tokenizer) {
			t.Fatalf("%v, %v and %v", err, x, y)
		}
	})
}

func FuzzPart(f *testing.F) {
	for _, width := range []int{2, 4} {
		b := NewBuilder(width)
		for i := range 3 {
			if err := b.Append([]int32{int32(i), 500}, i != 1); err != nil {
				f.Fatal(err)
			}
		}
		var file bytes.Buffer
		if err := b.Take().encode(&file); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := ParsePart("p", file)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		s := NewStream([]*Part{p})
		ids, starts := make([]int32, s.Len()), make([]bool, s.Len())
		s.Read(ids, 0)
		s.Starts(starts, 0)
		var again bytes.Buffer
		if err := p.encode(&again); err != nil || !bytes.Equal(again.Bytes(), file) {
			t.Fatalf("%v, or other bytes", err)
		}
	})
}
