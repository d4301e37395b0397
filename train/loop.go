package train

import (
	"context"
	"fmt"
	"math"
	"time"

	"mmfree/data"
	"mmfree/ternary/spec"
	"mmfree/train/metrics"
)

// patience is the number of steps in a row that may be skipped for want of a finite loss or gradient.
const patience = 50

// do runs the steps that are left, then what comes after them.
func (t *run) do(ctx context.Context) (*Result, error) {
	c := t.Config
	all, ternary := spec.Parameters(c.Model)
	perToken, err := t.text.bytesPerToken()
	if err != nil {
		return nil, err
	}
	if t.Hooks.Start != nil {
		t.Hooks.Start(Plan{
			Dir: t.Dir, Corpus: t.text.name, Config: c, Parameters: all, Ternary: ternary,
			TrainTokens: t.text.loader.Train().Len(), ValTokens: t.text.loader.Val().Len(), FirstStep: t.state.Step + 1, Bare: t.Bare,
		})
	}
	result := &Result{
		RunDir: t.Dir, Arch: c.Model.Arch, Parameters: all, BytesPerToken: perToken,
		ValLoss: math.NaN(), ValBitsPerByte: math.NaN(), FineTuned: t.fineTuned(),
	}
	err = t.steps(ctx)
	result.Interrupted = ctx.Err() != nil
	result.Steps, result.TokensSeen, result.Seconds = t.state.Step, t.state.Tokens, t.state.Seconds
	result.SkippedSteps, result.TrainLoss = t.state.SkippedSteps, math.NaN()
	if t.state.TrainLoss != nil {
		result.TrainLoss = *t.state.TrainLoss
	}
	if t.state.Seconds > 0 { // of the whole run, as the tokens and the seconds beside it are
		result.TokensPerSecond = float64(t.state.Tokens) / t.state.Seconds
	}
	if err == nil && !result.Interrupted {
		err = t.finish(ctx, result)
		result.Interrupted = ctx.Err() != nil
		if result.Interrupted {
			err = nil
		}
	}
	result.PeakRSSBytes = metrics.PeakRSS()
	return result, err
}

// steps trains until the last step, the end of the time budget, or a cancelled context; in each case what was reached is
// saved.
func (t *run) steps(ctx context.Context) error {
	c := t.Config.Train
	schedule := NewSchedule(c)
	t.text.start(&t.Config)
	tokens := int64(t.Config.rows() * t.Config.Data.SeqLen)
	clock := stopwatch{since: time.Now()}
	for ctx.Err() == nil {
		t.noteSaved(false)
		share := t.share()
		if share >= 1 {
			break
		}
		t.state.Step++
		lr := schedule.LRAt(share, int(t.state.Step)) * t.Config.Quant.rewarm(c.Steps, int(t.state.Step))
		t.optimizer.WeightDecay = schedule.WeightDecay(share)
		if err := t.blend(share); err != nil {
			return err
		}
		t.pace(share)
		look := t.health.due(t.state.Step)
		if look {
			t.health.before(t)
		}
		loss, norm, err := t.step(lr)
		if err != nil {
			return err
		}
		t.state.Tokens += tokens
		t.state.Seconds += clock.lap()
		clock.tokens += tokens
		line := metrics.Line{
			Step: t.state.Step, Tokens: t.state.Tokens, Loss: loss, LR: lr, GradNorm: norm,
			TokensPerSecond: clock.rate(), Seconds: t.state.Seconds, SkippedSteps: t.state.SkippedSteps,
		}
		if t.teacher != nil {
			line.TeacherLoss = metrics.Value(t.taught / float64(tokens))
		}
		if look {
			if line.Health, err = t.health.after(t, share); err != nil {
				return err
			}
		}
		if err := t.after(&line, &clock); err != nil {
			return err
		}
		if t.Hooks.Step != nil {
			line.RSSBytes = metrics.CurrentRSS()
			t.Hooks.Step(Progress{Line: line, Steps: int64(c.Steps), Share: min(1, t.share())})
		}
		if t.state.SkippedInARow >= patience {
			return fmt.Errorf("%w: loss or gradient was NaN or infinite for %d steps in a row, up to step %d", ErrDiverged, patience, t.state.Step)
		}
	}
	if err := t.blend(min(1, t.share())); err != nil {
		return err
	}
	return t.saveLast()
}

// share returns how much of the run lies behind: of its steps, or of its minutes; 1 and above is the end.
func (t *run) share() float64 {
	if c := t.Config.Train; c.Minutes > 0 {
		return t.state.Seconds / (60 * c.Minutes)
	}
	return float64(t.state.Step) / float64(t.Config.Train.Steps)
}

// step makes one optimiser step from as many micro-batches as the configuration asks for, and returns the mean loss in
// nats a token and the gradient's norm. A step whose loss or norm is not finite changes nothing and is counted.
func (t *run) step(lr float64) (loss, norm float64, err error) {
	first := t.text.at.rows
	batches, err := t.text.next()
	if err != nil {
		return 0, 0, err
	}
	labels := 0
	for _, batch := range batches {
		labels += batch.Counted()
	}
	count := float64(labels)
	t.session.ZeroGrads()
	t.taught = 0
	for micro, batch := range batches {
		if t.teacher != nil {
			targets, err := t.teacher.teach(batch, first+uint64(micro*batch.B))
			if err != nil {
				return 0, 0, fmt.Errorf("step %d: %w", t.state.Step, err)
			}
			t.session.Teach(targets)
		}
		if t.carried != nil {
			t.session.Carry(t.carried[micro])
		}
		t.session.Draw(t.Config.Train.Seed ^ (uint64(t.state.Step)*maxBatch+uint64(micro))*0x9e3779b97f4a7c15)
		sum, err := t.session.BackwardDocuments(batch.IDs, batch.Labels, batch.Starts, batch.B, 1/count)
		if err != nil {
			return 0, 0, fmt.Errorf("step %d: %w", t.state.Step, err)
		}
		loss += sum
		if t.teacher != nil {
			t.taught += t.teacher.targets.KLSum
		}
	}
	loss /= count
	norm = t.optimizer.GradNorm()
	finite := !math.IsNaN(loss) && !math.IsInf(loss, 0)
	if finite {
		t.state.TrainLoss = &loss
	}
	if finite && t.optimizer.Step(lr, norm) {
		t.session.WeightsChanged()
		t.state.SkippedInARow = 0
	} else {
		t.state.SkippedSteps++
		t.state.SkippedInARow++
		for _, s := range t.carried { // a NaN would stay in them
			s.Reset()
		}
	}
	return loss, norm, nil
}

// after does what is due behind a step: evaluate, log, save.
func (t *run) after(line *metrics.Line, clock *stopwatch) error {
	c, step := t.Config.Train, t.state.Step
	due := func(every int) bool { return every > 0 && step%int64(every) == 0 }
	if due(c.EvalEvery) && t.text.loader.Val().Len() > 0 {
		var err error
		if line.ValLoss, line.ValBitsPerByte, err = t.evaluate(t.text.loader, c.EvalTokens); err != nil {
			return err
		}
		line.Evaluated = true
		clock.lap() // evaluation is not training time
	}
	if line.Evaluated || line.Health != nil || due(c.LogEvery) || step == 1 {
		line.RSSBytes = metrics.CurrentRSS()
		if err := t.record(*line); err != nil {
			return err
		}
		clock.restart()
	}
	var best *float64
	if line.Evaluated && t.arrived() && line.ValLoss < t.lowest {
		best = &line.ValLoss
	}
	if due(c.SaveEvery) || best != nil && c.SaveEvery > 0 {
		if best != nil {
			t.lowest = *best
		}
		if err := t.saveBeside(best); err != nil {
			return err
		}
		clock.lap()
	}
	return nil
}

// evaluate returns the mean loss over the held-out text of l, in nats a token and in bits a byte: over its first tokens
// where limit is above 0, else over all.
func (t *run) evaluate(l *data.Loader, limit int) (loss, bitsPerByte float64, err error) {
	c := t.Config.Data
	walk, err := l.Validation(c.SeqLen, c.BatchSize)
	if err != nil {
		return 0, 0, err
	}
	var sum float64
	predicted := make([]int32, 0, limit)
	for b := walk.Next(); b != nil && (limit <= 0 || len(predicted) < limit); b = walk.Next() {
		nats, err := t.session.EvaluateDocuments(b.IDs, b.Labels, b.Starts, b.B)
		if err != nil {
			return 0, 0, err
		}
		sum += nats
		for _, l := range b.Labels {
			if l != data.IgnoreLabel {
				predicted = append(predicted, l)
			}
		}
	}
	bytes, err := t.text.bytesOf(predicted)
	return sum / float64(len(predicted)), sum / math.Ln2 / float64(bytes), err
}

// stopwatch measures training time without what is done between steps.
type stopwatch struct {
	since  time.Time
	total  float64 // seconds since the last restart
	tokens int64   // trained since then
}

// lap returns the seconds since the last lap.
func (s *stopwatch) lap() float64 {
	now := time.Now()
	d := now.Sub(s.since).Seconds()
	s.since = now
	s.total += d
	return d
}

func (s *stopwatch) rate() float64 {
	if s.total <= 0 {
		return 0
	}
	return float64(s.tokens) / s.total
}

func (s *stopwatch) restart() { s.total, s.tokens = 0, 0 }
