package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// robustness returns the folder of made-up broken files of one kind.
func robustness(t *testing.T, kind string) string {
	t.Helper()
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set: the files are not committed")
	}
	return filepath.Join(shared, "data", "robustness", kind)
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// TestTextManifest: every byte is kept where bytes are asked for; else bad UTF-8 is refused at its byte or replaced by
// the stated rule, and the count says so.
func TestTextManifest(t *testing.T) {
	folder := robustness(t, "text")
	var manifest struct {
		Cases []struct {
			File   string
			SHA256 string
			Valid  bool `json:"valid_utf8"`
			Size   int64
		}
		Generated []struct {
			Name, Unit, Tail, SHA256 string
			Times                    int
		}
	}
	readJSON(t, filepath.Join(folder, "manifest.json"), &manifest)
	check := func(path, sum string, valid bool, size int64) {
		o := DefaultOptions()
		o.InvalidUTF8, o.BOM = Keep, Keep
		docs, _ := mustRead(t, o, path)
		got := sha256.Sum256([]byte(strings.Join(docs, "")))
		if hex.EncodeToString(got[:]) != sum || len(docs) != int(min(size, 1)) {
			t.Errorf("%s: %d documents, another text", path, len(docs))
		}
		docs, r := mustRead(t, DefaultOptions(), path)
		for _, d := range docs {
			if !utf8.ValidString(d) {
				t.Errorf("%s: text that is not UTF-8 came out", path)
			}
		}
		if (r.Cases[CaseInvalidUTF8].Places > 0) == valid {
			t.Errorf("%s: %+v", path, r.Cases)
		}
		o.InvalidUTF8 = Fail
		_, _, err := readAll([]string{path}, o, nil)
		if valid != (err == nil) || err != nil && !errors.Is(err, ErrCorpus) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, c := range manifest.Cases {
		check(filepath.Join(folder, c.File), c.SHA256, c.Valid, c.Size)
	}
	for _, g := range manifest.Generated {
		path := filepath.Join(t.TempDir(), g.Name+".txt")
		if err := os.WriteFile(path, []byte(strings.Repeat(g.Unit, g.Times)+g.Tail), 0o644); err != nil {
			t.Fatal(err)
		}
		check(path, g.SHA256, true, 1)
	}
	if len(manifest.Cases) < 10 || len(manifest.Generated) < 2 {
		t.Errorf("%d and %d cases", len(manifest.Cases), len(manifest.Generated))
	}
}

// TestUTF8Stress holds the replacement to Unicode's rule through an independent route: a decoder of code points by the
// book, table 3-7 written as ranges.
func TestUTF8Stress(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(robustness(t, "utf8"), "UTF-8-test.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(appendValid(nil, text)), replaceByRanges(text); got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

// TestReplacementRule is Unicode's own example (§3.9, table 3-8 to 3-11).
func TestReplacementRule(t *testing.T) {
	for in, parts := range map[string]int{
		"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82A": 8, "\xED\xA0\x80\xED\xBF\xBF\xED\xAFA": 8, "\xF4\x91\x92\x93\xFFA\x80\xBFB": 7,
		"\xE1\x80\xE2\xF0\x91\x92\xF1\xBFA": 4, "\xE2\x82": 1, "\xF0\x9F\x98": 1, "a\xC2": 1,
	} {
		if got, _ := countInvalid([]byte(in)); got != parts {
			t.Errorf("% x: %d parts, want %d", in, got, parts)
		}
		if got, want := string(appendValid(nil, []byte(in))), replaceByRanges([]byte(in)); got != want {
			t.Errorf("% x: %q, want %q", in, got, want)
		}
	}
}

// replaceByRanges decodes by table 3-7 of the Unicode standard, row by row.
func replaceByRanges(text []byte) string {
	rows := [][][2]byte{
		{{0x00, 0x7F}},
		{{0xC2, 0xDF}, {0x80, 0xBF}},
		{{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
		{{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
		{{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}},
	}
	var b strings.Builder
	for len(text) > 0 {
		best, whole := 1, false
		for _, row := range rows {
			n := 0
			for n < len(row) && n < len(text) && text[n] >= row[n][0] && text[n] <= row[n][1] {
				n++
			}
			if n > best || n == len(row) {
				best = max(best, n)
				whole = whole || n == len(row)
			}
		}
		if whole {
			b.Write(text[:best])
		} else {
			b.WriteString("\uFFFD")
		}
		text = text[best:]
	}
	return b.String()
}

// TestJSONLManifest: lines that are no JSON objects of text are left out and counted, or refused by their number. What
// the manifest refuses for the sense of a quiz question (its answer, its choices) is no matter of a corpus.
func TestJSONLManifest(t *testing.T) {
	folder := robustness(t, "jsonl")
	var manifest struct {
		Cases []struct {
			File  string
			Items []string
		}
	}
	readJSON(t, filepath.Join(folder, "manifest.json"), &manifest)
	sense := []string{"missing-answer.jsonl", "answer-not-a-label.jsonl", "empty-choices.jsonl", "choice-count-mismatch.jsonl", "choices-string.jsonl"}
	for _, c := range manifest.Cases {
		o := DefaultOptions()
		o.Field = "question"
		path := filepath.Join(folder, c.File)
		docs, r := mustRead(t, o, path)
		var accepted, refused, either, firstBad int
		for i, verdict := range c.Items {
			switch {
			case verdict == "any":
				either++
			case verdict == "accept" || slices.Contains(sense, c.File):
				accepted++
			default:
				if refused++; firstBad == 0 {
					firstBad = i + 1
				}
			}
		}
		if got := len(docs); got < accepted || got > accepted+either {
			t.Errorf("%s: %d documents, want %d", c.File, got, accepted)
		}
		if got := int(r.Cases[CaseBadLine].Places); got < refused || got > refused+either {
			t.Errorf("%s: %d bad lines, want %d", c.File, got, refused)
		}
		o.BadLine = Fail
		_, _, err := readAll([]string{path}, o, nil)
		if either == 0 && (err != nil) != (refused > 0) {
			t.Errorf("%s: %v", c.File, err)
		}
		var fault *Error
		if refused > 0 && (!errors.As(err, &fault) || fault.Path != path || fault.Line != int64(firstBad)) {
			t.Errorf("%s: %v, want line %d", c.File, err, firstBad)
		}
	}
	if len(manifest.Cases) < 20 {
		t.Errorf("%d cases", len(manifest.Cases))
	}
}

// TestJSONSuite: y_ files parse, though most are no objects; n_ files do not; i_ files may do either.
func TestJSONSuite(t *testing.T) {
	folder := robustness(t, "json")
	files, err := os.ReadDir(folder)
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = textOf(text, "text")
		noJSON := err != nil && (strings.Contains(err.Error(), "not JSON") || strings.Contains(err.Error(), "not UTF-8"))
		if f.Name()[0] == 'y' && noJSON || f.Name()[0] == 'n' && !noJSON {
			t.Errorf("%s: %v", f.Name(), err)
		}
		if f.Name()[0] == 'y' { // and as a value beside the text
			line := slices.Concat([]byte(`{"a":`), text, []byte(`,"text":"here"}`))
			if got, _, err := textOf(line, "text"); err != nil || string(got) != "here" {
				t.Errorf("%s as a value: %q, %v", f.Name(), got, err)
			}
		}
	}
}
