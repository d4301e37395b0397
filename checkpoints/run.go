package checkpoints

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/safetensors"
)

// Names in a run folder.
const (
	runConfigName   = "config.yaml"
	checkpointsName = "checkpoints"
	latestName      = "latest"
	bestName        = "best"
	stepPrefix      = "step-"
)

// Run is a run folder open for writing, by one process at a time.
type Run struct {
	fs  durable.FS
	dir string // RUN/checkpoints
}

// OpenRun opens a run folder for writing, makes what is missing of it, and removes what killed processes left
// unfinished. To read only, use Newest and LoadParts: they need no Run and change nothing.
func OpenRun(fsys durable.FS, dir string) (*Run, error) {
	r := &Run{fs: fsys, dir: filepath.Join(dir, checkpointsName)}
	if err := durable.MkdirAll(fsys, r.dir); err != nil {
		return nil, err
	}
	// Whoever made the folders may have been killed before their names were durable.
	for _, d := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err := fsys.SyncDir(d); err != nil {
			return nil, &durable.WriteError{Path: d, Op: "sync", Err: err}
		}
	}
	return r, errors.Join(durable.CleanTemps(fsys, dir), durable.CleanTemps(fsys, r.dir))
}

// Save writes checkpoints/step-N, whole or not at all, and then points latest at it; a step-N that exists is replaced.
// It returns the folder. When Save has returned nil the checkpoint is durable; when not, the one before still is.
func (r *Run) Save(step int, p Parts) (string, error) {
	name := stepPrefix + strconv.Itoa(step)
	dir := filepath.Join(r.dir, name)
	if step < 0 || p.Weights == nil {
		return "", &Error{Path: dir, Problem: "a checkpoint needs weights and a step of at least 0", Fix: "report this: it is a fault of the program"}
	}
	err := durable.ReplaceDir(r.fs, dir, func(tmp string) error { return r.build(tmp, step, p) })
	if err != nil {
		return "", err
	}
	return dir, r.put(filepath.Join(r.dir, latestName), name+"\n")
}

// build fills a checkpoint folder; the manifest comes last.
func (r *Run) build(dir string, step int, p Parts) error {
	config, err := hf.ConfigJSON(p.Weights.Config)
	if err != nil {
		return err
	}
	state := p.State
	if len(state) == 0 {
		state = []byte("{}\n")
	}
	optimizer := make([]safetensors.Tensor, len(p.Optimizer))
	for i, t := range p.Optimizer {
		optimizer[i] = safetensors.Float32Tensor(t.Name, t.Shape, t.Values, dtype.F32)
	}
	files := []struct {
		name  string
		write func(io.Writer) error
	}{
		{hf.ConfigName, durable.Bytes(config)},
		{hf.ModelName, func(w io.Writer) error { return hf.WriteModel(w, p.Weights) }},
		{optimizerName, func(w io.Writer) error {
			_, err := safetensors.Write(w, optimizer, nil, 0)
			return err
		}},
		{stateName, durable.Bytes(state)},
		{tokenizerName, durable.Bytes(p.Tokenizer)},
	}
	if p.Tokenizer == nil {
		files = files[:len(files)-1]
	}
	// Checksums are of what is meant to be written, so that they also catch a disk that lies, and are computed beside the
	// writing.
	sums := make([]ManifestFile, len(files))
	var summing sync.WaitGroup
	for i, f := range files {
		summing.Go(func() {
			sum := xxhash.New()
			counted := &durable.Counter{W: sum}
			// What fails here fails in the writing too, which says so.
			_ = f.write(counted)
			sums[i] = ManifestFile{Bytes: counted.N, XXH64: hex.EncodeToString(sum.Sum(nil))}
		})
	}
	for _, f := range files {
		if err = durable.AddFile(r.fs, filepath.Join(dir, f.name), f.write); err != nil {
			break
		}
	}
	summing.Wait() // with an error too: the values are the caller's again when Save returns
	if err != nil {
		return err
	}
	m := Manifest{Format: manifestFormat, Version: manifestVersion, Step: step, Files: map[string]ManifestFile{}}
	for i, f := range files {
		m.Files[f.name] = sums[i]
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return durable.AddFile(r.fs, filepath.Join(dir, manifestName), durable.Bytes(append(text, '\n')))
}

func (r *Run) put(path, text string) error {
	return durable.WriteFile(r.fs, path, durable.Bytes([]byte(text)))
}

// Checkpoint is one whole checkpoint of a run.
type Checkpoint struct {
	Step int
	Dir  string
}

// Newest finds the newest whole checkpoint of a run folder: the one latest names; where that is missing or damaged, the
// one before it, and so on, with a warning that names the damaged file. Every file is compared with its checksum. A run
// without any whole checkpoint is an error.
func Newest(runDir string) (c Checkpoint, warnings []string, err error) {
	r := &Run{fs: durable.OS{}, dir: filepath.Join(runDir, checkpointsName)}
	f, warnings, err := r.newest()
	if err != nil {
		return c, warnings, err
	}
	return Checkpoint{Step: f.manifest.Step, Dir: f.dir}, warnings, f.close()
}

// Begun reports whether anything is saved in a run folder, and changes nothing: what a killed process left unfinished is nothing, and so
// is no folder.
func Begun(runDir string) (bool, error) {
	r := &Run{fs: durable.OS{}, dir: filepath.Join(runDir, checkpointsName)}
	begun, err := r.begun()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, Unreadable(r.dir, err)
	}
	return begun, nil
}

func (r *Run) begun() (bool, error) {
	entries, err := r.fs.ReadDir(r.dir)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !durable.IsTemp(e.Name()) }), err
}

// LoadNewest restores the newest whole checkpoint into p, as Newest finds it and LoadParts loads it: what is loaded are
// the very bytes that were compared with their checksums. Empty says that nothing was saved yet, and that p is unchanged.
func (r *Run) LoadNewest(p *Parts) (c Checkpoint, empty bool, warnings []string, err error) {
	begun, err := r.begun()
	if err != nil {
		return c, false, nil, Unreadable(r.dir, err)
	}
	if !begun {
		return c, true, nil, nil
	}
	f, warnings, err := r.newest()
	if err != nil {
		return c, false, warnings, err
	}
	defer f.close()
	return Checkpoint{Step: f.manifest.Step, Dir: f.dir}, false, warnings, f.load(p)
}

// newest opens the newest whole checkpoint.
func (r *Run) newest() (f *folder, warnings []string, err error) {
	steps, err := r.listSteps()
	if err != nil {
		return nil, nil, Unreadable(r.dir, err)
	}
	latest, problem := r.readLatest()
	if problem != "" && len(steps) > 0 {
		warnings = append(warnings, problem)
	}
	for _, step := range candidates(steps, latest) {
		at := filepath.Join(r.dir, stepPrefix+strconv.Itoa(step))
		f, err := openFolder(r.fs, at)
		if err == nil && f.manifest.Step != step {
			err = errors.Join(&Error{Path: filepath.Join(at, manifestName), Problem: fmt.Sprintf("is of step %d", f.manifest.Step), Fix: fixDamaged}, f.close())
		}
		if err == nil {
			if len(warnings) > 0 {
				warnings = append(warnings, fmt.Sprintf("going on from %s%d", stepPrefix, step))
			}
			return f, warnings, nil
		}
		warnings = append(warnings, "skipped a damaged checkpoint: "+err.Error())
	}
	problem = "holds no checkpoint"
	if len(warnings) > 0 {
		problem = "holds no whole checkpoint: " + strings.Join(warnings, "; ")
	}
	return nil, warnings, &Error{Path: r.dir, Problem: problem, Fix: "start the run again without --resume"}
}

// candidates orders steps for Newest: latest, then those before it, newest first, then those after it, which exist when
// a run was killed before it wrote latest, or was set back to an earlier step. latest −1: unknown.
func candidates(steps []int, latest int) []int {
	var before, after []int
	for _, s := range slices.Backward(steps) {
		if latest < 0 || s <= latest {
			before = append(before, s)
		} else {
			after = append(after, s)
		}
	}
	if latest >= 0 && (len(before) == 0 || before[0] != latest) {
		before = append([]int{latest}, before...) // missing: Verify says so
	}
	return append(before, after...)
}

func (r *Run) readLatest() (step int, problem string) {
	path := filepath.Join(r.dir, latestName)
	text, err := r.readSmall(path)
	if err != nil {
		return -1, Unreadable(path, err).Error()
	}
	step, ok := parseStep(strings.TrimSpace(text))
	if !ok {
		return -1, fmt.Sprintf("%s: is damaged: %.40q", path, text)
	}
	return step, ""
}

// readSmall reads the beginning of a file that has one short line.
func (r *Run) readSmall(path string) (string, error) {
	b, unload, err := r.fs.Map(path)
	if err != nil {
		return "", err
	}
	text := string(b[:min(len(b), 1024)])
	return text, unload()
}

// listSteps returns the steps that have a folder, ascending, whole or not. A folder that is missing has none.
func (r *Run) listSteps() ([]int, error) {
	entries, err := r.fs.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		if step, ok := parseStep(e.Name()); ok && e.IsDir() {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// parseStep reads "step-N", N in plain decimal.
func parseStep(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, stepPrefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && strconv.Itoa(n) == digits && n >= 0
}
