package tokenizer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
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

// goldenReads are the names of the goldens that were read so far.
var goldenReads = map[string]bool{}

// golden returns a file of reference encodings.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	goldenReads[name] = true
	return shared(t, "tokenizers/golden/"+name)
}

// Every file of reference encodings in the shared test data is compared with; one that no test reads is a failure.
func TestGolden(t *testing.T) {
	tests := map[string]func(*testing.T){"SentencePiece": goldenSentencePiece, "GPT2": goldenGPT2, "Marked": goldenMarked, "Chat": goldenChat}
	ran := 0
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test(t)
			ran++
		})
	}
	if ran < len(tests) {
		return // not all were asked for, or a failure is reported above
	}
	files, err := os.ReadDir(filepath.Join(os.Getenv("MMFREE_SHARED"), "data", "tokenizers", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !goldenReads[f.Name()] {
			t.Errorf("no test reads %s", f.Name())
		}
	}
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
	if err := json.Unmarshal(golden(t, name+".json"), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// checkGolden compares a tokenizer with every reference encoding and decodes each back.
func checkGolden(t *testing.T, tok Tokenizer, g goldenFile) {
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

func goldenSentencePiece(t *testing.T) {
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
func checkPairs(t *testing.T, tok Tokenizer, name string) {
	t.Helper()
	texts := strings.Split(strings.TrimSuffix(string(golden(t, name+".inp")), "\n__ggml_vocab_test__\n"), "\n__ggml_vocab_test__\n")
	lines := strings.Split(strings.TrimSuffix(string(golden(t, name+".out")), "\n"), "\n")
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

func goldenGPT2(t *testing.T) {
	tok, err := Parse(shared(t, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, tok, readGolden(t, "gpt2"))
	checkPairs(t, tok, "llama.cpp-gpt-2")
	text := "a<|endoftext|>b"
	if got, err := tok.Encode(nil, []byte(text)); err != nil || !slices.Equal(got, []int32{64, 50256, 65}) || tok.Specials().EOS != 50256 {
		t.Errorf("%q: %v, %v, %+v", text, got, err, tok.Specials())
	}
	fromParts, err := FromMerges(shared(t, "tokenizers/gpt2/vocab.json"), shared(t, "tokenizers/gpt2/merges.txt"), "gpt2")
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, fromParts, readGolden(t, "gpt2"))
}

// A UTF-8 stress text: byte-level ids give back every byte, SentencePiece ids what it says of bytes that are no UTF-8.
func TestStress(t *testing.T) {
	gpt2, err := Parse(shared(t, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		t.Fatal(err)
	}
	text := shared(t, "robustness/utf8/UTF-8-test.txt")
	valid, _ := validUTF8(nil, text)
	for _, tok := range []Tokenizer{gpt2, sharedModel(t, "llama-2"), sharedModel(t, "mistral-7b-v0.1")} {
		ids, err := tok.Encode(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		want := text
		if tok.Name() == sentencePieceName {
			want = valid
		}
		if back, err := tok.Decode(nil, ids); err != nil || string(back) != string(want) {
			t.Errorf("%s: came back otherwise, %v", tok.Name(), err)
		}
	}
}

// A model's tokenizer.json gives the same ids as its .model file.
func TestModelJSON(t *testing.T) {
	for _, name := range []string{"llama-2", "mistral-7b-v0.1", "tok512"} {
		s := sharedModel(t, name)
		file, err := s.JSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(file, name)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.JSON()
		if err != nil || string(again) != string(file) || back.Specials() != s.Specials() {
			t.Errorf("%s: another file or other specials, %v", name, err)
		}
		text := shared(t, "corpora/multilingual/udhr_jpn.txt")
		want, _ := s.EncodeSpecial(nil, text)
		if got, err := back.EncodeSpecial(nil, text); err != nil || !slices.Equal(got, want) || got[0] != 1 {
			t.Errorf("%s: other ids, %v", name, err)
		}
	}
}

// llama2.c's binary form gives the ids of the .model that it was made from, where that normalizes nothing.
func TestBinary(t *testing.T) {
	tok, err := ParseBinary(shared(t, "tokenizers/llama-2/tokenizer.bin"), "tokenizer.bin")
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, tok, readGolden(t, "llama-2"))
	small, err := ParseBinary(shared(t, "tokenizers/tok512/tokenizer.bin"), "tokenizer.bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range readGolden(t, "tok512").Cases {
		if got, err := small.EncodeSpecial(nil, []byte(c.Text)); err != nil || !slices.Equal(got, c.IDs) {
			t.Errorf("%q:\ngot  %v, %v\nwant %v", c.Text, got, err, c.IDs)
		}
	}
}

// A conversation as mistral-common renders it for its first tokenizer: the pieces between control tokens one by one.
func goldenChat(t *testing.T) {
	var sample struct {
		Messages []struct{ Role, Content string }
	}
	var want struct{ Tokens []int32 }
	err := errors.Join(
		json.Unmarshal(golden(t, "mistral-common-no_tools-sample.json"), &sample),
		json.Unmarshal(golden(t, "mistral-common-no_tools-tokens_v1.json"), &want),
	)
	if err != nil || len(sample.Messages) == 0 {
		t.Fatal(err, "no messages")
	}
	tok := sharedModel(t, "mistral-7b-v0.1")
	ids := []int32{tok.Specials().BOS}
	for _, m := range sample.Messages {
		text := m.Content
		if m.Role == "user" {
			text = "[INST] " + text + " [/INST]"
		}
		if ids, err = tok.Encode(ids, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if m.Role == "assistant" {
			ids = append(ids, tok.Specials().EOS)
		}
	}
	if !slices.Equal(ids, want.Tokens) {
		t.Errorf("got  %v\nwant %v", ids, want.Tokens)
	}
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(tok.model.pieces[id].text)
	}
	if rendered := string(golden(t, "mistral-common-no_tools-text_v1.txt")); text.String() != rendered {
		t.Errorf("the pieces are %q\nwant           %q", &text, rendered)
	}
}

// withoutModel returns the tokenizer.json that Hugging Face's conversion makes of a SentencePiece model.
func withoutModel(t *testing.T, s *SentencePiece) []byte {
	t.Helper()
	file, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(file, &c); err != nil {
		t.Fatal(err)
	}
	delete(c["decoder"].(map[string]any), modelKey)
	if file, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	return file
}

// The tokenizer.json of a model, without the .model inside, is what Hugging Face's conversion gives, and gives its ids.
func goldenMarked(t *testing.T) {
	for _, name := range []string{"llama-2", "mistral-7b-v0.1"} {
		tok, err := Parse(withoutModel(t, sharedModel(t, name)), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := tok.(*Pipeline); !ok {
			t.Fatalf("%s is read as %T", name, tok)
		}
		checkGolden(t, tok, readGolden(t, name))
		if name == "llama-2" {
			checkPairs(t, tok, "llama.cpp-llama-spm")
		}
		if ids, err := tok.EncodeSpecial(nil, []byte("a</s>b")); err != nil || len(ids) != 4 || ids[0] != 1 || ids[2] != 2 {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
}
