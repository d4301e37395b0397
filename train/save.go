package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/ternary/spec"
	"mmfree/train/metrics"
)

// saver writes checkpoints beside training: a step waits for the copy of what is saved, not for the disk. A second
// checkpoint that is due before the first is written waits for it.
type saver struct {
	weights, m, v *spec.Weights // the copy; made once, filled for each checkpoint
	outcome       chan saved    // of the checkpoint being written; nil: none is
	mute          bool          // that lines of metrics have to wait has been said
}

// saved is what became of a checkpoint.
type saved struct {
	step  int64
	whole bool  // it is there; err, if any, came afterwards
	err   error // class durable.ErrWrite, where the disk is at fault
}

// saveBeside begins to save the present step. A loss that is not nil makes it the best one, if it is saved.
func (t *run) saveBeside(best *float64) error {
	t.noteSaved(true)
	if t.saved == t.state.Step {
		return nil
	}
	s := &t.saver
	if s.weights == nil {
		s.weights, s.m, s.v = t.weights.Like(), t.weights.Like(), t.weights.Like()
	}
	copy(s.weights.Flat(), t.weights.Flat())
	copy(s.m.Flat(), t.optimizer.M.Flat())
	copy(s.v.Flat(), t.optimizer.V.Flat())
	parts, err := t.parts(s.weights, s.m, s.v)
	if err != nil {
		return err
	}
	step, done := t.state.Step, make(chan saved, 1)
	s.outcome = done
	go func() { done <- t.write(step, parts, best) }()
	return nil
}

// saveLast saves what the run has come to, unless it is saved, and returns when it is on the disk. What could not be saved
// beside training a moment ago is not tried again.
func (t *run) saveLast() error {
	result, some := t.take(true)
	if !some || result.step != t.state.Step {
		if some {
			t.answer(result)
		}
		if t.saved == t.state.Step {
			return nil
		}
		parts, err := t.parts(t.weights, t.optimizer.M, t.optimizer.V)
		if err != nil {
			return err
		}
		result = t.write(t.state.Step, parts, nil)
	}
	if !result.whole {
		return fmt.Errorf("step %d is not saved, %s: %w", result.step, t.lastWhole(), result.err)
	}
	t.answer(result)
	return nil
}

// noteSaved answers a checkpoint that was written meanwhile; with wait, once it is.
func (t *run) noteSaved(wait bool) {
	if result, some := t.take(wait); some {
		t.answer(result)
	}
}

// take returns what became of the checkpoint being written, if there is one and it is, or is waited for.
func (t *run) take(wait bool) (result saved, some bool) {
	if t.saver.outcome == nil || !wait && len(t.saver.outcome) == 0 {
		return result, false
	}
	result = <-t.saver.outcome
	t.saver.outcome = nil
	return result, true
}

// answer says what went wrong with a checkpoint. Training goes on: what was saved before is whole, and the next attempt
// may find room.
func (t *run) answer(s saved) {
	if s.whole {
		t.saved = s.step
	}
	switch {
	case s.err == nil:
		return
	case s.whole:
		t.notice(fmt.Sprintf("step %d is saved, but then: %v", s.step, s.err))
	default:
		t.notice(fmt.Sprintf("step %d is not saved, %s; training goes on: %v", s.step, t.lastWhole(), s.err))
	}
	t.findLowest() // the step that failed may have been meant as the best
}

func (t *run) lastWhole() string {
	if t.saved < 0 {
		return "there is no checkpoint yet"
	}
	return fmt.Sprintf("the last whole checkpoint is of step %d", t.saved)
}

// findLowest sets lowest to what is recorded as the best.
func (t *run) findLowest() {
	t.lowest = math.Inf(1)
	if _, loss, ok := t.folder.Best(); ok {
		t.lowest = loss
	}
}

// parts describes a checkpoint of the present step with these values.
func (t *run) parts(weights, m, v *spec.Weights) (p checkpoints.Parts, err error) {
	t.state.Position, t.state.OptimizerSteps = t.text.at.position, t.optimizer.Steps
	if t.text.replay != nil {
		p := t.text.at.replay
		t.state.ReplayPosition = &p
	}
	text, err := json.MarshalIndent(t.state, "", "  ")
	if err != nil {
		return p, err
	}
	carried := t.carriedTensors()
	for i := range carried { // a copy: training goes on while it is written
		carried[i].Values = slices.Clone(carried[i].Values)
	}
	return checkpoints.Parts{Weights: weights, Optimizer: append(moments(m, v), carried...), State: append(text, '\n'), Tokenizer: t.tokenizerJSON}, nil
}

func moments(m, v *spec.Weights) []checkpoints.NamedTensor {
	return append(checkpoints.Moments("exp_avg", m), checkpoints.Moments("exp_avg_sq", v)...)
}

// carriedTensors names the recurrent states that the next step begins with, of data.carry_windows: carried.MICROBATCH.PART.
// The values are the run's own.
func (t *run) carriedTensors() (list []checkpoints.NamedTensor) {
	for micro, s := range t.carried {
		for part, values := range s.Parts {
			if values != nil {
				list = append(list, checkpoints.NamedTensor{Name: fmt.Sprintf("carried.%d.%d", micro, part), Shape: []int{len(values)}, Values: values})
			}
		}
	}
	return list
}

// write writes a checkpoint. It may run beside the training loop: beyond its arguments it touches only the folder and the
// metrics, which are safe for that.
func (t *run) write(step int64, p checkpoints.Parts, best *float64) saved {
	// Lines of metrics.jsonl must not be behind the checkpoint: a resumed run drops what is ahead of it, and cannot make
	// what is missing.
	if err := t.metrics.Sync(); err != nil {
		return saved{step, false, err}
	}
	if _, err := t.folder.Save(int(step), p); err != nil {
		return saved{step, false, err}
	}
	var err error
	if best != nil {
		_, err = t.folder.MarkBest(int(step), *best)
	}
	return saved{step, true, errors.Join(err, t.folder.Retain(t.Config.Train.KeepLast))}
}

// record appends a line to the metrics. Where the disk refuses it waits in memory, and training goes on.
func (t *run) record(line metrics.Line) error {
	err := errors.Join(t.metrics.Append(line), t.board.Append(line, time.Now()))
	if err != nil && !errors.Is(err, durable.ErrWrite) {
		return err
	}
	if err != nil && !t.saver.mute {
		t.notice(fmt.Sprintf("metrics of step %d wait in memory until they can be written: %v", line.Step, err))
	}
	t.saver.mute = err != nil
	return nil
}
