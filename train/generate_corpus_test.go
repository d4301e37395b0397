package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/infer"
	"mmfree/ternary/spec"
)

// TestGenerateCorpus: text i is what Generate writes with seed + i, in every architecture, however many are written side by
// side, end tokens and the model's last position included.
func TestGenerateCorpus(t *testing.T) {
	for _, arch := range spec.Architectures() {
		r := tiny(t, "model.arch="+arch, "model.hidden_size=20", "model.num_attention_heads=2", "model.max_position_embeddings=30", "model.eos_token_id=101")
		r.Bare = true
		mustStart(t, r)
		m, err := Open(r.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ask := GenerateRequest{Prompt: "The rays", MaxTokens: 40, Sampling: infer.Sampling{Temperature: 0.9, Seed: 5}, Machine: r.Machine}
		path := filepath.Join(t.TempDir(), "texts.jsonl")
		const count = together + 3
		got, err := m.GenerateCorpus(t.Context(), ask, count, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		var tokens int64
		lengths := map[int]bool{}
		for i := range count {
			var line struct{ Text string }
			if !lines.Scan() {
				t.Fatalf("%s: %d lines", arch, i)
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			one := ask
			one.Sampling.Seed += uint64(i)
			one.Emit = func([]byte) error { return nil }
			want, err := m.Generate(t.Context(), one)
			if err != nil {
				t.Fatal(err)
			}
			text := string([]rune(ask.Prompt + want.Text)) // JSON replaces what is not UTF-8
			if line.Text != text {
				t.Errorf("%s, text %d: %q, want %q", arch, i, line.Text, text)
			}
			tokens += int64(len(want.IDs))
			lengths[len(want.IDs)] = true
		}
		if lines.Scan() || got.Tokens != tokens || got.Count != count || arch != spec.ArchMatMulFree && len(lengths) < 2 {
			t.Errorf("%s: %+v, want %d tokens; lengths %v", arch, got, tokens, lengths)
		}
	}
}

// A stopped generation leaves no file.
func TestGenerateCorpusStops(t *testing.T) {
	r := tiny(t)
	r.Bare = true
	mustStart(t, r)
	m, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err = m.GenerateCorpus(ctx, GenerateRequest{Prompt: "a", MaxTokens: 9, Machine: r.Machine}, 100, filepath.Join(dir, "x"), func(int, float64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v was left behind (%v)", left, err)
	}
}

// TestGenerateCorpusWithoutPrompt: texts begin behind the token that stands before a text, and hold what Generate writes
// behind it; a model without such a token says that it needs a prompt.
func TestGenerateCorpusWithoutPrompt(t *testing.T) {
	var pieces map[string]any
	fatal(t, json.Unmarshal(bpeJSON(t), &pieces))
	bos := int(pieces["added_tokens"].([]any)[0].(map[string]any)["id"].(float64))
	pieces["post_processor"] = map[string]any{
		"type":           "TemplateProcessing",
		"single":         []any{map[string]any{"SpecialToken": map[string]any{"id": "<s>", "type_id": 0}}, map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}},
		"pair":           []any{},
		"special_tokens": map[string]any{"<s>": map[string]any{"id": "<s>", "ids": []int{bos}, "tokens": []string{"<s>"}}},
	}
	text, err := json.Marshal(pieces)
	fatal(t, err)
	machine := tiny(t).Machine
	write := func(set func(c *spec.Config)) (texts []string, m *Model, err error) {
		m = open(t, folderOf(t, stored.Of(patient(t, set)), hf.Options{Side: map[string][]byte{"tokenizer.json": text}}))
		path := filepath.Join(t.TempDir(), "texts.jsonl")
		if _, err = m.GenerateCorpus(t.Context(), GenerateRequest{MaxTokens: 12, Sampling: infer.Sampling{Temperature: 1}, Machine: machine}, 2, path, nil); err != nil {
			return nil, m, err
		}
		made, err := os.ReadFile(path)
		fatal(t, err)
		for line := range strings.Lines(string(made)) {
			var one struct{ Text string }
			fatal(t, json.Unmarshal([]byte(line), &one))
			texts = append(texts, one.Text)
		}
		return texts, m, nil
	}
	texts, m, err := write(func(c *spec.Config) { c.BOSTokenID = &bos })
	fatal(t, err)
	for i, text := range texts {
		want, err := m.Generate(t.Context(), GenerateRequest{
			MaxTokens: 12, Sampling: infer.Sampling{Temperature: 1, Seed: uint64(i)}, Machine: machine, Emit: func([]byte) error { return nil },
		})
		fatal(t, err)
		if !slices.Equal(want.PromptIDs, []int32{int32(bos)}) || text == "" || text != string([]rune(want.Text)) {
			t.Errorf("text %d is %q behind %v, want %q behind %d", i, text, want.PromptIDs, want.Text, bos)
		}
	}
	var refused *InputError
	if _, _, err := write(nil); len(texts) != 2 || !errors.As(err, &refused) {
		t.Errorf("%d texts; without the token: %v", len(texts), err)
	}
}
