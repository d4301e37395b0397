package train

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/infer"
	"mmfree/train/metrics"
)

// GeneratedCorpus is what GenerateCorpus wrote.
type GeneratedCorpus struct {
	Path            string  `json:"path"`
	Count           int     `json:"count"`
	Tokens          int64   `json:"tokens"` // new ones, end tokens included
	Bytes           int64   `json:"bytes"`  // of text, prompts included
	Seconds         float64 `json:"seconds"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	PeakRSSBytes    int64   `json:"peak_rss_bytes"`
}

// together is how many texts are written side by side: what one pass over the weights serves (kernel.Set.Few).
const together = 8

// GenerateCorpus continues a prompt count times and writes the texts, prompt and continuation, to a JSONL file with the key
// text. Text i is a function of the prompt and of seed + i alone: it is what Generate writes with that seed. at, where it is
// not nil, hears of progress. A cancelled ctx ends it with that error and leaves no file.
func (m *Model) GenerateCorpus(ctx context.Context, r GenerateRequest, count int, path string, at func(done int, tokensPerSecond float64)) (*GeneratedCorpus, error) {
	w, err := m.write(&r)
	if err != nil {
		return nil, err
	}
	model := infer.New(w.packed, r.Machine.Set, r.Machine.Pool, infer.DefaultChunk)
	result := &GeneratedCorpus{Path: path, Count: count}
	begun := time.Now()
	err = durable.WriteFile(durable.OS{}, path, func(file io.Writer) error {
		out := bufio.NewWriter(file) // keeps its first error for Flush
		lines := json.NewEncoder(out)
		lines.SetEscapeHTML(false)
		for first := 0; first < count; first += together {
			var samplers []*infer.Sampler
			for i := first; i < min(count, first+together); i++ {
				s := r.Sampling
				s.Seed += uint64(i)
				samplers = append(samplers, infer.NewSampler(s, w.tokenizer.VocabSize()))
			}
			texts, err := model.GenerateMany(w.prompt, r.MaxTokens, samplers, w.stop, ctx.Err)
			if err != nil {
				return err
			}
			for _, ids := range texts {
				result.Tokens += int64(len(ids))
				if n := len(ids); n > 0 && ids[n-1] == w.stop {
					ids = ids[:n-1]
				}
				text, err := w.tokenizer.Decode(nil, slices.Concat(w.prompt, ids))
				if err != nil {
					return err
				}
				result.Bytes += int64(len(text))
				if err := lines.Encode(struct {
					Text string `json:"text"`
				}{string(text)}); err != nil {
					return err
				}
			}
			result.Seconds = time.Since(begun).Seconds()
			result.TokensPerSecond = float64(result.Tokens) / result.Seconds
			if at != nil {
				at(min(count, first+together), result.TokensPerSecond)
			}
		}
		return out.Flush()
	})
	result.PeakRSSBytes = metrics.PeakRSS()
	return result, err
}
