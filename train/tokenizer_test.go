package train

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints"
)

// Every form of a tokenizer in the shared data gives the ids of the golden file.
func TestLoadTokenizer(t *testing.T) {
	if _, err := LoadTokenizer(t.TempDir()); !errors.Is(err, checkpoints.ErrCheckpoint) {
		t.Errorf("an empty folder: %v", err)
	}
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED does not name the shared test data")
	}
	dir := filepath.Join(shared, "data", "tokenizers")
	for golden, paths := range map[string][]string{
		"gpt2":    {"gpt2", "gpt2/tokenizer.json", "gpt2/vocab.json", "gpt2/merges.txt", "gpt2/ggml-vocab-gpt-2.gguf"},
		"llama-2": {"llama-2", "llama-2/tokenizer.model", "llama-2/tokenizer.bin", "llama-2/ggml-vocab-llama-spm.gguf"},
	} {
		var g struct {
			Cases []struct {
				Text string
				IDs  []int32
			}
		}
		file, err := os.ReadFile(filepath.Join(dir, "golden", golden+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(file, &g); err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			tok, err := LoadTokenizer(filepath.Join(dir, path))
			if err != nil {
				t.Error(err)
				continue
			}
			for _, c := range g.Cases {
				if got, err := tok.Encode(nil, []byte(c.Text)); err != nil || !slices.Equal(got, c.IDs) {
					t.Errorf("%s: %q gives %v, %v; want %v", path, c.Text, got, err, c.IDs)
				}
			}
			if special, _ := tok.EncodeSpecial(nil, []byte("a")); strings.HasPrefix(golden, "llama") && special[0] != 1 {
				t.Errorf("%s: no BOS in %v", path, special)
			}
		}
	}
}
