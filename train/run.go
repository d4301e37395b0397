package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mmfree/autograd"
	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/data"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
	"mmfree/train/convert"
	"mmfree/train/metrics"
	"mmfree/train/optim"
	"mmfree/train/verify"
)

// Names in a run folder, beside those of package checkpoints.
const (
	ConfigFile  = "config.yaml"
	MetricsFile = "metrics.jsonl"
	PackedFile  = "packed.safetensors"
	CurveFile   = "curve.png"
	BoardFolder = "tensorboard"
)

// Machine is what a run computes with. No choice changes a bit of the result.
type Machine struct {
	Set  *kernel.Set
	Pool *par.Pool
}

// Request says what to train, and where.
type Request struct {
	Config  Config
	Dir     string // the run folder
	Resume  bool   // go on from the folder's newest whole checkpoint, or from the start where it has none
	Replace bool   // a run that is there already is removed
	Bare    bool   // of an experiment: ends behind the last evaluation, without export, verification and sample
	Machine Machine
	Hooks   Hooks
	FS      durable.FS // where the run folder lies; nil: the machine's

	student *run // whose teacher is trained; nil: none
}

// Hooks let a caller watch; nil ones are left out. They are called between steps and decide nothing.
type Hooks struct {
	Start  func(Plan)
	Step   func(Progress)
	Notice func(text string) // something a user should know, one sentence
}

// Plan is what a run is about to do.
type Plan struct {
	Dir, Corpus            string
	Config                 Config
	Parameters, Ternary    int64
	TrainTokens, ValTokens int
	FirstStep              int64
	Bare                   bool // as the request says
}

// Progress is where a run stands behind a step.
type Progress struct {
	metrics.Line
	Steps int64   // planned; 0 under a time budget
	Share float64 // of the run that lies behind, 0 to 1
}

// Result is what a run came to. Fields that were not reached are zero; losses are NaN where nothing was measured.
type Result struct {
	RunDir            string         `json:"run_dir"`
	Arch              string         `json:"arch"`
	Parameters        int64          `json:"parameters"`
	Steps             int64          `json:"steps"`
	TokensSeen        int64          `json:"tokens_seen"`
	Seconds           float64        `json:"seconds"`
	TokensPerSecond   float64        `json:"tokens_per_second"`
	TrainLoss         float64        `json:"train_loss"`
	ValLoss           float64        `json:"val_loss"`
	ValBitsPerByte    float64        `json:"val_bits_per_byte"`
	CarriedValLoss    *float64       `json:"carried_val_loss,omitempty"` // of the export, whose state is carried over each held-out document; recurrent models alone
	PeakRSSBytes      int64          `json:"peak_rss_bytes"`
	SkippedSteps      int64          `json:"skipped_steps"`
	Interrupted       bool           `json:"interrupted"`
	Packed            *Packed        `json:"packed"`
	Verify            *verify.Report `json:"verify"`
	Sample            string         `json:"sample"`
	BytesPerToken     float64        `json:"bytes_per_token"`
	SecondsAfterwards float64        `json:"seconds_afterwards"`
	RoundedValLoss    *float64       `json:"rounded_val_loss,omitempty"` // of the export, where training stays in full precision
	FineTuned         *FineTuned     `json:"-"`                          // nil for a run from drawn weights
	TeacherRun        *Result        `json:"teacher_run,omitempty"`      // of the generation before; nil where there is none
}

// Packed describes the packed export.
type Packed struct {
	Path          string  `json:"path"`
	Bytes         int64   `json:"bytes"`
	BitsPerWeight float64 `json:"bits_per_weight"`
}

// ErrDiverged is the class of runs that cannot go on because losses or gradients stay NaN or infinite.
var ErrDiverged = errors.New("training diverged")

// FolderError says why a folder cannot take a new run. It is of class fs.ErrExist.
type FolderError struct{ Path, Problem, Fix string }

func (e *FolderError) Error() string { return e.Path + ": " + e.Problem }

// Unwrap makes errors.Is(err, fs.ErrExist) true.
func (e *FolderError) Unwrap() error { return fs.ErrExist }

// Hint says what to do.
func (e *FolderError) Hint() string { return e.Fix }

// state is state.json: all that a resumed run needs beside weights and moments.
type state struct {
	Version        int           `json:"version"`
	Step           int64         `json:"step"`
	Tokens         int64         `json:"tokens"`
	Position       data.Position `json:"data_position"` // the random state too: the data's order is a function of it and the seed
	OptimizerSteps int           `json:"optimizer_steps"`
	SkippedSteps   int64         `json:"skipped_steps"`
	SkippedInARow  int64         `json:"skipped_in_a_row"`
	Seconds        float64       `json:"seconds"`
	TrainLoss      *float64      `json:"train_loss"` // of the last step; null before the first
	Seed           uint64        `json:"seed"`
	CorpusSHA256   string        `json:"corpus_sha256"`

	// Of a run from weights.
	StartValLoss     *float64       `json:"start_val_loss,omitempty"`
	StartRoundedLoss *float64       `json:"start_rounded_loss,omitempty"`
	StartReplayLoss  *float64       `json:"start_replay_loss,omitempty"`
	ReplayPosition   *data.Position `json:"replay_position,omitempty"`
	ReplaySHA256     string         `json:"replay_sha256,omitempty"`
}

const stateVersion = 1

// run is a training run in progress.
type run struct {
	Request
	base          *Model        // that the run starts from; nil: weights are drawn
	shape         convert.Shape // in which base is converted
	text          *text
	weights       *spec.Weights
	session       *autograd.Session
	optimizer     *optim.AdamW
	folder        *checkpoints.Run
	lock          *os.File // of the run folder
	metrics       *metrics.Writer
	board         *metrics.Board
	tokenizerJSON []byte
	state         state
	settled       bool // the session was between full precision and ternary, and is ternary for good
	health        *health
	teacher       *teacher           // nil: none
	factors       []float64          // of the learning rate of each tensor; nil: all 1
	paced         bool               // they are the optimiser's, …
	matched       bool               // … those of token mixers alone
	frozen        func(string) bool  // whether the tensor of that name does not move; nil: all do
	taught        float64            // Σ divergence from it of the step in flight
	carried       []*autograd.States // of each micro-batch, see data.carry_windows; nil: none
	saver         saver
	saved         int64   // step of the newest checkpoint that is known to be whole; −1: none
	lowest        float64 // validation loss of the best checkpoint, or of the one that is being saved as it; +Inf: none
}

// Start trains, and when all steps are done exports, verifies and samples; the generations before the run's are trained
// first. A cancelled ctx saves and returns a Result with Interrupted set and no error.
func Start(ctx context.Context, r Request) (result *Result, err error) {
	t := newRun(r)
	defer func() { err = errors.Join(err, t.close()) }()
	before, err := t.trainTeacher(ctx)
	if err != nil {
		return nil, err
	}
	if before != nil && before.Interrupted {
		return t.unbegun(before), nil
	}
	if err := t.prepare(); err != nil {
		return nil, err
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	result, err = t.do(ctx)
	if result != nil {
		result.TeacherRun = before
	}
	return result, err
}

// newRun returns a run of which nothing is there yet. It is to be closed.
func newRun(r Request) *run {
	if r.FS == nil {
		r.FS = durable.OS{}
	}
	return &run{Request: r, saved: -1}
}

// prepare checks the request and makes all that lives in memory; nothing is written yet.
func (t *run) prepare() (err error) {
	if t.base, err = t.openBase(); err != nil { // the shape is its, whatever the configuration says
		return err
	}
	if t.Config.FineTune.Match > 0 && t.Config.Distill.Teacher == "" {
		t.Config.Distill.Teacher = t.Config.FineTune.From // whose layers are replaced
	}
	asked := t.Config
	if t.student != nil { // what it cannot do is said before its teacher is trained
		asked.Distill = t.student.Config.Distill
	}
	if err := asked.Validate(); err != nil {
		return err
	}
	if t.text, err = loadText(&t.Config, t.base, t.Machine.Pool.Threads()); err != nil {
		return err
	}
	if err := t.Config.Model.Validate(); err != nil { // with the vocabulary that it has now
		return err
	}
	if t.Config.Quant.blends() && !ternaryTensors(t.Config.Model) {
		return &ConfigError{
			Key: "quant.schedule", Problem: fmt.Sprintf("is %s, and a %s has nothing that could turn ternary", t.Config.Quant.Schedule, t.Config.Model.Arch),
			Fix: "leave it out, or convert the model: finetune.to=bitnet",
		}
	}
	if t.tokenizerJSON, err = t.text.tokenizer.JSON(); err != nil {
		return err
	}
	if t.weights, err = spec.NewWeights(t.Config.Model); err != nil {
		return err
	}
	h := t.Config.Train
	o := autograd.Options{Set: t.Machine.Set, Pool: t.Machine.Pool, Unfused: !h.Fused, Dropout: h.Dropout, EmbeddingDropout: h.EmbeddingDrop, Blend: t.Config.Quant.blends()}
	if h.WeightGradient == gradientInt16 {
		o.WeightGradient = autograd.Int16
		if !h.Fused {
			t.notice("train.fused is false: weight gradients are float32, train.weight_gradient counts for nothing")
		}
	}
	if t.session, err = autograd.NewSession(t.weights, o); err != nil {
		return err
	}
	if t.Config.Data.Carry > 1 {
		for range h.Accumulate {
			t.carried = append(t.carried, t.session.NewStates(t.Config.Data.BatchSize))
		}
	}
	t.optimizer = optim.New(optim.Hyper{
		Beta1: h.Beta1, Beta2: h.Beta2, Epsilon: h.Eps, WeightDecay: h.WeightDecay, Clip: h.Clip,
	}, t.weights, t.session.Grads(), t.Machine.Set, t.Machine.Pool)
	t.health = newHealth(h.HealthEvery, t.weights)
	if t.teacher, err = t.openTeacher(); err != nil {
		return err
	}
	if t.base == nil {
		return nil
	}
	t.factors, err = t.Config.FineTune.factors(t.weights)
	return err
}

// close ends what open began, as far as it came.
func (t *run) close() error {
	t.noteSaved(true)
	var errs []error
	if t.base != nil {
		errs = append(errs, t.base.Close())
	}
	if t.teacher != nil {
		errs = append(errs, t.teacher.close())
	}
	if t.text != nil {
		errs = append(errs, t.text.close())
	}
	if t.session != nil {
		errs = append(errs, t.session.Close())
	}
	if t.metrics != nil {
		errs = append(errs, t.metrics.Close())
	}
	if t.board != nil {
		errs = append(errs, t.board.Close())
	}
	if t.lock != nil {
		errs = append(errs, t.lock.Close())
	}
	return errors.Join(errs...)
}

// open makes or reopens the run folder and sets weights and state to where the run starts.
func (t *run) open() (err error) {
	if err := t.settle(); err != nil {
		return err
	}
	if t.folder, err = checkpoints.OpenRun(t.FS, t.Dir); err != nil {
		return err
	}
	t.findLowest()
	t.state = state{
		Version: stateVersion, Seed: t.Config.Train.Seed, CorpusSHA256: t.text.sha256, ReplaySHA256: t.text.replaySHA256,
	}
	if t.base != nil {
		if err := t.convert(); err != nil {
			return err
		}
	} else {
		t.weights.Init(t.Config.Train.Seed)
	}
	if t.Resume {
		if err := t.restore(); err != nil {
			return err
		}
	}
	if err := t.writeConfig(); err != nil {
		return err
	}
	var warning string
	if t.metrics, warning, err = metrics.Resume(t.FS, filepath.Join(t.Dir, MetricsFile), t.state.Step); err != nil {
		return err
	}
	if warning != "" {
		t.notice(warning)
	}
	if t.board, err = metrics.NewBoard(t.FS, filepath.Join(t.Dir, BoardFolder), t.state.Step, time.Now()); err != nil {
		return err
	}
	if err := t.blend(t.share()); err != nil || t.base == nil || t.state.Step > 0 {
		return err
	}
	return t.measureStart()
}

// claim decides whether the folder may be used, and locks it.
func (t *run) claim() error {
	_, err := t.FS.Stat(filepath.Join(t.Dir, ConfigFile))
	switch {
	case errors.Is(err, fs.ErrNotExist): // no run yet, or one that was killed before it began
		if err := t.vacant(); err != nil {
			return err
		}
	case err != nil:
		return err
	case t.Replace && !t.Resume:
		lock, err := durable.Lock(t.Dir) // not while somebody trains in it
		if err != nil {
			return err
		}
		if err := errors.Join(durable.RemoveDir(t.FS, t.Dir), lock.Close()); err != nil {
			return err
		}
	case !t.Resume:
		return &FolderError{Path: t.Dir, Problem: "a run is there already", Fix: "choose another folder, replace the run with --force, or go on with it: --resume " + t.Dir}
	}
	if err := durable.MkdirAll(t.FS, t.Dir); err != nil {
		return err
	}
	t.lock, err = durable.Lock(t.Dir)
	return err
}

// vacant returns an error if the folder holds anything but the beginnings of a run.
func (t *run) vacant() error {
	entries, err := t.FS.ReadDir(t.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !durable.IsTemp(e.Name()) && e.Name() != "checkpoints" && e.Name() != TeacherFolder {
			return &FolderError{Path: t.Dir, Problem: "the folder holds " + e.Name() + ", which is no run's", Fix: "choose a folder that is empty or does not exist"}
		}
	}
	return err
}

// restore loads the newest whole checkpoint; a run that was stopped before its first begins again.
func (t *run) restore() error {
	parts := checkpoints.Parts{Weights: t.weights, Optimizer: append(moments(t.optimizer.M, t.optimizer.V), t.carriedTensors()...)}
	newest, empty, warnings, err := t.folder.LoadNewest(&parts)
	for _, w := range warnings {
		t.notice(w)
	}
	if err != nil {
		return err
	}
	if empty {
		t.notice("no checkpoint yet: starting from the beginning")
		return nil
	}
	var s state
	statePath := filepath.Join(newest.Dir, "state.json")
	bad := func(problem, fix string) error {
		return &checkpoints.Error{Path: statePath, Problem: problem, Fix: fix}
	}
	if err := json.Unmarshal(parts.State, &s); err != nil {
		return bad(err.Error(), "resume from another checkpoint: remove this one")
	}
	switch {
	case s.Version != stateVersion:
		return bad(fmt.Sprintf("version %d is not known", s.Version), "resume with the version of mmfree that wrote it")
	case s.CorpusSHA256 != t.text.sha256:
		return bad("the run was trained on another text than "+t.text.name+" holds now",
			"bring the text back as it was, or start a new run")
	case s.ReplaySHA256 != t.text.replaySHA256:
		return bad("the run replayed another text than finetune.replay holds now", "bring the text back as it was, or start a new run")
	case s.Seed != t.Config.Train.Seed:
		return bad(fmt.Sprintf("the run has seed %d, the configuration says %d", s.Seed, t.Config.Train.Seed), "keep train.seed, or start a new run")
	}
	at := place{position: s.Position, rows: uint64(s.Tokens) / uint64(t.Config.Data.SeqLen)}
	if s.ReplayPosition != nil {
		at.replay = *s.ReplayPosition
	}
	if err := t.text.seek(at); err != nil {
		return err
	}
	t.state, t.saved, t.optimizer.Steps = s, s.Step, s.OptimizerSteps
	t.session.WeightsChanged()
	return nil
}

func (t *run) notice(text string) {
	if t.Hooks.Notice != nil {
		t.Hooks.Notice(text)
	}
}
