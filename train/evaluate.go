package train

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"mmfree/checkpoints/durable"
	"mmfree/data/corpus"
	"mmfree/data/tasks"
	"mmfree/train/eval"
)

// EvalRequest says how a model is evaluated.
type EvalRequest struct {
	Window int      // tokens that the model reads at most; 0: what it says itself
	BOS    eval.BOS // empty: what the tokenizer does by itself
	// Tokenizer is the path of a tokenizer to read texts with; empty: the model's own.
	Tokenizer string
	// Resume is a file that keeps what has been scored, from which the same evaluation goes on after a kill; empty: none. It is
	// removed at the end.
	Resume  string
	Prefix  int // id that stands before a text without context; below 0: the model's BOS, else EOS, else a line end
	Machine Machine
	At      func(done, all int, tokensPerSecond float64) // progress, in items or tokens
}

// Setting is what an evaluation's figures depend on beside model and data.
type Setting struct {
	Mode            string   `json:"mode"` // rolling, streaming or requests
	BOS             eval.BOS `json:"bos"`
	PrefixToken     int32    `json:"prefix_token"`
	MaxLength       int      `json:"max_length"`
	Seconds         float64  `json:"seconds"`
	TokensPerSecond float64  `json:"tokens_per_second"` // read by the model for the requests one by one; shared prefixes count each time
}

// TextResult is the result of EvalText.
type TextResult struct {
	eval.TextFigures
	Setting
}

// TaskResult is the result of EvalTask.
type TaskResult struct {
	Task string `json:"task"`
	eval.Figures
	Setting
}

// evaluator makes what texts are cut and scored with.
func (m *Model) evaluator(r *EvalRequest) (c eval.Coder, s eval.Scorer, err error) {
	if r.Tokenizer != "" {
		c.Tokenizer, err = LoadTokenizer(r.Tokenizer)
	} else {
		c.Tokenizer, err = m.Tokenizer()
	}
	if err != nil {
		return c, nil, err
	}
	if V := c.Tokenizer.VocabSize(); V > m.Config.VocabSize {
		return c, nil, &InputError{
			Source: m.Source, Problem: fmt.Sprintf("the tokenizer has %d tokens, the model %d", V, m.Config.VocabSize),
			Fix: "put the tokenizer.json that the model was trained with beside it",
		}
	}
	if c.MaxLength = r.Window; c.MaxLength == 0 {
		c.MaxLength = m.Config.MaxPositionEmbeddings
	}
	if c.MaxLength == 0 {
		c.MaxLength = 2048
	}
	c.BOS = r.BOS
	if c.BOS == "" {
		c.BOS = eval.BOSTokenizer
	}
	if c.Prefix, err = m.prefixToken(r.Prefix, c); err != nil {
		return c, nil, err
	}
	p, err := m.Packed()
	if err != nil {
		return c, nil, err
	}
	return c, eval.NewPacked(p, r.Machine.Set, r.Machine.Pool), nil
}

// prefixToken returns the id to stand before a text without context.
func (m *Model) prefixToken(asked int, c eval.Coder) (int32, error) {
	switch {
	case asked >= m.Config.VocabSize:
		return 0, &InputError{Source: "--prefix-token", Problem: fmt.Sprintf("%d is not in the vocabulary of %d", asked, m.Config.VocabSize), Fix: "choose a smaller id"}
	case asked >= 0:
		return int32(asked), nil
	case m.Config.BOSTokenID != nil:
		return int32(*m.Config.BOSTokenID), nil
	case m.Config.EOSTokenID != nil:
		return int32(*m.Config.EOSTokenID), nil
	}
	ids, err := c.Tokenizer.Encode(nil, []byte("\n"))
	if err != nil || len(ids) != 1 {
		return 0, nil // a text of tokens such as a vocabulary of characters without line ends
	}
	return ids[0], nil
}

// MaxEvalText bounds the text of one perplexity, which is held in memory with its tokens.
const MaxEvalText = 1 << 30

// EvalText measures the perplexity of a file as one page. detokenise undoes WikiText's tokenisation first; streaming
// carries the state over the whole text, which recurrent models alone can.
func (m *Model) EvalText(ctx context.Context, path string, detokenise, streaming bool, r EvalRequest) (*TextResult, error) {
	if streaming && m.Config.MaxPositions() > 0 {
		return nil, &InputError{Source: "--streaming", Problem: m.Config.Arch + " has no state that reaches over the whole text", Fix: "leave it out"}
	}
	text, err := corpus.Load([]string{path})
	if err != nil {
		return nil, err
	}
	if len(text.Text) > MaxEvalText {
		return nil, &InputError{Source: path, Problem: "is longer than a gibibyte", Fix: "take a part of it"}
	}
	c, s, err := m.evaluator(&r)
	if err != nil {
		return nil, err
	}
	result := &TextResult{Setting: Setting{Mode: "rolling", BOS: c.BOS, PrefixToken: c.Prefix, MaxLength: c.MaxLength}}
	if streaming {
		result.Mode = "streaming"
	}
	var from eval.Partial
	what := "ppl"
	if detokenise {
		what += ", detokenised"
	}
	kept, err := m.journal(&r, &c, what, 0, text.Text, result.Setting, func(outcome []byte) error { return json.Unmarshal(outcome, &from) })
	if err != nil {
		return nil, err
	}
	begun, done := time.Now(), 0
	result.TextFigures, err = eval.Text(ctx, c, s, tasks.Page(string(text.Text), detokenise), streaming, from, func(p eval.Partial, all int) error {
		done = p.Tokens - from.Tokens
		if r.At != nil {
			r.At(p.Tokens, all, float64(done)/time.Since(begun).Seconds())
		}
		return kept.replace(p)
	})
	result.Seconds = time.Since(begun).Seconds()
	result.TokensPerSecond = float64(done) / result.Seconds
	if err != nil {
		return nil, err
	}
	return result, kept.finish()
}

// EvalTask scores a task on a JSONL file, its first limit items or all. samples, where not empty, is a file that
// receives a line an item.
func (m *Model) EvalTask(ctx context.Context, name, path, samples string, limit int, r EvalRequest) (*TaskResult, error) {
	task, err := tasks.Get(name)
	if err != nil {
		return nil, err
	}
	f, err := durable.Open(ctx, path)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, &InputError{Source: path, Problem: "cannot be read: " + durable.Cause(err).Error(), Fix: "check the path"}
	}
	sum := sha256.New()
	items, err := task.Read(io.TeeReader(bufio.NewReader(f), sum), path, limit)
	f.Close()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, &InputError{Source: path, Problem: "holds no items", Fix: "name a JSONL file with an item a line"}
	}
	c, s, err := m.evaluator(&r)
	if err != nil {
		return nil, err
	}
	result := &TaskResult{Task: name, Setting: Setting{Mode: "requests", BOS: c.BOS, PrefixToken: c.Prefix, MaxLength: c.MaxLength}}
	if task.Kind == tasks.Rolling {
		result.Mode = "rolling"
	}
	var before []eval.Entry
	kept, err := m.journal(&r, &c, name, limit, sum.Sum(nil), result.Setting, func(outcome []byte) error {
		var e eval.Entry
		if err := json.Unmarshal(outcome, &e); err != nil {
			return err
		}
		if n := len(before); n >= len(items) || len(e.Scores) != len(items[n].Requests) {
			return errors.New("fits no item")
		}
		before = append(before, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	begun, tokens := time.Now(), 0
	run := eval.Run{Task: task, Items: items, Coder: c, Scorer: s, Before: before, At: func(i int, e eval.Entry) error {
		tokens += e.Read
		if r.At != nil {
			r.At(i+1, len(items), float64(tokens)/time.Since(begun).Seconds())
		}
		return kept.append(e)
	}}
	scored, figures, err := run.Do(ctx)
	if err != nil {
		return nil, err
	}
	result.Figures = figures
	result.Seconds = time.Since(begun).Seconds()
	result.TokensPerSecond = float64(tokens) / result.Seconds
	if samples != "" {
		err = durable.WriteFile(durable.OS{}, samples, func(w io.Writer) error { return writeSamples(w, task, scored) })
	}
	if err != nil {
		return nil, err // the journal stays: only the writing is to be done again
	}
	return result, kept.finish()
}

// journal opens the request's journal; data is hashed into its title beside the model and the tokenizer.
func (m *Model) journal(r *EvalRequest, c *eval.Coder, what string, limit int, data []byte, s Setting, add func(outcome []byte) error) (*journal, error) {
	if r.Resume == "" {
		return nil, nil
	}
	p, err := m.Packed()
	if err != nil {
		return nil, err
	}
	file, err := c.Tokenizer.JSON()
	if err != nil {
		return nil, err
	}
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	title := journalTitle{Version: 2, What: what, Limit: limit, Data: sum(data), Model: digest(p), Tokenizer: sum(file), Setting: s}
	return openJournal(r.Resume, title, add)
}

// writeSamples writes a line an item: its requests with their scores, and what was chosen.
func writeSamples(w io.Writer, t *tasks.Task, items []eval.Scored) error {
	type request struct {
		tasks.Request
		eval.Score
	}
	type sample struct {
		Index    int       `json:"index"`
		Requests []request `json:"requests"`
		Gold     *int      `json:"gold"`
		Pred     *int      `json:"pred"`
		PredNorm *int      `json:"pred_norm"`
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range items {
		line := sample{Index: i}
		for j, r := range items[i].Requests {
			line.Requests = append(line.Requests, request{r, items[i].Scores[j]})
		}
		if t.Kind == tasks.Choice {
			pred, norm := items[i].Choose()
			line.Gold, line.Pred = &items[i].Gold, &pred
			if !t.SameSuffix {
				line.PredNorm = &norm
			}
		}
		if err := e.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
