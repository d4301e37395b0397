package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"mmfree/checkpoints/durable"
	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/train"
	"mmfree/train/metrics"
	"mmfree/train/verify"
)

// watcher shows a run's course on stderr.
type watcher struct {
	w        io.Writer
	progress *ui.Progress
	bare     bool
	valBPB   float64
	health   string
}

func newWatcher(stderr *os.File) *watcher {
	return &watcher{
		w: stderr, valBPB: math.NaN(),
		progress: ui.NewProgress(stderr, func() int { return ui.Width(stderr) }, time.Now),
	}
}

func (x *watcher) start(p train.Plan) {
	m := p.Config.Model
	fmt.Fprintf(x.w, "model   %s, %s parameters, %s of them ternary: d %d, %d layers, vocabulary %d\n",
		m.Arch, ui.Count(float64(p.Parameters)), ui.Count(float64(p.Ternary)), m.HiddenSize, m.NumHiddenLayers, m.VocabSize)
	fmt.Fprintf(x.w, "text    %s: %s tokens to train on, %s held out\n",
		p.Corpus, ui.Count(float64(p.TrainTokens)), ui.Count(float64(p.ValTokens)))
	fmt.Fprintf(x.w, "run     %s, from step %d\n", p.Dir, p.FirstStep)
	x.bare, x.valBPB, x.health = p.Bare, math.NaN(), ""
}

func (x *watcher) step(p train.Progress) {
	x.update(p, true)
	switch {
	case p.Share < 1:
	case x.bare:
		fmt.Fprintln(x.w, "trained; now evaluating")
	default:
		fmt.Fprintln(x.w, "trained; now evaluating, exporting and verifying")
	}
}

// update shows where a run stands; the end of one that is alone stays in sight.
func (x *watcher) update(p train.Progress, alone bool) {
	if p.Evaluated {
		x.valBPB = p.ValBitsPerByte
	}
	if h := p.Health; h != nil {
		x.health = panel(h)
	}
	s := ui.Status{
		Step: p.Step, Steps: p.Steps, Loss: p.Loss, ValBPB: x.valBPB, TokensPerSecond: p.TokensPerSecond,
		RSSBytes: p.RSSBytes, Note: x.health, LR: p.LR, Elapsed: duration(p.Seconds),
	}
	if p.Share > 0 {
		s.ETA = duration(p.Seconds * (1 - p.Share) / p.Share)
	}
	if p.Share >= 1 && alone {
		x.progress.Finish(s)
		return
	}
	x.progress.Update(s)
}

// panel is the health of ternary tensors in few words: how far ternary, the shares of -1, 0 and +1, and what a step flips.
func panel(h *metrics.Health) string {
	var minus, zero, plus float64
	for _, l := range h.Layers {
		n := float64(len(h.Layers))
		minus, zero, plus = minus+float64(l.Minus)/n, zero+float64(l.Zero)/n, plus+float64(l.Plus)/n
	}
	text := fmt.Sprintf("trits %.0f/%.0f/%.0f  flips %.2g%%", 100*minus, 100*zero, 100*plus, 100*float64(h.Flips))
	if h.LambdaWeights < 1 || h.LambdaActivations < 1 {
		text += fmt.Sprintf("  lambda %.2f/%.2f", h.LambdaWeights, h.LambdaActivations)
	}
	return text
}

func (x *watcher) notice(text string) { x.progress.Println(text) }

// printTrained prints the result for people.
func printTrained(w io.Writer, r *train.Result) error {
	if !r.Interrupted {
		lines, _, err := metrics.Read(durable.OS{}, filepath.Join(r.RunDir, train.MetricsFile))
		if err != nil {
			return err
		}
		var loss, val ui.Series
		for _, l := range lines {
			loss.Steps, loss.Values = append(loss.Steps, l.Step), append(loss.Values, r.BitsPerByte(l.Loss))
			if l.Evaluated {
				val.Steps, val.Values = append(val.Steps, l.Step), append(val.Values, l.ValBitsPerByte)
			}
		}
		style := ui.CurveStyle{Unit: "bits per byte"}
		if f, ok := w.(*os.File); ok {
			style.Width, style.Color = ui.Width(f), ui.Color(f)
		}
		if err := ui.Curve(w, loss, val, style); err != nil {
			return err
		}
	}
	rows := [][]string{
		{"steps", fmt.Sprintf("%d, %s tokens in %s, %s tokens/s", r.Steps, ui.Count(float64(r.TokensSeen)),
			ui.Duration(duration(r.Seconds)), ui.Count(r.TokensPerSecond))},
		{"memory", ui.Bytes(r.PeakRSSBytes) + " at most"},
		{"run", r.RunDir},
	}
	for before := r.TeacherRun; before != nil; before = before.TeacherRun {
		text := fmt.Sprintf("%s, %d steps in %s", before.RunDir, before.Steps, ui.Duration(duration(before.Seconds)))
		if !math.IsNaN(before.ValLoss) {
			text += fmt.Sprintf(", validation %.4f nats a token", before.ValLoss)
		}
		rows = append(rows, []string{"teacher", text})
	}
	if r.SkippedSteps > 0 {
		rows = append(rows, []string{"skipped", fmt.Sprintf("%d steps whose loss or gradient was not finite", r.SkippedSteps)})
	}
	if !math.IsNaN(r.ValBitsPerByte) {
		rows = append(rows, []string{"validation", fmt.Sprintf("%.4f bits per byte, %.4f nats a token, in windows as long as training's", r.ValBitsPerByte, r.ValLoss)})
	}
	if l := r.CarriedValLoss; l != nil {
		rows = append(rows, []string{"carried", fmt.Sprintf("%.4f bits per byte, %.4f nats a token, with the state carried over the text", r.BitsPerByte(*l), *l)})
	}
	if r.RoundedValLoss != nil {
		rows = append(rows, []string{"exported", fmt.Sprintf("rounded to codes, %.4f bits per byte", r.BitsPerByte(*r.RoundedValLoss))})
	}
	if f := r.FineTuned; f != nil {
		rows = append(rows, []string{"started", fmt.Sprintf("from %s at %.4f bits per byte", f.From, r.BitsPerByte(f.StartValLoss))})
		if f.StartRoundedLoss != f.StartValLoss && !math.IsNaN(f.StartRoundedLoss) {
			rows = append(rows, []string{"rounded", fmt.Sprintf("to codes at once, without training: %.4f bits per byte", r.BitsPerByte(f.StartRoundedLoss))})
		}
		if !math.IsNaN(f.ReplayLoss) {
			rows = append(rows, []string{"replayed", fmt.Sprintf("text: %.4f nats a token at the start, %.4f now", f.StartReplayLoss, f.ReplayLoss)})
		}
	}
	if r.Packed != nil {
		rows = append(rows, []string{"packed", fmt.Sprintf("%s, %s, %.3f bits a ternary weight", r.Packed.Path, ui.Bytes(r.Packed.Bytes), r.Packed.BitsPerWeight)})
	}
	if r.Verify != nil {
		rows = append(rows, []string{"verified", verdict(r.Verify)})
	}
	if err := ui.Table(w, nil, rows); err != nil || r.Sample == "" {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Sample)
	return err
}

// verdict says in one line what a verification found.
func verdict(v *verify.Report) string {
	if !v.Identical {
		return fmt.Sprintf("DIFFERENT: %d of %d values, the first in %s at %d", v.Mismatches, v.ValuesCompared, v.First.Tensor, v.First.Index)
	}
	return fmt.Sprintf("%d logits, %d values in all, identical in every bit; %s weight adds, %d weight multiplies",
		v.LogitsCompared, v.ValuesCompared, ui.Count(float64(v.Operations.WeightAdds)), v.Operations.WeightMultiplies)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
