package train

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"mmfree/checkpoints"
	"mmfree/data"
	"mmfree/ternary/spec"
	"mmfree/train/convert"
)

// FineTuneConfig says which model a run starts from, and what of it moves how fast.
type FineTuneConfig struct {
	From        string   `yaml:"from" help:"model whose weights the run starts from, and whose shape it has; empty = drawn from the seed"`
	To          string   `yaml:"to" help:"architecture to convert a transformer to: bitnet or matmulfree; empty = as it is"`
	Widen       int      `yaml:"widen" help:"times as wide as finetune.from, a transformer: channels, heads and MLP stand side by side, and the function is the same; 1 = as wide"`
	MLPWidth    int      `yaml:"mlp_width" help:"values of the MLP that are kept of a transformer, the strongest, before it is widened; 0 = all"`
	Match       float64  `yaml:"match" help:"share of the run, at its beginning, in which token mixers alone are trained, to put out what the teacher's do, by default those of the model that it starts from; 0 = none"`
	Freeze      []string `yaml:"freeze" help:"patterns of tensors that stay as they are, such as model.embed*; * is any text"`
	Rates       []string `yaml:"rates" help:"PATTERN=FACTOR of the learning rate, such as model.layers.0.*=0.1; the last that fits counts"`
	LayerDecay  float64  `yaml:"layer_decay" help:"factor of the learning rate from each layer to the one before it, and to the embeddings; 1 = none"`
	Replay      []string `yaml:"replay" help:"text of the kind that the model learned before, mixed in against forgetting"`
	ReplayShare float64  `yaml:"replay_share" help:"share of the sequences that come from replay"`
}

// FineTuned is what a run from weights adds to its Result. Losses are NaN where nothing was measured.
type FineTuned struct {
	From         string  `json:"from"`
	Teacher      *string `json:"teacher"`
	StartValLoss float64 `json:"start_val_loss"` // on train.eval_tokens of the held-out text, before the first step
	// StartRoundedLoss is the same of the converted weights rounded to codes at once, without training.
	StartRoundedLoss float64 `json:"start_rounded_loss"`
	StartReplayLoss  float64 `json:"start_replay_loss"` // the same on the held-out part of finetune.replay
	ReplayLoss       float64 `json:"replay_loss"`       // at the end
}

const maxRateFactor = 1000

func (v *validator) fineTune(f *FineTuneConfig) {
	v.text("finetune.from", f.From)
	v.whole("finetune.widen", f.Widen, 1, 64)
	v.whole("finetune.mlp_width", f.MLPWidth, 0, 1<<24)
	v.above0("finetune.layer_decay", f.LayerDecay, 1)
	v.between("finetune.match", f.Match, 0, 1)
	v.between("finetune.replay_share", f.ReplayShare, 0, 0.99)
	for _, p := range f.Replay {
		v.text("finetune.replay", p)
		if p == "" {
			v.bad("finetune.replay", "name a text file", "holds an empty path")
		}
	}
	for _, p := range f.Freeze {
		v.pattern("finetune.freeze", p)
	}
	for _, r := range f.Rates {
		if p, factor, ok := cutRate(r); ok {
			v.pattern("finetune.rates", p)
			v.between("finetune.rates", factor, 0, maxRateFactor)
		} else {
			v.bad("finetune.rates", "write PATTERN=FACTOR, as in model.layers.0.*=0.1", "%q assigns no factor", shorten(r))
		}
	}
}

func (v *validator) pattern(key, p string) {
	v.text(key, p)
	if _, err := path.Match(p, ""); err != nil || p == "" {
		v.bad(key, "write a tensor's name; * stands for any text, ? for one letter, [0-3] for one of a range", "%q is no pattern", shorten(p))
	}
}

// cutRate takes PATTERN=FACTOR apart.
func cutRate(rate string) (pattern string, factor float64, ok bool) {
	pattern, text, ok := strings.Cut(rate, "=")
	factor, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return strings.TrimSpace(pattern), factor, ok && err == nil
}

// factors returns what the learning rate of each tensor is multiplied by: layer_decay for every layer behind it, times the
// last of rates that fits its name, and 0 where it is frozen. A pattern that fits no tensor is an error.
func (f *FineTuneConfig) factors(w *spec.Weights) ([]float64, error) {
	list := make([]float64, len(w.Tensors))
	for i := range w.Tensors {
		list[i] = math.Pow(f.LayerDecay, float64(layersBehind(w, w.Tensors[i].Name)))
	}
	each := func(key, pattern string, set func(i int)) error {
		fits := false
		for i := range w.Tensors {
			if ok, _ := path.Match(pattern, w.Tensors[i].Name); ok { // Validate has refused what is no pattern
				fits = true
				set(i)
			}
		}
		if !fits {
			names := make([]string, len(w.Tensors))
			for i := range names {
				names[i] = w.Tensors[i].Name
			}
			fix := "mmfree inspect MODEL lists the names; * stands for any text"
			if near := Nearest(pattern, names); near != "" {
				fix = "did you mean " + near + "?"
			}
			return &ConfigError{Key: key, Problem: fmt.Sprintf("no tensor of the model fits %q", shorten(pattern)), Fix: fix}
		}
		return nil
	}
	base := append([]float64(nil), list...)
	var faults []error
	for _, r := range f.Rates {
		pattern, factor, _ := cutRate(r)
		faults = append(faults, each("finetune.rates", pattern, func(i int) { list[i] = base[i] * factor }))
	}
	for _, pattern := range f.Freeze {
		faults = append(faults, each("finetune.freeze", pattern, func(i int) { list[i] = 0 }))
	}
	moves := false
	for _, x := range list {
		moves = moves || x > 0
	}
	if !moves {
		faults = append(faults, &ConfigError{Key: "finetune.freeze", Problem: "every tensor is frozen", Fix: "leave some to be trained"})
	}
	return list, errors.Join(faults...)
}

// matching reports whether token mixers alone are trained when the share progress of the run lies behind.
func (t *run) matching(progress float64) bool {
	return t.teacher != nil && progress < t.Config.FineTune.Match
}

// pace sets which tensors move, how fast and towards what, for the step that begins when the share progress of the run lies
// behind.
func (t *run) pace(progress float64) {
	matching := t.matching(progress)
	if t.teacher != nil {
		t.teacher.match(matching)
	}
	if t.factors == nil || t.paced && t.matched == matching {
		return
	}
	t.paced, t.matched = true, matching
	factors := slices.Clone(t.factors)
	for i := range factors {
		if name := t.weights.Tensors[i].Name; matching && !strings.Contains(name, ".attn") && !strings.Contains(name, ".self_attn.") && name != spec.LowerBoundsName {
			factors[i] = 0
		}
	}
	t.optimizer.Scale(factors)
	t.frozen = func(name string) bool {
		i, _ := t.weights.Index(name)
		return factors[i] == 0
	}
	t.session.Freeze(t.frozen)
}

// layersBehind counts the layers between a tensor and the head: 0 for the last layer's and for what stands behind it, L for
// the embeddings.
func layersBehind(w *spec.Weights, name string) int {
	L := w.Config.NumHiddenLayers
	if name == spec.EmbeddingName(w.Config) {
		return L
	}
	if rest, ok := strings.CutPrefix(name, "model.layers."); ok {
		number, _, _ := strings.Cut(rest, ".")
		if l, err := strconv.Atoi(number); err == nil {
			return L - 1 - l
		}
	}
	return 0
}

// openBase opens the model that the run starts from and takes its configuration over; nil where the run draws its own
// weights. A run that has a checkpoint goes on from there alone, so that finetune.from may be gone by then.
func (t *run) openBase() (*Model, error) {
	from := t.Config.FineTune.From
	if from == "" {
		return nil, nil
	}
	if t.Resume {
		begun, err := checkpoints.Begun(t.Dir)
		if err != nil {
			return nil, err
		}
		if begun {
			newest, _, err := checkpoints.Newest(t.Dir)
			if err != nil {
				return nil, err
			}
			from = newest.Dir
		}
	}
	m, err := Open(from)
	if err != nil {
		return nil, err
	}
	for _, w := range m.Warnings {
		t.notice(w)
	}
	if m.Weights == nil {
		return nil, errors.Join(m.Close(), &InputError{
			Source: from, Problem: "holds codes; training needs the full-precision weights that they were made from",
			Fix: "name the run, checkpoint or folder that it was exported from",
		})
	}
	if err := m.checkFinite(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if from == t.Config.FineTune.From { // a checkpoint of this run has its shape
		t.shape = convert.Shape{Widen: t.Config.FineTune.Widen, MLP: t.Config.FineTune.MLPWidth}
	}
	if t.Config.Model, err = convert.Config(m.Config, t.shape, t.Config.FineTune.To); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// calibrationTokens is how much of the training text conversion looks at.
const calibrationTokens = 2048

// convert fills in the weights that the run starts from.
func (t *run) convert() error {
	base, err := t.shape.Weights(t.base.Weights, t.Config.Train.Seed)
	if err != nil {
		return err
	}
	T := t.Config.Data.SeqLen
	train := t.text.loader.Train()
	B := min(train.Len()/T, (calibrationTokens+T-1)/T)
	return convert.Weights(t.weights, base, convert.Text{IDs: data.Read(train, B*T), B: B}, t.Config.Train.Seed, t.Machine.Set, t.Machine.Pool)
}

// measureStart evaluates the weights that the run starts from.
func (t *run) measureStart() (err error) {
	if t.text.loader.Val().Len() > 0 {
		loss := 0.0
		if loss, _, err = t.evaluate(t.text.loader, t.Config.Train.EvalTokens); err != nil {
			return err
		}
		t.state.StartValLoss = &loss
	}
	if t.Config.Quant.blends() && !t.settled {
		if t.state.StartRoundedLoss, err = t.roundedLoss(t.Config.Train.EvalTokens); err != nil {
			return err
		}
		if err := t.blend(t.share()); err != nil {
			return err
		}
	} else {
		t.state.StartRoundedLoss = t.state.StartValLoss
	}
	t.state.StartReplayLoss, err = t.replayLoss()
	return err
}

// replayLoss returns the loss on the held-out part of the replayed text, or nil where there is none.
func (t *run) replayLoss() (*float64, error) {
	if t.text.replay == nil || t.text.replay.Val().Len() == 0 {
		return nil, nil
	}
	loss, _, err := t.evaluate(t.text.replay, t.Config.Train.EvalTokens)
	return &loss, err
}

// fineTuned is the part of the result that only a run from weights has, without what is measured at the end.
func (t *run) fineTuned() *FineTuned {
	if t.Config.FineTune.From == "" {
		return nil
	}
	var teacher *string
	if path := t.teacherPath(); path != "" {
		teacher = &path
	}
	return &FineTuned{
		Teacher: teacher, From: t.Config.FineTune.From, StartValLoss: known(t.state.StartValLoss), StartReplayLoss: known(t.state.StartReplayLoss),
		StartRoundedLoss: known(t.state.StartRoundedLoss), ReplayLoss: math.NaN(),
	}
}

func known(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// loadReplay reads finetune.replay with the run's tokenizer.
func (t *text) loadReplay(c *Config, threads int) error {
	if len(c.FineTune.Replay) == 0 || c.FineTune.ReplayShare == 0 {
		return nil
	}
	source, err := openSource(c.FineTune.Replay)
	if err != nil {
		return err
	}
	t.sources = append(t.sources, source)
	t.replaySHA256, t.replayShare = source.sha256, c.FineTune.ReplayShare
	if err := source.encode(t.tokenizer, threads); err != nil {
		return err
	}
	t.replay, err = source.loader(c)
	return err
}
