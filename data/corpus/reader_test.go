package corpus

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

// readAll returns the documents of paths, pieces joined, and the report.
func readAll(paths []string, o Options, stdin io.Reader) (docs []string, r Report, err error) {
	reader, err := Open(paths, o, stdin)
	if err != nil {
		return nil, r, err
	}
	defer reader.Close()
	open := false
	for {
		d, err := reader.Next()
		if errors.Is(err, io.EOF) {
			if open {
				return docs, r, errors.New("the last document does not end")
			}
			return docs, reader.Report(), nil
		}
		if err != nil {
			return docs, reader.Report(), err
		}
		if len(d.Text) > PieceBytes*3 { // mending may lengthen a piece
			return docs, r, fmt.Errorf("a piece of %d bytes", len(d.Text))
		}
		switch {
		case d.First == open:
			return docs, r, fmt.Errorf("document %d: first is %v inside %v", len(docs), d.First, open)
		case d.First:
			docs = append(docs, string(d.Text))
		default:
			docs[len(docs)-1] += string(d.Text)
		}
		open = !d.Last
	}
}

func mustRead(t *testing.T, o Options, paths ...string) ([]string, Report) {
	t.Helper()
	docs, r, err := readAll(paths, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return docs, r
}

func gz(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, text)
	w.Close()
	return b.String()
}

func zst(text string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(text), nil))
}

type parquetRow struct {
	ID   int64   `parquet:"id"`
	Text *string `parquet:"text,optional"`
	In   struct {
		Body string `parquet:"body"`
	} `parquet:"in"`
	Tags []string `parquet:"tags"`
}

func parquetFile(t *testing.T, texts ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.MaxRowsPerRowGroup(100), parquet.Compression(&parquet.Zstd))
	for i, text := range texts {
		row := parquetRow{ID: int64(i), Tags: []string{"a", "b"}}
		if row.In.Body = "body of " + text; text != "NULL" {
			row.Text = &text
		}
		if _, err := w.Write([]parquetRow{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormatsAndPacking(t *testing.T) {
	texts := []string{"first\n", "second: ünï", strings.Repeat("third ", 100)}
	lines := `{"text":"first\n"}` + "\n" + `{"id":[1,{"text":"no"}],"text":"second: \u00fcn\u00ef"}` + "\r\n\n" + `{"text":"` + texts[2] + `"}`
	parquets := parquetFile(t, texts...)
	root := tree(t, map[string]string{
		"a.txt": strings.Join(texts, "<end>"), "a.txt.gz": gz(strings.Join(texts, "<end>")), "b.md.zst": zst(strings.Join(texts, "<end>") + "<end>"),
		"c.jsonl": lines, "d.jsonl.gz": gz(lines), "e.ndjson.zst": zst(lines),
		"f.parquet": parquets, "g.parquet.gz": gz(parquets), "h.parquet.zst": zst(parquets),
		"two.gz": gz("first\n<end>second: ") + gz("ünï<end>"+texts[2]), // two members are one file
	})
	o := DefaultOptions()
	o.Separator = "<end>"
	for _, name := range []string{"a.txt", "a.txt.gz", "b.md.zst", "c.jsonl", "d.jsonl.gz", "e.ndjson.zst", "f.parquet", "g.parquet.gz", "h.parquet.zst", "two.gz"} {
		docs, r := mustRead(t, o, filepath.Join(root, name))
		if diff := cmp.Diff(texts, docs); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if r.Documents != 3 || r.Files != 1 || r.Skipped != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	docs, r := mustRead(t, o, root)
	if len(docs) != 27 || r.Files != 9 { // two.gz has no name of a text
		t.Errorf("the folder: %d documents of %d files", len(docs), r.Files)
	}
	docs, _ = mustRead(t, o, filepath.Join(root, "[ab].*"), filepath.Join(root, "c.jsonl"))
	if len(docs) != 12 {
		t.Errorf("the pattern: %d documents", len(docs))
	}
	for format, text := range map[string]string{Text: strings.Join(texts, "<end>"), JSONL: lines, Parquet: parquets} {
		for _, packed := range []string{text, gz(text), zst(text)} {
			o.Format = format
			docs, _, err := readAll([]string{"-"}, o, strings.NewReader(packed))
			if diff := cmp.Diff(texts, docs); diff != "" || err != nil {
				t.Errorf("%s from standard input: %v %s", format, err, diff)
			}
		}
	}
	o = DefaultOptions()
	o.Column = "in.body"
	docs, _ = mustRead(t, o, filepath.Join(root, "f.parquet"))
	if len(docs) != 3 || docs[0] != "body of first\n" {
		t.Errorf("a column in a group: %q", docs)
	}
}

func TestParquetGroupsAndNulls(t *testing.T) {
	var texts, want []string
	for i := range 1000 {
		texts = append(texts, fmt.Sprint("document ", i))
	}
	texts[7], texts[500] = "NULL", ""
	for _, text := range texts {
		if text != "NULL" && text != "" {
			want = append(want, text)
		}
	}
	path := filepath.Join(tree(t, map[string]string{"a.parquet": parquetFile(t, texts...)}), "a.parquet")
	docs, r := mustRead(t, DefaultOptions(), path)
	if diff := cmp.Diff(want, docs); diff != "" {
		t.Error(diff)
	}
	if r.Cases[CaseBadLine].Places != 1 || r.Cases[CaseEmpty].Places != 1 || r.Skipped != 2 {
		t.Errorf("%+v", r)
	}
	o := DefaultOptions()
	o.BadLine = Fail
	if _, _, err := readAll([]string{path}, o, nil); err == nil || !strings.Contains(err.Error(), "a.parquet: row 8: the text is null") {
		t.Error(err)
	}
	for column, says := range map[string]string{"none": `no column "none"`, "id": "holds no text", "tags": "holds no text", "in": "no column"} {
		o.Column = column
		if _, _, err := readAll([]string{path}, o, nil); !errors.Is(err, ErrCorpus) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", column, err)
		}
	}
}

// Every beginning of packed files and Parquet files, and every byte of a small one changed, ends in documents or an error.
func TestDamagedFiles(t *testing.T) {
	files := map[string]string{
		"a.jsonl.gz": gz(`{"text":"hello world"}`), "a.txt.zst": zst("hello, hello, hello"), "a.parquet": parquetFile(t, "hello", "world"),
	}
	for name, whole := range files {
		check := func(text, what string) {
			o := DefaultOptions()
			o.Format = formatOf(name)
			if _, _, err := readAll([]string{Stdin}, o, strings.NewReader(text)); err != nil && !errors.Is(err, ErrCorpus) {
				t.Fatalf("%s, %s: %v", name, what, err)
			}
		}
		for n := range len(whole) {
			check(whole[:n], fmt.Sprint("cut to ", n))
			changed := []byte(whole)
			changed[n] ^= 0x55
			check(string(changed), fmt.Sprint("byte changed: ", n))
		}
	}
}

func TestPolicies(t *testing.T) {
	root := tree(t, map[string]string{
		"utf8.txt": "good\n--bad \xff\xc3( \xe2\x82\n--good too", "nul.txt": "a\x00b--c", "crlf.txt": "a\r\nb\rc\r\n--d", "bom.txt": "\xEF\xBB\xBFa--b\xEF\xBB\xBF",
		"empty.txt": "", "some.txt": "a----b--", "bad.jsonl": "{\"text\":\"a\"}\n{\"text\":1}\n{\"text\":\"\\ud800b\"}\n\xEF\xBB\xBF{}\n",
		"giant.jsonl": `{"text":"` + strings.Repeat("x", 300) + "\"}\n" + `{"text":"small"}`,
	})
	for _, tc := range []struct {
		file   string
		c      Case
		policy Policy
		want   []string
		places int64
		says   string
	}{
		{"utf8.txt", CaseInvalidUTF8, Replace, []string{"good\n", "bad ��( �\n", "good too"}, 3, ""},
		{"utf8.txt", CaseInvalidUTF8, Keep, []string{"good\n", "bad \xff\xc3( \xe2\x82\n", "good too"}, 3, ""},
		{"utf8.txt", CaseInvalidUTF8, Skip, []string{"good\n", "good too"}, 3, ""},
		{"utf8.txt", CaseInvalidUTF8, Fail, []string{"good\n"}, 0, "utf8.txt: byte 11: byte 0xff is not UTF-8 here"},
		{"nul.txt", CaseNUL, Keep, []string{"a\x00b", "c"}, 1, ""},
		{"nul.txt", CaseNUL, Replace, []string{"a�b", "c"}, 1, ""},
		{"nul.txt", CaseNUL, Skip, []string{"c"}, 1, ""},
		{"nul.txt", CaseNUL, Fail, nil, 0, "nul.txt: byte 1: a NUL"},
		{"crlf.txt", CaseCRLF, Keep, []string{"a\r\nb\rc\r\n", "d"}, 2, ""},
		{"crlf.txt", CaseCRLF, Replace, []string{"a\nb\rc\n", "d"}, 2, ""},
		{"crlf.txt", CaseCRLF, Skip, []string{"d"}, 2, ""},
		{"crlf.txt", CaseCRLF, Fail, nil, 0, "crlf.txt: byte 1: a line"},
		{"bom.txt", CaseBOM, Keep, []string{"\uFEFFa", "b\uFEFF"}, 1, ""},
		{"bom.txt", CaseBOM, Replace, []string{"a", "b\uFEFF"}, 1, ""},
		{"bom.txt", CaseBOM, Skip, nil, 1, ""},
		{"bom.txt", CaseBOM, Fail, nil, 0, "bom.txt: a byte order mark"},
		{"empty.txt", CaseEmpty, Skip, nil, 1, ""},
		{"empty.txt", CaseEmpty, Fail, nil, 0, "empty.txt: the file is empty"},
		{"some.txt", CaseEmpty, Skip, []string{"a", "b"}, 1, ""},
		{"some.txt", CaseEmpty, Fail, []string{"a"}, 0, "some.txt: byte 3: an empty document"},
		{"bad.jsonl", CaseBadLine, Skip, []string{"a", "�b"}, 2, ""},
		{"bad.jsonl", CaseBadLine, Fail, []string{"a"}, 0, `bad.jsonl: line 2: field "text" is a number, not a string`},
		{"bad.jsonl", CaseInvalidUTF8, Skip, []string{"a"}, 1, ""},
		{"bad.jsonl", CaseInvalidUTF8, Fail, []string{"a"}, 0, "line 3: an escape that is half a surrogate pair"},
		{"giant.jsonl", CaseGiantLine, Skip, []string{"small"}, 1, ""},
		{"giant.jsonl", CaseGiantLine, Fail, nil, 0, "giant.jsonl: line 1: the line is longer than 100 bytes"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", tc.file, tc.c, tc.policy), func(t *testing.T) {
			o := DefaultOptions()
			o.Separator, o.MaxLine = "--", 100
			o.SetPolicy(tc.c, tc.policy)
			docs, r, err := readAll([]string{filepath.Join(root, tc.file)}, o, nil)
			if diff := cmp.Diff(tc.want, docs); diff != "" {
				t.Error(diff)
			}
			if tc.says != "" {
				var fault *Error
				if !errors.As(err, &fault) || !strings.Contains(err.Error(), tc.says) || fault.Fix == "" {
					t.Errorf("%v, want %q", err, tc.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Cases[tc.c]; got.Places != tc.places || got.Policy != tc.policy || got.Case != tc.c.String() {
				t.Errorf("%+v, want %d places", got, tc.places)
			}
			skipped := int64(0)
			for _, c := range r.Cases {
				if c.Policy == Skip {
					skipped += c.Docs
				}
			}
			if r.Skipped != skipped {
				t.Errorf("%d skipped, the cases say %d", r.Skipped, skipped)
			}
		})
	}
}

// TestLongDocuments: pieces add up to the document, wherever its line ends and separators lie.
func TestLongDocuments(t *testing.T) {
	word := strings.Repeat("abcdefghiü", PieceBytes/10) // longer than a piece, without a line end
	lines := strings.Repeat("a line of text\r\n", PieceBytes/7)
	for name, docs := range map[string][]string{
		"one giant word": {word}, "lines": {lines}, "both": {word + lines, "small", lines + word},
		"just a piece": {strings.Repeat("x", PieceBytes), "y"}, "a byte more": {strings.Repeat("x", PieceBytes+1), "y"},
		"bytes that are no text": {strings.Repeat("\x80", PieceBytes+9)},
	} {
		o := DefaultOptions()
		o.Separator, o.InvalidUTF8 = "<|sep|>", Keep
		root := tree(t, map[string]string{"a.txt": strings.Join(docs, o.Separator)})
		got, _ := mustRead(t, o, filepath.Join(root, "a.txt"))
		if !cmp.Equal(got, docs) {
			t.Errorf("%s: %d documents, want %d, or other text", name, len(got), len(docs))
		}
	}
	// A piece that is left out takes neither the document's beginning nor its end along.
	o := DefaultOptions()
	o.InvalidUTF8 = Skip
	good := strings.Repeat("x", PieceBytes-1) + "\n"
	bad := strings.Repeat("\xff", PieceBytes-1) + "\n"
	for name, want := range map[string]string{bad + good + "end": good + "end", good + bad + "\xff": good, good + bad + "end": good + "end"} {
		root := tree(t, map[string]string{"a.txt": name})
		if got, _ := mustRead(t, o, filepath.Join(root, "a.txt")); len(got) != 1 || got[0] != want {
			t.Errorf("%d documents", len(got))
		}
	}
}

// TestSeparatorsAnywhere compares with strings.Split on small texts and small reads.
func TestSeparatorsAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab\n]{0,40}`).Draw(t, "text")
		o := DefaultOptions()
		o.Format, o.Separator = Text, rapid.StringMatching(`[ab\n]{1,3}`).Draw(t, "separator")
		docs, _, err := readAll([]string{Stdin}, o, iotestOneByte{strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, d := range strings.Split(text, o.Separator) {
			if d != "" {
				want = append(want, d)
			}
		}
		if !cmp.Equal(docs, want) {
			t.Fatalf("%q, want %q", docs, want)
		}
	})
}

type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestWeights(t *testing.T) {
	root := tree(t, map[string]string{"a.txt": "a", "b=2.txt": "b", "c": "c"})
	path := func(name string) string { return filepath.Join(root, name) }
	docs, r := mustRead(t, DefaultOptions(), path("a.txt")+"=2", path("b=2.txt"), path("c")+"=1")
	if strings.Join(docs, "") != "aabc" || r.Repeated != 1 || r.Documents != 3 {
		t.Errorf("%q, %+v", docs, r)
	}
	reader, err := Open([]string{path("a.txt") + "=2.25"}, DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for pass, share := range []float64{1, 1, 0.25} {
		if d, err := reader.Next(); err != nil || d.Pass != pass || d.Share != share {
			t.Errorf("%+v, %v", d, err)
		}
	}
	for _, bad := range []string{path("a.txt") + "=0", path("a.txt") + "=-1", path("a.txt") + "=NaN", path("a.txt") + "=1e9", "-=2"} {
		if _, err := Open([]string{bad}, DefaultOptions(), nil); !errors.Is(err, ErrCorpus) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := Open([]string{"-", "-"}, DefaultOptions(), nil); !errors.Is(err, ErrCorpus) {
		t.Error(err)
	}
}

// TestMemoryIsFlat: a text of 100 pieces costs no more than one of few.
func TestMemoryIsFlat(t *testing.T) {
	line := strings.Repeat("word ", 200) + "\n"
	o := DefaultOptions()
	o.Format = Text
	reader, err := Open([]string{Stdin}, o, io.LimitReader(repeating(line), 100*PieceBytes))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for {
		d, err := reader.Next()
		if err != nil {
			break
		}
		total += len(d.Text)
	}
	if total != 100*PieceBytes {
		t.Errorf("%d bytes", total)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 10*PieceBytes {
		t.Errorf("%d bytes were allocated on the way", n)
	}
}

type repeating string

func (r repeating) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], r[n%len(r):])
	}
	return n, nil
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(o *Options){
		"format": func(o *Options) { o.Format = "csv" }, "field": func(o *Options) { o.Field = "" }, "line": func(o *Options) { o.MaxLine = 0 },
		"policy": func(o *Options) { o.NUL = "drop" }, "policy of the case": func(o *Options) { o.BadLine = Replace },
		"separator": func(o *Options) { o.Separator = strings.Repeat("x", 5000) },
	} {
		o := DefaultOptions()
		change(&o)
		if _, err := Open([]string{os.DevNull}, o, nil); !errors.Is(err, ErrCorpus) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
