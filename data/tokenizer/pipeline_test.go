package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// huggingFace are small tokenizers with random parts, and what Hugging Face's tokenizers 0.23.2 makes of random texts.
func huggingFace(t testing.TB) (all []struct {
	Tokenizer json.RawMessage
	Cases     []struct {
		Text         string
		IDs, Special []int32
		Decoded      *string
		Fails        bool
	}
},
) {
	t.Helper()
	file, err := os.ReadFile("testdata/huggingface.json")
	if err == nil {
		err = json.Unmarshal(file, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every kind of part gives the ids and texts of the library, also among others.
func TestParts(t *testing.T) {
	text := ""
	for i, c := range huggingFace(t) {
		tok, err := Parse(c.Tokenizer, "tokenizer.json")
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		text += string(c.Tokenizer)
		for _, k := range c.Cases {
			got, err := tok.Encode(nil, []byte(k.Text))
			if k.Fails {
				if !errors.Is(err, ErrTokenizer) {
					t.Errorf("%d: %q gives %v, %v; want an error", i, k.Text, got, err)
				}
				continue
			}
			special, err2 := tok.EncodeSpecial(nil, []byte(k.Text))
			if err != nil || err2 != nil || !slices.Equal(got, k.IDs) || !slices.Equal(special, k.Special) {
				t.Errorf("%d: %q:\ngot  %v, %v\nwant %v\nwith special ones %v, %v\nwant %v", i, k.Text, got, err, k.IDs, special, err2, k.Special)
				continue
			}
			if back, err := tok.Decode(nil, got); err != nil || k.Decoded != nil && string(back) != *k.Decoded {
				t.Errorf("%d: %v is %q, %v; want %q", i, got, back, err, *k.Decoded)
			}
		}
	}
	for _, kind := range strings.Fields(`NFC NFD NFKC NFKD Lowercase StripAccents Nmt Strip Prepend Replace Precompiled Sequence
		ByteLevel Metaspace Digits Punctuation Whitespace WhitespaceSplit BertPreTokenizer Split BPE Unigram WordLevel
		Fuse ByteFallback BPEDecoder TemplateProcessing BertProcessing RobertaProcessing`) {
		if !strings.Contains(text, `"type":"`+kind+`"`) {
			t.Errorf("no tokenizer here has a %s", kind)
		}
	}
	for _, setting := range []string{
		`"Removed"`, `"Isolated"`, `"MergedWithPrevious"`, `"MergedWithNext"`, `"Contiguous"`, `"invert":true`, `"first"`, `"never"`, `"always"`,
		`"single_word":true`, `"lstrip":true`, `"rstrip":true`, `"normalized":true`, `"byte_fallback":true`, `"fuse_unk":true`, `"ignore_merges":true`,
	} {
		if !strings.Contains(text, setting) {
			t.Errorf("no tokenizer here has %s", setting)
		}
	}
}

// What is not supported is an error that names it: types, settings, and keys that nobody knows, in any part.
func TestPartsRefused(t *testing.T) {
	file := map[string]string{
		"normalizer": "null", "pre_tokenizer": "null", "post_processor": "null", "decoder": `{"type":"Fuse"}`, "added_tokens": "[]",
		"model": `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"<unk>":3},"merges":["a b"]}`,
	}
	parse := func(part, value string) error {
		var b strings.Builder
		for key, v := range file {
			if key == part {
				v = value
			}
			fmt.Fprintf(&b, ",%q:%s", key, v)
		}
		_, err := Parse([]byte(`{"version":"1.0"`+b.String()+"}"), "some.json")
		return err
	}
	if err := parse("", ""); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", maxPieceBytes+1)
	for _, tc := range [][3]string{
		{"normalizer", `{"type":"BertNormalizer"}`, "unsupported normalizer BertNormalizer"},
		{"normalizer", `{"type":"NFC","form":1}`, `NFC has the unknown key "form"`},
		{"normalizer", `{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"String":"a"},"content":"b","all":true}]}`, `normalizer.1: Replace has the unknown key "all"`},
		{"normalizer", `{"type":"Sequence","normalizers":[null]}`, "normalizer: step 0 is null"},
		{"normalizer", `{"type":"Sequence","normalisers":[]}`, "normalizers of Sequence is <nil>"},
		{"normalizer", `{"type":"Replace","pattern":{"Regex":"a(?=b)"},"content":""}`, "look-around"},
		{"normalizer", `{"type":"Replace","pattern":{"Regex":"a*"},"content":""}`, "matches the empty text"},
		{"normalizer", `{"type":"Replace","pattern":{"String":""},"content":"x"}`, "pattern of Replace is empty"},
		{"normalizer", `{"type":"Precompiled","precompiled_charsmap":"?"}`, "precompiled_charsmap"},
		{"normalizer", `{"type":"Precompiled","precompiled_charsmap":"AAAA"}`, "shorter than its header"},
		{"pre_tokenizer", `{"type":"UnicodeScripts"}`, "unsupported pre_tokenizer UnicodeScripts"},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"a"},"behavior":"isolated","invert":false}`, `behavior "isolated" is not known`},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"a*"},"behavior":"Removed","invert":false}`, "matches the empty text"},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Glob":"a"},"behavior":"Removed","invert":false}`, "pattern of Split is map[Glob:a]"},
		{"pre_tokenizer", `{"type":"Metaspace","replacement":"ab"}`, "not one character"},
		{"pre_tokenizer", `{"type":"Metaspace","replacement":"_","prepend_scheme":"last"}`, `prepend_scheme is "last"`},
		{"pre_tokenizer", `{"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false}`, "add_prefix_space is false"},
		{"pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"Digits"},{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]}`, "first behind another step"},
		{"pre_tokenizer", `{"type":"Digits","individual_digits":1}`, "individual_digits of Digits is 1"},
		{"decoder", `{"type":"WordPiece"}`, "unsupported decoder WordPiece"},
		{"decoder", `{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Strip","content":" ","start":1,"stop":0}]}`, "decoder.1: Strip behind ByteFallback"},
		{"decoder", `{"type":"Strip","content":" ","start":-1,"stop":0}`, "start of Strip is -1"},
		{"decoder", `{"type":"Fuse","glue":""}`, `Fuse has the unknown key "glue"`},
		{"post_processor", `{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],"pair":[],"special_tokens":{}}`, "a template with"},
		{"post_processor", `{"type":"TemplateProcessing","single":[],"pair":[],"special_tokens":{}}`, "a template without a text"},
		{"post_processor", `{"type":"BertProcessing","sep":["a",9],"cls":["b",1]}`, "id 9 is not in the vocabulary of 4"},
		{"post_processor", `{"type":"RobertaProcessing","sep":["a",1],"cls":["b",1],"mask":1}`, `unknown key "mask"`},
		{"added_tokens", `[{"id":7,"content":"<s>"}]`, `"<s>" has the id 7, and 4 by`},
		{"added_tokens", `[{"id":1,"content":"a"}]`, `"a" has the id 1, and 0 by`},
		{"added_tokens", `[{"id":4,"content":"<s>","colour":1}]`, "colour"},
		{"added_tokens", `[{"id":4,"content":"` + long + `"}]`, "a token of 4097 bytes"},
		{"model", `{"type":"WordPiece","vocab":{"a":0}}`, "unsupported model type WordPiece"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}`, "dropout is 0.1"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"}`, "end_of_word_suffix is </w>"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"speed":1}`, `BPE has the unknown key "speed"`},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"?"}`, `the unknown token "?" is missing`},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"byte_fallback":true}`, "byte_fallback without <0x00>"},
		{"model", `{"type":"BPE","vocab":{"a":0,"u":1,"ua":2},"merges":["u a"],"unk_token":"u"}`, "joins what unknown characters become"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":["a b"]}`, "not in the vocabulary"},
		{"model", `{"type":"Unigram","vocab":[["a",-1],["a",-2]]}`, `"a" has the ids 0 and 1`},
		{"model", `{"type":"Unigram","vocab":[["a"]]}`, "entry 0 is no token"},
		{"model", `{"type":"Unigram","vocab":[["a",-1]],"unk_id":1}`, "unk_id 1 is not in the vocabulary"},
		{"model", `{"type":"Unigram","vocab":[["a",-1]],"alpha":0.1}`, `Unigram has the unknown key "alpha"`},
		{"model", `{"type":"WordLevel","vocab":{"a":0},"unk_token":"u","lower":true}`, `WordLevel has the unknown key "lower"`},
	} {
		if err := parse(tc[0], tc[1]); !errors.Is(err, ErrTokenizer) || !strings.Contains(err.Error(), tc[2]) {
			t.Errorf("%s %.80s: got %v, want %q", tc[0], tc[1], err, tc[2])
		}
	}
	deep := strings.Repeat(`{"type":"Sequence","normalizers":[`, 2000) + strings.Repeat("]}", 2000)
	if err := parse("normalizer", deep); err == nil || !strings.Contains(err.Error(), "Sequences too deep") {
		t.Errorf("deep: %v", err)
	}
	wide := `{"type":"Sequence","normalizers":[` + strings.TrimSuffix(strings.Repeat(`{"type":"NFC"},`, 100), ",") + "]}"
	if err := parse("normalizer", wide); err == nil || !strings.Contains(err.Error(), "more than 64 steps") {
		t.Errorf("wide: %v", err)
	}
}

// Ids do not depend on what was encoded before, nor on how many encode at a time.
func TestPipelineConcurrent(t *testing.T) {
	all := huggingFace(t)
	for i, c := range all {
		tok, err := Parse(c.Tokenizer, "tokenizer.json")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range 4 {
				for _, k := range c.Cases {
					if got, err := tok.Encode(nil, []byte(k.Text)); !k.Fails && (err != nil || !slices.Equal(got, k.IDs)) {
						t.Errorf("%q: %v, %v", k.Text, got, err)
					}
				}
			}
		})
	}
}

// Bytes that are no UTF-8 count as U+FFFD where a vocabulary is one of characters, and never stop anything.
func TestPipelineInvalid(t *testing.T) {
	for i, c := range huggingFace(t) {
		tok, err := Parse(c.Tokenizer, "tokenizer.json")
		if err != nil {
			t.Fatal(err)
		}
		bad := []byte("a\xff b\xc3\xe2\x96")
		ids, err := tok.Encode(nil, bad)
		valid, _ := validUTF8(nil, bad)
		want, err2 := tok.Encode(nil, valid)
		if p, ok := tok.(*Pipeline); ok && !p.raw && (!slices.Equal(ids, want) || (err == nil) != (err2 == nil)) {
			t.Errorf("%d: %v, %v; want %v, %v", i, ids, err, want, err2)
		}
	}
}
