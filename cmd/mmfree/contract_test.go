package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// contractKeys is the contract: verb -> the keys that its JSON object has, under these names for ever; KEY.0.NAME is
// a key of a list's entries. Keys may be added, none renamed.
func contractKeys() map[string]string {
	return map[string]string{
		"train": "run_dir arch parameters steps tokens_seen seconds tokens_per_second train_loss val_loss val_bits_per_byte " +
			"peak_rss_bytes interrupted packed.path packed.bytes packed.bits_per_weight verify.identical " +
			"verify.values_compared verify.mismatches verify.max_ulp sample",
		"finetune": "run_dir arch parameters steps tokens_seen seconds tokens_per_second train_loss val_loss val_bits_per_byte " +
			"peak_rss_bytes interrupted packed.path packed.bytes packed.bits_per_weight verify.identical " +
			"verify.values_compared verify.mismatches verify.max_ulp sample teacher start_val_loss",
		"recipes": "recipes.0.name recipes.0.about recipes.0.arch recipes.0.parameters",
		"verify": "identical tensors_compared values_compared mismatches max_ulp first_difference " +
			"operations.weight_multiplies operations.weight_adds operations.zeros_skipped operations.other_multiplies",
		"logits":   "path shape nll",
		"generate": "text prompt_ids ids prefill_tokens_per_second decode_tokens_per_second peak_rss_bytes",
		"inspect": "format arch config.hidden_size parameters bytes bits_per_weight tensors.0.name tensors.0.shape " +
			"tensors.0.dtype tensors.0.bytes tensors.0.zero_fraction tensors.0.scale",
		"export": "format arch parameters tensors bytes bits_per_weight scale_convention warnings",
		"import": "format arch parameters tensors bytes bits_per_weight scale_convention warnings",
		"doctor": "checks.0.name checks.0.ok checks.0.detail checks.0.fix",
		"repro": "tables.0.id tables.0.claim tables.0.rows.0.setting tables.0.rows.0.metric tables.0.rows.0.paper tables.0.rows.0.ours " +
			"tables.0.rows.0.unit tables.0.verdict",
		"prepare": "documents tokens bytes shards skipped seconds paths.0.weight reading.cases.0.policy",
		"bench": "machine.cpu machine.isa machine.cores machine.memory_read_gb_s machine.f32_gflops results.0.name results.0.shape " +
			"results.0.isa results.0.threads results.0.value results.0.unit results.0.of_limit",
		"tokenizer train":  "vocab_size merges seconds bytes_per_token",
		"tokenizer encode": "ids",
		"tokenizer decode": "text",
		"eval ppl":         "tokens words bytes nll_per_token perplexity word_perplexity byte_perplexity bits_per_byte",
		"eval task":        "task n acc acc_stderr acc_norm acc_norm_stderr",
	}
}

// TestContractKeys runs every verb and verb of a verb with --json and looks for each key of the contract. A verb that has a result and no
// row fails, so that none is forgotten.
func TestContractKeys(t *testing.T) {
	dir := t.TempDir()
	words := []byte(`{"text": "green bottles hanging on the wall"}`)
	if err := errors.Join(writeTiny(dir), os.WriteFile(filepath.Join(dir, "words.jsonl"), words, 0o644)); err != nil {
		t.Fatal(err)
	}
	arguments := map[string][]string{
		"train":    {"tiny.yaml", "--corpus", "text.txt", "--out", "run"},
		"finetune": {"tiny.yaml", "--from", "run", "--corpus", "text.txt", "--out", "tuned"},
		"recipes":  {},
		"doctor":   {},
		"verify":   {"run", "--tokens", "20"},
		"logits":   {"run", "--ids", "1,2", "--out", "logits.safetensors"},
		"generate": {"run", "--prompt", "a", "--max-tokens", "3"},
		"inspect":  {"run"},
		"export":   {"run", "--format", "hf", "--out", "hf"},
		"import":   {"hf", "--out", "again"},
		"repro":    {"R4", "--budget", "test", "--corpus", "text.txt", "--out", "report"},
		"prepare":  {"--corpus", "text.txt", "--tokenizer", "bytes", "--out", "shards"},
		"bench":    {"train", "--recipe", "tiny.yaml", "--seconds", "0.01"},

		"tokenizer train":  {"--corpus", "text.txt", "--vocab-size", "260", "--out", "vocabulary.json"},
		"tokenizer encode": {"--tokenizer", "vocabulary.json", "--text", "a"},
		"tokenizer decode": {"--tokenizer", "vocabulary.json", "--ids", "65"},
		"eval ppl":         {"run", "--text", "text.txt", "--window", "16"},
		"eval task":        {"lambada_openai", "run", "--data", "words.jsonl"},
	}
	var check func(verbs []*cli.Command, above string)
	check = func(verbs []*cli.Command, above string) {
		for _, verb := range verbs {
			name := above + verb.Name
			check(verb.Subcommands, name+" ")
			if len(verb.Subcommands) > 0 || !hasFlag(verb, "json") {
				continue
			}
			keys, ok := contractKeys()[name]
			args, known := arguments[name]
			if !ok || !known {
				t.Errorf("%s has --json and no row here", name)
				continue
			}
			out := runVerb(t, dir, slices.Concat(strings.Fields(name), args, []string{"--json"}))
			if strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "{") {
				t.Errorf("%s printed %q, want one object on one line", name, out)
			}
			for _, key := range strings.Fields(keys) {
				if _, err := jsonAt([]byte(out), key); err != nil {
					t.Errorf("%s: %v in %s", name, err, out)
				}
			}
		}
	}
	check(verbs(), "")
}

// A difference has its own keys, which a run that agrees does not show.
func TestContractDifference(t *testing.T) {
	dir := t.TempDir()
	if err := writeTiny(dir); err != nil {
		t.Fatal(err)
	}
	runVerb(t, dir, []string{"train", "tiny.yaml", "--corpus", "text.txt", "--out", "a"})
	runVerb(t, dir, []string{"train", "tiny.yaml", "--corpus", "text.txt", "--out", "b", "--seed", "2"})
	var stdout, stderr strings.Builder
	args := []string{"verify", filepath.Join(dir, "a"), "--packed", filepath.Join(dir, "b", "packed.safetensors"), "--tokens", "9", "--json"}
	if code := run(t.Context(), args, &stdout, &stderr); code != exitDifferent {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
	var report struct {
		First map[string]any `json:"first_difference"`
	}
	if err := json.Unmarshal([]byte(stdout.String()), &report); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields("tensor index training packed") {
		if _, ok := report.First[key]; !ok {
			t.Errorf("first_difference has no %s: %v", key, report.First)
		}
	}
}

// runVerb runs the program in dir to its end and returns stdout.
func runVerb(t *testing.T, dir string, args []string) string {
	t.Helper()
	cmd := exec.Command("mmfree", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mmfree %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func hasFlag(verb *cli.Command, name string) bool { return findFlag(verb.Flags, name) != nil }
