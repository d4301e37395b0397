package checkpoints

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mmfree/checkpoints/durable"
)

// MarkBest records step, which must be saved, as the best if its validation loss is lower than that of the one recorded
// so far, and reports whether it did. A loss that is not a number never is.
func (r *Run) MarkBest(step int, valLoss float64) (bool, error) {
	name := stepPrefix + strconv.Itoa(step)
	if _, err := r.fs.Stat(filepath.Join(r.dir, name)); err != nil {
		return false, Unreadable(filepath.Join(r.dir, name), err)
	}
	if _, loss, ok := r.best(); math.IsNaN(valLoss) || ok && valLoss >= loss {
		return false, nil
	}
	text := fmt.Sprintf("%s %s\n", name, strconv.FormatFloat(valLoss, 'g', -1, 64))
	return true, r.put(filepath.Join(r.dir, bestName), text)
}

// best returns what is recorded; false when nothing legible is, or the step is gone.
func (r *Run) best() (step int, loss float64, ok bool) {
	text, err := r.readSmall(filepath.Join(r.dir, bestName))
	if err != nil {
		return 0, 0, false
	}
	name, number, _ := strings.Cut(strings.TrimSpace(text), " ")
	step, ok = parseStep(name)
	loss, err = strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return 0, 0, false
	}
	_, err = r.fs.Stat(filepath.Join(r.dir, name))
	return step, loss, err == nil
}

// Best returns the checkpoint with the lowest validation loss recorded, or false. It is not verified.
func (r *Run) Best() (c Checkpoint, valLoss float64, ok bool) {
	step, loss, ok := r.best()
	return Checkpoint{Step: step, Dir: filepath.Join(r.dir, stepPrefix+strconv.Itoa(step))}, loss, ok
}

// Retain removes checkpoints but the last (at least 1) up to latest and the best. It is to be called after Save has
// returned nil. Steps behind latest belong to another course of the run and are left alone; without a legible latest
// nothing is removed.
func (r *Run) Retain(last int) error {
	latest, problem := r.readLatest()
	if problem != "" {
		return nil
	}
	steps, err := r.listSteps()
	if err != nil {
		return Unreadable(r.dir, err)
	}
	at, found := slices.BinarySearch(steps, latest)
	if !found {
		return nil
	}
	best, _, hasBest := r.best()
	for _, step := range steps[:max(0, at+1-max(last, 1))] {
		if hasBest && step == best {
			continue
		}
		if err := durable.RemoveDir(r.fs, filepath.Join(r.dir, stepPrefix+strconv.Itoa(step))); err != nil {
			return err
		}
	}
	return nil
}
