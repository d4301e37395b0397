package prepare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
	"mmfree/data/corpus"
	"mmfree/data/shard"
	"mmfree/data/tokenizer"
)

type fataler interface {
	Helper()
	Fatal(...any)
}

// write makes files below a new folder.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func open(t fataler, o corpus.Options, paths ...string) *corpus.Reader {
	t.Helper()
	r, err := corpus.Open(paths, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// texts takes a stream apart into its documents.
func texts(t fataler, s *shard.Stream) []string {
	t.Helper()
	ids, starts := make([]int32, s.Len()), make([]bool, s.Len())
	s.Read(ids, 0)
	s.Starts(starts, 0)
	var docs []string
	var doc []byte
	for i, id := range ids {
		if starts[i] && i > 0 {
			docs, doc = append(docs, string(doc)), doc[:0]
		}
		doc = append(doc, byte(id))
	}
	if len(doc) > 0 {
		docs = append(docs, string(doc))
	}
	return docs
}

func inMemory(t fataler, r *corpus.Reader, o Options) (train, val []string, report *Report) {
	t.Helper()
	set, report, err := InMemory(context.Background(), r, tokenizer.Bytes{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return texts(t, set.Train), texts(t, set.Val), report
}

func TestDocuments(t *testing.T) {
	root := write(t, map[string]string{"a.txt": "one\n--two--one\n----three", "b.jsonl": `{"text":"two"}` + "\n\n" + `{"text":"four"}` + "\nnot JSON\n"})
	read := corpus.DefaultOptions()
	read.Separator = "--"
	paths := []string{filepath.Join(root, "a.txt"), filepath.Join(root, "b.jsonl") + "=2"}
	train, val, report := inMemory(t, open(t, read, paths...), Options{})
	if want := []string{"one\n", "two", "one\n", "three", "two", "four", "two", "four"}; !slices.Equal(train, want) || len(val) > 0 {
		t.Errorf("%q and %q, want %q", train, val, want)
	}
	if report.Documents != 8 || report.Read != 8 || report.Tokens != 30 || report.Bytes != 30 || report.Skipped != 2 || report.Reading.Repeated != 1 {
		t.Errorf("%+v", report)
	}
	if p := report.Paths[1]; p.Documents != 4 || p.Tokens != 14 || p.Weight != 2 || p.Files != 1 || p.Path != paths[1] {
		t.Errorf("%+v", p)
	}
	train, _, report = inMemory(t, open(t, read, paths...), Options{Dedup: true, ShardTokens: 5, Threads: 3})
	if want := []string{"one\n", "two", "three", "four", "four"}; !slices.Equal(train, want) {
		t.Errorf("without duplicates: %q, want %q", train, want)
	}
	if report.Documents != 5 || report.Read != 8 || report.Duplicates != 3 || report.Skipped != 5 || report.Shards != 3 {
		t.Errorf("without duplicates: %+v", report)
	}
}

// TestValidation: the same document goes to the same part wherever it stands, about as many as asked for, once.
func TestValidation(t *testing.T) {
	var lines []string
	for i := range 2000 {
		lines = append(lines, fmt.Sprintf(`{"text":"document %d"}`, i))
	}
	a := write(t, map[string]string{"a.jsonl": strings.Join(lines, "\n")})
	slices.Reverse(lines)
	b := write(t, map[string]string{"b.jsonl": strings.Join(lines, "\n")})
	_, valA, r := inMemory(t, open(t, corpus.DefaultOptions(), a+"=2.5"), Options{ValFraction: 0.1})
	_, valB, _ := inMemory(t, open(t, corpus.DefaultOptions(), b), Options{ValFraction: 0.1})
	slices.Reverse(valB)
	if !slices.Equal(valA, valB) {
		t.Error("another order, another part")
	}
	if n := len(valA); n < 150 || n > 250 || r.ValDocuments != int64(n) {
		t.Errorf("%d documents of 2000 held out, want about 200", n)
	}
	if half := r.Unchosen; half < 900 || half > 1100 {
		t.Errorf("%d of 2000 left out by half a weight", half)
	}
	if r.Read != 6000 || r.Documents+r.Unchosen+r.HeldAgain+r.Duplicates != r.Read {
		t.Errorf("documents do not add up: %+v", r)
	}
}

// TestLongDocuments: documents of several pieces are compared whole, and begin once.
func TestLongDocuments(t *testing.T) {
	long := strings.Repeat("a line of text\n", corpus.PieceBytes/15*2+9)
	files := map[string]string{"1.txt": long + "A", "2.txt": long + "B", "3.txt": long + "A", "4.txt": "short", "5.txt": long + "B"}
	set, report, err := InMemory(context.Background(), open(t, corpus.DefaultOptions(), write(t, files)), tokenizer.Bytes{}, Options{Dedup: true, ShardTokens: 1 << 20, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := files["1.txt"] + files["2.txt"] + files["4.txt"]
	ids, starts := make([]int32, set.Train.Len()), make([]bool, set.Train.Len())
	set.Train.Read(ids, 0)
	set.Train.Starts(starts, 0)
	if len(ids) != len(want) || report.Documents != 3 || report.Duplicates != 2 || set.Train.Documents() != 3 {
		t.Fatalf("%d ids, %+v", len(ids), report)
	}
	for i, id := range ids {
		if byte(id) != want[i] || starts[i] != (i == 0 || i == len(long)+1 || i == 2*len(long)+2) {
			t.Fatalf("id %d is %d, start %t", i, id, starts[i])
		}
	}
}

// withEnds is bytes with ids for the ends of a text.
type withEnds struct{ tokenizer.Bytes }

func (withEnds) VocabSize() int { return 258 }
func (w withEnds) EncodeSpecial(dst []int32, text []byte) ([]int32, error) {
	dst, err := w.Encode(append(dst, 256), text)
	return append(dst, 257), err
}

func (withEnds) Specials() tokenizer.Specials {
	return tokenizer.Specials{BOS: 256, EOS: 257, Unknown: -1, Pad: -1}
}

func TestSpecialIDs(t *testing.T) {
	root := write(t, map[string]string{"a.txt": "ab--c"})
	read := corpus.DefaultOptions()
	read.Separator = "--"
	for _, tc := range []struct {
		o    Options
		want []int32
	}{
		{Options{}, []int32{'a', 'b', 'c'}},
		{Options{EOS: true}, []int32{'a', 'b', 257, 'c', 257}},
		{Options{Special: true}, []int32{256, 'a', 'b', 257, 256, 'c', 257}},
		{Options{Special: true, EOS: true}, []int32{256, 'a', 'b', 257, 256, 'c', 257}},
	} {
		set, _, err := InMemory(context.Background(), open(t, read, root), withEnds{}, tc.o)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int32, set.Train.Len())
		set.Train.Read(got, 0)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %v, want %v", tc.o, got, tc.want)
		}
	}
	if _, _, err := InMemory(context.Background(), open(t, read, root), tokenizer.Bytes{}, Options{EOS: true}); !errors.Is(err, tokenizer.ErrTokenizer) {
		t.Errorf("an end of text that is none: %v", err)
	}
}

// mixture is a corpus with everything in it: several documents, duplicates, faults, a long document, held-out ones.
func mixture(t testing.TB) (paths []string, read corpus.Options) {
	g := rand.New(rand.NewPCG(1, 2))
	var text, lines strings.Builder
	for i := range 400 {
		doc := strings.Repeat(fmt.Sprintf("document %d has words\r\n", g.IntN(300)), 1+g.IntN(40))
		if i%7 == 0 {
			doc += "\xff\x00"
		}
		if i%2 == 0 {
			text.WriteString(doc + "<|end|>")
			continue
		}
		line, err := json.Marshal(map[string]string{"text": doc})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	lines.WriteString("no JSON\n\n")
	root := write(t, map[string]string{"a.txt": text.String(), "b.jsonl": lines.String(), "c.txt": strings.Repeat("long and longer\n", 300_000)})
	read = corpus.DefaultOptions()
	read.Separator = "<|end|>"
	return []string{filepath.Join(root, "a.txt") + "=1.4", filepath.Join(root, "*.jsonl"), filepath.Join(root, "c.txt")}, read
}

func options(threads int) Options {
	return Options{Dedup: true, ValFraction: 0.2, ShardTokens: 8_000, Threads: threads}
}

// folderBytes returns every file of a folder.
func folderBytes(t fataler, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func sameFolder(t testing.TB, got, want string) {
	t.Helper()
	g, w := folderBytes(t, got), folderBytes(t, want)
	for name, text := range w {
		if g[name] != text {
			t.Errorf("%s: %s differs or is missing", got, name)
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			t.Errorf("%s: %s should not be there", got, name)
		}
	}
}

func toFolder(t testing.TB, dir string, threads int, paths []string, read corpus.Options) *Report {
	t.Helper()
	report, err := ToFolder(context.Background(), durable.OS{}, dir, false, open(t, read, paths...), tokenizer.Bytes{}, options(threads))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestThreads: any number of threads writes the same bytes, and the folder holds what memory does.
func TestThreads(t *testing.T) {
	paths, read := mixture(t)
	want := filepath.Join(t.TempDir(), "want")
	report := toFolder(t, want, 1, paths, read)
	for _, threads := range []int{2, 7} {
		dir := filepath.Join(t.TempDir(), "got")
		toFolder(t, dir, threads, paths, read)
		sameFolder(t, dir, want)
	}
	set, err := shard.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if err := set.Verify(); err != nil {
		t.Error(err)
	}
	train, val, memory := inMemory(t, open(t, read, paths...), Options{Dedup: true, ValFraction: 0.2})
	if !slices.Equal(texts(t, set.Train), train) || !slices.Equal(texts(t, set.Val), val) {
		t.Error("memory and folder differ")
	}
	if memory.TextSHA256 != set.Index.TextSHA256 || report.Tokens != int64(set.Train.Len()+set.Val.Len()) || report.Documents != int64(set.Train.Documents()+set.Val.Documents()) {
		t.Errorf("%+v", report)
	}
	if report.Shards != len(set.Index.Train)+len(set.Index.Val) || report.Shards < 20 {
		t.Errorf("%d shards", report.Shards)
	}
}

// TestFaults: whatever call on the file system fails, and however, another call goes on to the same bytes.
func TestFaults(t *testing.T) {
	paths, read := mixture(t)
	paths = paths[:1]
	try := func(dir string, fsys durable.FS) error {
		o := options(2)
		o.ShardTokens = 60_000
		_, err := ToFolder(context.Background(), fsys, dir, false, open(t, read, paths...), tokenizer.Bytes{}, o)
		return err
	}
	want := filepath.Join(t.TempDir(), "want")
	if err := try(want, &faults.FS{}); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.Kill, faults.PowerCut} {
		for at := 1; ; at++ {
			dir := filepath.Join(t.TempDir(), "got")
			fsys := &faults.FS{FailAt: at, Mode: mode}
			err := try(dir, fsys)
			if fsys.Calls < at {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err := fsys.Crash(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, shard.ProgressFile)); err == nil || !exists(filepath.Join(dir, shard.IndexFile)) {
				if err := try(dir, &faults.FS{}); err != nil {
					t.Fatalf("mode %d, call %d (%s): %v", mode, at, fsys.Log[at-1], err)
				}
			}
			sameFolder(t, dir, want)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestFolders(t *testing.T) {
	root := write(t, map[string]string{"a.txt": strings.Repeat("text ", 1000), "b.txt": "other"})
	a, b := filepath.Join(root, "a.txt"), filepath.Join(root, "b.txt")
	try := func(dir string, force bool, o Options, paths ...string) error {
		_, err := ToFolder(context.Background(), durable.OS{}, dir, force, open(t, corpus.DefaultOptions(), paths...), tokenizer.Bytes{}, o)
		return err
	}
	refused := func(err error, says string) {
		t.Helper()
		if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	refused(try(root, false, Options{}, a), "not empty")
	refused(try(root, true, Options{}, a), "not empty")
	refused(try(a, false, Options{}, a), "is no folder")

	dir := filepath.Join(t.TempDir(), "shards")
	if err := try(dir, false, Options{ShardTokens: 100}, a, a, a); err != nil {
		t.Fatal(err)
	}
	refused(try(dir, false, Options{}, a), "whole shards")
	if err := try(dir, true, Options{}, b); err != nil {
		t.Fatal(err)
	}
	once := filepath.Join(t.TempDir(), "shards")
	if err := try(once, false, Options{}, b); err != nil {
		t.Fatal(err)
	}
	sameFolder(t, dir, once)

	// Half a folder, and other settings or other text.
	half := filepath.Join(t.TempDir(), "half")
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{ShardTokens: 100, Progress: func(p Progress) {
		if p.Tokens > 0 {
			cancel()
		}
	}}
	c := filepath.Join(root, "c.jsonl")
	if err := os.WriteFile(c, []byte(strings.Repeat("{\"text\":\""+strings.Repeat("x", 1000)+"\"}\n", 5000)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ToFolder(ctx, durable.OS{}, half, false, open(t, corpus.DefaultOptions(), c), tokenizer.Bytes{}, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := shard.Open(half); err == nil {
		t.Error("half a folder opens")
	}
	refused(try(half, false, Options{ShardTokens: 200}, c), `"shard_tokens": 100, not "shard_tokens": 200`)
	if err := os.WriteFile(c, []byte(strings.Repeat("{\"text\":\""+strings.Repeat("y", 1000)+"\"}\n", 5000)), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(try(half, false, Options{ShardTokens: 100}, c), "corpus is not what it was")
	if err := os.WriteFile(c, []byte(`{"text":"short"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(try(half, false, Options{ShardTokens: 100}, c), "corpus is not what it was")
	if err := os.Truncate(filepath.Join(half, "train-00000.bin"), 70); err != nil {
		t.Fatal(err)
	}
	refused(try(half, false, Options{ShardTokens: 100}, c), "train-00000.bin: is not the shard")

	// Nothing is left of what failed before its first shard.
	none := filepath.Join(t.TempDir(), "none")
	if err := try(none, false, Options{ValFraction: 0.9999999}, b); !errors.Is(err, corpus.ErrCorpus) || exists(none) {
		t.Errorf("%v, and the folder is there: %t", err, exists(none))
	}
}

// TestAccounting: whatever the corpus and the options, every document read is accounted for, and threads change nothing.
func TestAccounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "b", "c", "dd", "", "\xff", "\x00"})
		docs := rapid.SliceOfN(rapid.SliceOfN(word, 0, 3), 1, 30).Draw(t, "docs")
		var parts []string
		for _, d := range docs {
			parts = append(parts, strings.Join(d, ""))
		}
		text := strings.Join(parts, "|")
		read := corpus.DefaultOptions()
		read.Separator, read.NUL = "|", rapid.SampledFrom([]corpus.Policy{corpus.Keep, corpus.Skip, corpus.Replace}).Draw(t, "nul")
		o := Options{
			Dedup: rapid.Bool().Draw(t, "dedup"), ValFraction: rapid.SampledFrom([]float64{0, 0.3}).Draw(t, "val"),
			ShardTokens: rapid.IntRange(1, 20).Draw(t, "shard"),
		}
		run := func(threads int) (*shard.Set, *Report, error) {
			r, err := corpus.Open([]string{corpus.Stdin}, read, strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			o.Threads = threads
			return InMemory(context.Background(), r, tokenizer.Bytes{}, o)
		}
		set, r, err := run(1)
		if err != nil {
			if !errors.Is(err, corpus.ErrCorpus) {
				t.Fatal(err)
			}
			return
		}
		if r.Documents+r.Unchosen+r.HeldAgain+r.Duplicates != r.Read || r.Read != r.Reading.Documents || r.Skipped != r.Reading.Skipped+r.Duplicates {
			t.Fatalf("%+v", r)
		}
		given := int64(len(docs))
		if parts[len(parts)-1] == "" { // no document follows a separator at the end
			given--
		}
		if r.Read+r.Reading.Skipped != given {
			t.Fatalf("%d documents in %q: %+v", len(docs), text, r)
		}
		if r.Tokens != int64(set.Train.Len()+set.Val.Len()) || r.Documents-r.NoTokens != int64(set.Train.Documents()+set.Val.Documents()) {
			t.Fatalf("%+v", r)
		}
		again, r2, err := run(3)
		if err != nil || r2.TextSHA256 != r.TextSHA256 || !slices.Equal(texts(t, set.Train), texts(t, again.Train)) || !slices.Equal(texts(t, set.Val), texts(t, again.Val)) {
			t.Fatalf("three threads differ from one: %v", err)
		}
	})
}

func TestCharacters(t *testing.T) {
	root := write(t, map[string]string{"a.txt": "abé\n", "b.txt": "ba漢"})
	got, err := Characters(open(t, corpus.DefaultOptions(), root))
	if err != nil {
		t.Fatal(err)
	}
	want, err := tokenizer.NewChars([]byte("abé\n漢"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := got.JSON()
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("another vocabulary")
	}
}
