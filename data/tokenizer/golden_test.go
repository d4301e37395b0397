package tokenizer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shared returns a file of the shared test data, whose folder MMFREE_SHARED names; without it the test is skipped.
func shared(t testing.TB, path string) []byte {
	t.Helper()
	top := os.Getenv("MMFREE_SHARED")
	if top == "" {
		t.Skip("MMFREE_SHARED does not name the shared test data")
	}
	data, err := os.ReadFile(filepath.Join(top, "data", path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sharedModel reads a .model of the shared test data.
func sharedModel(t testing.TB, name string) *SentencePiece {
	t.Helper()
	s, err := ParseModel(shared(t, "tokenizers/"+name+"/tokenizer.model"), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// goldenFile is a file of reference encodings.
type goldenFile struct {
	Cases []struct {
		Text string
		IDs  []int32
	}
	WholeFiles []struct {
		File      string
		Tokens    int
		IDsSHA256 string  `json:"ids_sha256"`
		First16   []int32 `json:"first_16"`
		Last16    []int32 `json:"last_16"`
	} `json:"whole_files"`
}

func readGolden(t testing.TB, name string) (g goldenFile) {
	t.Helper()
	if err := json.Unmarshal(shared(t, "tokenizers/golden/"+name+".json"), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// checkGolden compares a tokenizer with every reference encoding and decodes each back.
func checkGolden(t *testing.T, tok Codec, g goldenFile) {
	t.Helper()
	for _, c := range g.Cases {
		got, err := tok.Encode(nil, []byte(c.Text))
		if err != nil || !slices.Equal(got, c.IDs) {
			t.Errorf("%q:\ngot  %v, %v\nwant %v", c.Text, got, err, c.IDs)
		}
		back, err := tok.Decode(nil, got)
		if err != nil || string(back) != c.Text {
			t.Errorf("%q came back as %q, %v", c.Text, back, err)
		}
	}
	for _, f := range g.WholeFiles {
		text := shared(t, f.File)
		got, err := tok.Encode(nil, text)
		if err != nil || len(got) != f.Tokens {
			t.Errorf("%s: %d ids, %v; want %d", f.File, len(got), err, f.Tokens)
			continue
		}
		sum := sha256.New()
		binary.Write(sum, binary.LittleEndian, got)
		if hex.EncodeToString(sum.Sum(nil)) != f.IDsSHA256 || !slices.Equal(got[:16], f.First16) || !slices.Equal(got[len(got)-16:], f.Last16) {
			t.Errorf("%s: other ids", f.File)
		}
		if back, err := tok.Decode(nil, got); err != nil || string(back) != string(text) {
			t.Errorf("%s came back otherwise, %v", f.File, err)
		}
	}
}

func TestGoldenSentencePiece(t *testing.T) {
	for _, name := range []string{"llama-2", "mistral-7b-v0.1"} {
		t.Run(name, func(t *testing.T) { checkGolden(t, sharedModel(t, name), readGolden(t, name)) })
	}
	t.Run("tok512", func(t *testing.T) {
		tok := sharedModel(t, "tok512")
		for _, c := range readGolden(t, "tok512").Cases {
			got, err := tok.EncodeSpecial(nil, []byte(c.Text))
			if err != nil || !slices.Equal(got, c.IDs) {
				t.Errorf("%q:\ngot  %v, %v\nwant %v", c.Text, got, err, c.IDs)
			}
		}
	})
	t.Run("llama.cpp", func(t *testing.T) { checkPairs(t, sharedModel(t, "llama-2"), "llama.cpp-llama-spm") })
}

// checkPairs compares with a pair of files: texts, and Hugging Face's ids of each on a line.
func checkPairs(t *testing.T, tok Codec, name string) {
	t.Helper()
	texts := strings.Split(strings.TrimSuffix(string(shared(t, "tokenizers/golden/"+name+".inp")), "\n__ggml_vocab_test__\n"), "\n__ggml_vocab_test__\n")
	lines := strings.Split(strings.TrimSuffix(string(shared(t, "tokenizers/golden/"+name+".out")), "\n"), "\n")
	if len(texts) != len(lines) {
		t.Fatalf("%d texts, %d lines of ids", len(texts), len(lines))
	}
	for i, text := range texts {
		var want []int32
		if err := json.Unmarshal([]byte("["+strings.Join(strings.Fields(lines[i]), ",")+"]"), &want); err != nil {
			t.Fatal(err)
		}
		if got, err := tok.Encode(nil, []byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q:\ngot  %v, %v\nwant %v", text, got, err, want)
		}
	}
}

func TestGoldenBytePairs(t *testing.T) {
	file := shared(t, "tokenizers/gpt2/tokenizer.json")
	tok, err := Parse(file, "gpt2")
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, tok, readGolden(t, "gpt2"))
	checkPairs(t, tok, "llama.cpp-gpt-2")
	if ids, err := tok.Encode(nil, []byte("a<|endoftext|>b")); err != nil || !slices.Equal(ids, []int32{64, 50256, 65}) {
		t.Errorf("a special token in the text: %v, %v", ids, err)
	}
	if back, err := tok.Decode(nil, []int32{64, 50256, 65}); err != nil || string(back) != "ab" {
		t.Errorf("a special token decoded: %q, %v", back, err)
	}
	again, err := tok.JSON()
	if err != nil || string(again) != string(file) {
		t.Errorf("the file comes back otherwise, %v", err)
	}
}

// TestOpen: every form of a tokenizer gives the same ids.
func TestOpen(t *testing.T) {
	shared(t, "tokenizers/gpt2/merges.txt")
	dir := filepath.Join(os.Getenv("MMFREE_SHARED"), "data", "tokenizers")
	text := []byte("It's 3 o'clock, <|endoftext|> naïve — 日本語.\n\n  x")
	for _, group := range [][]string{
		{"gpt2/tokenizer.json", "gpt2/vocab.json", "gpt2/merges.txt", "gpt2"},
		{"llama-2/tokenizer.model", "llama-2"},
	} {
		var want []int32
		for _, path := range group {
			tok, err := Open(filepath.Join(dir, path))
			if err != nil {
				t.Fatal(err)
			}
			ids, err := tok.Encode(nil, text)
			if err != nil || len(ids) == 0 {
				t.Fatalf("%s: %v, %v", path, ids, err)
			}
			if want == nil {
				want = ids
			}
			if !slices.Equal(ids, want) {
				t.Errorf("%s gives %v, want %v", path, ids, want)
			}
		}
	}
	for path, want := range map[string]string{
		"gpt2/ggml-vocab-gpt-2.gguf": "GGUF", "nowhere": "cannot be read", "golden/llama-2.json": "merges.txt",
	} {
		if _, err := Open(filepath.Join(dir, path)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestStress: malformed UTF-8 has a meaning everywhere: bytes for byte-level BPE, U+FFFD for SentencePiece.
func TestStress(t *testing.T) {
	shared(t, "robustness/utf8/UTF-8-test.txt")
	text := shared(t, "robustness/utf8/UTF-8-test.txt")
	tok, err := Parse(shared(t, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := tok.Decode(nil, ids); err != nil || string(back) != string(text) {
		t.Errorf("byte-level BPE changes it, %v", err)
	}
	for _, name := range []string{"llama-2", "mistral-7b-v0.1"} {
		tok := sharedModel(t, name)
		ids, err := tok.Encode(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		valid, _ := validUTF8(nil, text)
		if back, err := tok.Decode(nil, ids); err != nil || string(back) != string(valid) {
			t.Errorf("%s: not the text with U+FFFD for what is no UTF-8, %v", name, err)
		}
	}
}

// BenchmarkEncode prints MB/s of one thread on real text.
func BenchmarkEncode(b *testing.B) {
	gpt2, err := Parse(shared(b, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		b.Fatal(err)
	}
	for name, tok := range map[string]Codec{"gpt2": gpt2, "llama-2": sharedModel(b, "llama-2")} {
		for _, corpus := range []string{"tinyshakespeare.txt", "tinystories-train-sample.txt", "enwik6.txt"} {
			text := shared(b, "corpora/"+corpus)
			b.Run(name+"/"+corpus, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				var ids []int32
				for b.Loop() {
					ids, _ = tok.Encode(ids[:0], text)
				}
			})
		}
	}
}
