package train

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"mmfree/checkpoints/packed"
	"mmfree/data"
	"mmfree/ternary/infer"
	"mmfree/ternary/pack"
	"mmfree/train/eval"
	"mmfree/train/metrics"
	"mmfree/train/verify"
)

// finish does what comes behind the last step: evaluate on the whole held-out text, draw the curve, export, verify the
// export as it lies on disk, and write a sample with it. All of it can be done again by resuming a finished run.
func (t *run) finish(ctx context.Context, r *Result) error {
	start := time.Now()
	defer func() { r.SecondsAfterwards = time.Since(start).Seconds() }()
	if t.text.loader.Val().Len() > 0 {
		var err error
		if r.ValLoss, r.ValBitsPerByte, err = t.evaluate(t.text.loader, 0); err != nil {
			return err
		}
	}
	if r.FineTuned != nil {
		replay, err := t.replayLoss()
		if err != nil {
			return err
		}
		r.FineTuned.ReplayLoss = known(replay)
	}
	if t.Config.Quant.blends() && !t.settled { // what is exported and verified is the ternary model
		var err error
		if r.RoundedValLoss, err = t.roundedLoss(0); err != nil {
			return err
		}
		t.session.SetBlend(1, 1)
	}
	if err := t.metrics.Sync(); err != nil {
		return err
	}
	lines, warning, err := metrics.Read(t.FS, filepath.Join(t.Dir, MetricsFile))
	if err != nil {
		return err
	}
	if warning != "" {
		t.notice(warning)
	}
	title := fmt.Sprintf("%s, %d parameters, %s", r.Arch, r.Parameters, filepath.Base(t.text.name))
	if err := metrics.SaveCurve(t.FS, filepath.Join(t.Dir, CurveFile), lines, title, r.BytesPerToken); err != nil {
		return err
	}
	if t.Bare {
		return nil
	}

	file, err := t.export(r)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := ctx.Err(); err != nil {
		return err
	}
	ids := t.text.heldOut(verify.Tokens(t.Config.Model.VocabSize))
	r.Verify, err = verify.Run(ctx, verify.Request{
		Session: t.session, Packed: file.Model(), Set: t.Machine.Set, Pool: t.Machine.Pool,
		IDs: repeat(ids, verify.Tokens(t.Config.Model.VocabSize)), SeqLen: t.Config.Data.SeqLen,
	})
	if err != nil {
		return err
	}
	if r.CarriedValLoss, err = t.carriedLoss(file.Model()); err != nil {
		return err
	}
	r.Sample, err = t.sample(file.Model())
	return err
}

// carriedLoss returns the loss in nats a token over the held-out text of a model that reads every document from its start
// to its end, as eval ppl --streaming does, in place of windows as long as training's sequences. Nil where there is no such
// text, or the model has no state that reaches so far.
func (t *run) carriedLoss(p *pack.Model) (*float64, error) {
	if t.text.loader.Val().Len() == 0 || p.Config.MaxPositions() > 0 {
		return nil, nil
	}
	walk, err := t.text.loader.Validation(infer.DefaultChunk, 1)
	if err != nil {
		return nil, err
	}
	scorer := eval.NewPacked(p, t.Machine.Set, t.Machine.Pool)
	var sum float64
	var count int
	var behind []byte // the state
	for b := walk.Next(); b != nil; b = walk.Next() {
		for from := 0; from < b.T; {
			to := from + 1
			for to < b.T && !b.Starts[to] {
				to++
			}
			if b.Starts[from] {
				behind = nil
			}
			n := to
			for n > from && b.Labels[n-1] == data.IgnoreLabel { // a document's last token, and what fills the last row up
				n--
			}
			var score eval.Score
			if score, behind, err = scorer.Stream(behind, b.IDs[from:n], b.Labels[from:n]); err != nil {
				return nil, err
			}
			sum -= score.LogLikelihood
			count += n - from
			from = to
		}
	}
	if count == 0 {
		return nil, nil
	}
	loss := sum / float64(count)
	return &loss, nil
}

// export writes the packed file and opens it again.
func (t *run) export(r *Result) (*packed.File, error) {
	p, err := pack.Build(t.weights)
	if err != nil {
		return nil, err
	}
	r.Packed = &Packed{Path: filepath.Join(t.Dir, PackedFile), BitsPerWeight: packed.BitsPerWeight(p)}
	meta := packed.Meta{Tokenizer: t.tokenizerJSON, Source: fmt.Sprintf("step-%d", t.state.Step)}
	if r.Packed.Bytes, err = packed.Write(t.FS, r.Packed.Path, p, meta); err != nil {
		return nil, err
	}
	return packed.Open(r.Packed.Path)
}

// repeat returns the first n ids, over and over where there are fewer.
func repeat(ids []int32, n int) []int32 {
	out := make([]int32, 0, n)
	for len(out) < n {
		out = append(out, ids[:min(len(ids), n-len(out))]...)
	}
	return out
}

// sample writes the configured sample. A prompt that the tokenizer cannot take (a character that the text lacks) gives
// way to the beginning of the held-out text.
func (t *run) sample(p *pack.Model) (string, error) {
	c := t.Config.Sample
	if c.Tokens == 0 {
		return "", nil
	}
	prompt, err := t.text.tokenizer.Encode(nil, []byte(c.Prompt))
	if err != nil || len(prompt) == 0 {
		prompt = t.text.heldOut(1)
	}
	V := t.text.tokenizer.VocabSize() // the model's may be larger; ids behind the tokenizer's mean nothing
	m := infer.New(p, t.Machine.Set, t.Machine.Pool, infer.DefaultChunk)
	s := infer.NewSampler(infer.Sampling{Temperature: c.Temperature, TopK: c.TopK, Seed: t.Config.Train.Seed}, V)
	g, err := m.Generate(prompt, c.Tokens, s, -1, func(int32) bool { return true })
	if err != nil {
		return "", err
	}
	text, err := t.text.tokenizer.Decode(nil, append(prompt, g.IDs...))
	return string(text), err
}

// BitsPerByte converts a loss in nats a token.
func (r *Result) BitsPerByte(loss float64) float64 { return loss / math.Ln2 / r.BytesPerToken }
