package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"
)

// FuzzJSONL holds the JSONL reader to Go's own: each line that is not blank is a document, an empty one, or a bad line.
func FuzzJSONL(f *testing.F) {
	for _, seed := range []string{
		"", "\n", `{"text":"a"}`, "{\"text\":\"a\\n\\u00e9\\ud83d\\ude00\"}\r\n\n{\"text\":null}", `{"a":{"text":"no","b":[1,"]}",{}]},"te\u0078t":"yes","text":"last"}`,
		"\xEF\xBB\xBF{\"text\":\"\"}", `{"text":"\ud800"}`, `["text"]`, `{"text":"a"}{"text":"b"}`, "{\"text\":\"\xff\"}", "\x1f\x8b\x08", "{\"text\":\"\x00\"}",
		"{}\n{\"text\":1e5}\n \t\r\n{\"text\":\"\\\\\"}", `{"text":"\ud800\u0041\udc00\\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o := DefaultOptions()
		o.Format, o.MaxLine = JSONL, 1<<20
		docs, r, err := readAll([]string{Stdin}, o, bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrCorpus) {
				t.Fatal(err)
			}
			return
		}
		if bytes.HasPrefix(text, []byte{0x1f, 0x8b}) || bytes.HasPrefix(text, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			return // packed
		}
		var want []string
		var bad, blank, empty int64
		for line := range bytes.Lines(bytes.TrimPrefix(text, []byte(byteOrderMark))) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if len(bytes.Trim(line, " \t\r")) == 0 {
				blank++
				continue
			}
			var object map[string]json.RawMessage
			var s *string
			if !utf8.Valid(line) || json.Unmarshal(line, &object) != nil || object == nil || json.Unmarshal(object["text"], &s) != nil || s == nil {
				bad++
				continue
			}
			if *s == "" {
				empty++
				continue
			}
			want = append(want, *s)
		}
		if r.Cases[CaseBadLine].Places != bad || r.Blank != blank {
			t.Fatalf("%d bad lines, %d blank, want %d and %d", r.Cases[CaseBadLine].Places, r.Blank, bad, blank)
		}
		if len(text) > 0 && r.Cases[CaseEmpty].Places != empty {
			t.Fatalf("%d empty documents, want %d", r.Cases[CaseEmpty].Places, empty)
		}
		if len(docs) != len(want) {
			t.Fatalf("%d documents, want %d", len(docs), len(want))
		}
		for i := range want {
			if docs[i] != want[i] {
				t.Fatalf("document %d: %q, want %q", i, docs[i], want[i])
			}
		}
	})
}
