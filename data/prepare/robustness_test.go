package prepare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mmfree/data/corpus"
	"mmfree/data/tokenizer"
)

// TestRobustness prepares every made-up broken text, JSONL file and UTF-8 sequence: the bytes of a text come back from the
// shards, and each line of a JSONL file is a document or counted.
func TestRobustness(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set: the files are not committed")
	}
	type entry struct {
		File, SHA256 string
		Size         int64
		Items        []string
	}
	cases := func(kind string) []entry {
		var manifest struct{ Cases []entry }
		text, err := os.ReadFile(filepath.Join(shared, "data", "robustness", kind, "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &manifest); err != nil || len(manifest.Cases) < 19 {
			t.Fatalf("%d cases, %v", len(manifest.Cases), err)
		}
		for i := range manifest.Cases {
			manifest.Cases[i].File = filepath.Join(shared, "data", "robustness", kind, manifest.Cases[i].File)
		}
		return manifest.Cases
	}

	keep := corpus.DefaultOptions()
	keep.InvalidUTF8, keep.BOM = corpus.Keep, corpus.Keep
	stress := filepath.Join(shared, "data", "robustness", "utf8", "UTF-8-test.txt")
	file, err := os.ReadFile(stress)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	for _, c := range append(cases("text"), entry{File: stress, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(file))}) {
		set, report, err := InMemory(context.Background(), open(t, keep, c.File), tokenizer.Bytes{}, Options{})
		if c.Size == 0 { // skipped, and then there is nothing
			if !errors.Is(err, corpus.ErrCorpus) {
				t.Errorf("%s: %v", c.File, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.File, err)
			continue
		}
		ids := make([]int32, set.Train.Len())
		set.Train.Read(ids, 0)
		text, err := tokenizer.Bytes{}.Decode(nil, ids)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != c.SHA256 || report.Documents != 1 {
			t.Errorf("%s: %d bytes, another text", c.File, len(text))
		}
	}

	read := corpus.DefaultOptions()
	read.Field = "question"
	for _, c := range cases("jsonl") {
		text, err := os.ReadFile(c.File)
		if err != nil {
			t.Fatal(err)
		}
		var lines, valid int64
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				lines++
				if json.Valid(line) {
					valid++
				}
			}
		}
		if int64(len(c.Items)) != lines {
			t.Fatalf("%s: %d lines, the manifest has %d", c.File, lines, len(c.Items))
		}
		_, report, err := InMemory(context.Background(), open(t, read, c.File), tokenizer.Bytes{}, Options{})
		if err != nil {
			if !errors.Is(err, corpus.ErrCorpus) { // no line is a document
				t.Errorf("%s: %v", c.File, err)
			}
			continue
		}
		bad := report.Reading.Cases[corpus.CaseBadLine].Places
		if report.Documents+bad != lines || bad < lines-valid {
			t.Errorf("%s: %d documents and %d bad lines of %d, of which %d are JSON", c.File, report.Documents, bad, lines, valid)
		}
		accepted := int64(0)
		for _, verdict := range c.Items {
			if verdict == "accept" {
				accepted++
			}
		}
		if report.Documents < accepted {
			t.Errorf("%s: %d documents, the manifest accepts %d items", c.File, report.Documents, accepted)
		}
	}
}
