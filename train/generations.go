package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
)

// TeacherFolder is where a run folder holds the run folder of the generation before, see distill.generations.
const TeacherFolder = "teacher"

// teacherPath returns the model that teaches the run; empty where there is none.
func (t *run) teacherPath() string {
	if t.Config.Distill.Generations > 1 {
		return filepath.Join(t.Dir, TeacherFolder)
	}
	return t.Config.Distill.Teacher
}

// trainTeacher trains the generation before the run's (Furlanello et al. 2018, Born-Again Neural Networks), or goes on with
// it; nil where there is none. It is a run of its own: one generation less, the next seed, and otherwise the same configuration.
func (t *run) trainTeacher(ctx context.Context) (*Result, error) {
	if n := t.Config.Distill.Generations; n <= 1 || n > maxGenerations { // too many are refused with all other faults
		return nil, nil
	}
	r := t.Request
	r.Dir, r.Bare, r.Replace, r.student = t.teacherPath(), true, false, t
	r.Config.Distill.Generations--
	r.Config.Train.Seed++
	if t.Resume {
		file := filepath.Join(r.Dir, ConfigFile)
		_, err := t.FS.Stat(file)
		r.Resume = err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		begun, err := checkpoints.Begun(t.Dir)
		if err != nil {
			return nil, err
		}
		if begun { // by a whole teacher, which stays as it is, whatever the run's configuration says by now
			if err := t.settle(); err != nil {
				return nil, err
			}
			r.student = nil
			if r.Config, err = ReadConfig(file); err != nil {
				return nil, err
			}
		}
	}
	result, err := Start(ctx, r)
	if errors.Is(err, ErrDiverged) {
		err = fmt.Errorf("%s: %w", r.Dir, err)
	}
	return result, err
}

// settle claims the run folder, and before it that of the student, in which it lies. A run whose teacher was trained has
// been settled by it.
func (t *run) settle() error {
	if t.lock != nil {
		return nil
	}
	if t.student != nil {
		if err := t.student.settle(); err != nil {
			return err
		}
	}
	return t.claim()
}

// writeConfig writes the run's configuration; that of the student first, by which both are resumed.
func (t *run) writeConfig() error {
	if t.student != nil {
		if err := t.student.writeConfig(); err != nil {
			return err
		}
	}
	return durable.WriteFile(t.FS, filepath.Join(t.Dir, ConfigFile), durable.Bytes(t.Config.YAML()))
}

// unbegun is the result of a run that was stopped while its teacher was trained.
func (t *run) unbegun(teacher *Result) *Result {
	nan := math.NaN()
	tuned := teacher.FineTuned
	if tuned != nil {
		path := t.teacherPath()
		tuned = &FineTuned{Teacher: &path, From: tuned.From, StartValLoss: nan, StartReplayLoss: nan, StartRoundedLoss: nan, ReplayLoss: nan}
	}
	return &Result{
		RunDir: t.Dir, Arch: teacher.Arch, Parameters: teacher.Parameters, BytesPerToken: teacher.BytesPerToken, PeakRSSBytes: teacher.PeakRSSBytes,
		TrainLoss: nan, ValLoss: nan, ValBitsPerByte: nan, Interrupted: true, TeacherRun: teacher, FineTuned: tuned,
	}
}
