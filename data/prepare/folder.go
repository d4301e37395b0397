package prepare

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mmfree/checkpoints/durable"
	"mmfree/data/shard"
)

// state is progress.json: how far the shards reach. It is replaced behind every shard, and gives way to the index.
type state struct {
	Version  int              `json:"version"`
	Settings Settings         `json:"settings"`
	Pieces   int64            `json:"pieces"` // that were read when the last shard was cut
	Digest   string           `json:"sha256"` // of them
	Parts    [parts]partState `json:"parts"`  // to train on, held out
}

// partState is what the shards of a part account for.
type partState struct {
	Pieces   int64        `json:"pieces"` // all pieces of the part with lower numbers lie in Files
	Files    []shard.File `json:"files"`
	Tokens   []int64      `json:"tokens"` // by path given
	NoTokens int64        `json:"without_tokens"`
}

const stateVersion = 1

// FolderError says why a folder cannot be prepared in. It is of class fs.ErrExist.
type FolderError struct{ Path, Problem, Fix string }

func (e *FolderError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap makes errors.Is(err, fs.ErrExist) true.
func (e *FolderError) Unwrap() error { return fs.ErrExist }

// Hint says what to do.
func (e *FolderError) Hint() string { return e.Fix }

// folder is a folder that shards are written to.
type folder struct {
	fsys    durable.FS
	dir     string
	lock    *os.File
	state   state
	created bool // the folder, by this process
	fresh   bool // it held nothing before
}

// openFolder makes the folder, or finds what an earlier process has left in it.
func openFolder(fsys durable.FS, dir string, force bool, settings Settings, tokenizerJSON []byte) (f *folder, err error) {
	f = &folder{fsys: fsys, dir: dir}
	info, err := fsys.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.created = true
	case err != nil || !info.IsDir():
		return nil, &FolderError{Path: dir, Problem: "is no folder", Fix: "choose another --out"}
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, &durable.WriteError{Path: dir, Op: "create", Err: err}
	}
	if f.lock, err = durable.Lock(dir); err != nil {
		return nil, err
	}
	if err = f.begin(force, settings, tokenizerJSON); err != nil {
		return nil, errors.Join(err, f.close(err))
	}
	return f, nil
}

// begin finds out what the folder holds: nothing, shards to go on with, or shards to replace.
func (f *folder) begin(force bool, settings Settings, tokenizerJSON []byte) error {
	if err := durable.CleanTempsOf(f.fsys, filepath.Join(f.dir, shard.ProgressFile)); err != nil {
		return err
	}
	entries, err := f.fsys.ReadDir(f.dir)
	if err != nil {
		return &FolderError{Path: f.dir, Problem: "is no folder that can be read", Fix: "choose another --out"}
	}
	f.fresh = len(entries) == 0
	if !f.fresh && !shard.IsSet(f.dir) {
		return &FolderError{Path: f.dir, Problem: "the folder is not empty, and what it holds are no shards", Fix: "choose another --out"}
	}
	if !f.fresh {
		if err := durable.CleanTemps(f.fsys, f.dir); err != nil {
			return err
		}
	}
	if !f.fresh && !force {
		if !f.has(shard.ProgressFile) {
			return &FolderError{Path: f.dir, Problem: "the folder holds whole shards", Fix: "choose another --out, or replace them with --force"}
		}
		if err := f.takeOver(settings); err != nil {
			return err
		}
		return f.write(shard.TokenizerFile, tokenizerJSON) // the kill may have come before
	}
	f.state = state{Version: stateVersion, Settings: settings}
	if err := f.save(); err != nil { // first: from now on this is a folder to go on with
		return err
	}
	if err := f.remove(shard.IndexFile); err != nil {
		return err
	}
	if err := f.sweep(); err != nil {
		return err
	}
	return f.write(shard.TokenizerFile, tokenizerJSON)
}

func (f *folder) has(name string) bool {
	_, err := f.fsys.Stat(filepath.Join(f.dir, name))
	return err == nil
}

func (f *folder) remove(name string) error {
	if !f.has(name) {
		return nil
	}
	if err := f.fsys.RemoveAll(filepath.Join(f.dir, name)); err != nil {
		return &durable.WriteError{Path: filepath.Join(f.dir, name), Op: "remove", Err: err}
	}
	return nil
}

// sweep removes shards that the state does not list: those of a former corpus.
func (f *folder) sweep() error {
	entries, err := f.fsys.ReadDir(f.dir)
	if err != nil {
		return &durable.WriteError{Path: f.dir, Op: "remove", Err: err}
	}
	for _, entry := range entries {
		name := entry.Name()
		listed := slices.ContainsFunc(slices.Concat(f.state.Parts[partTrain].Files, f.state.Parts[partVal].Files), func(x shard.File) bool { return x.Name == name })
		if shard.IsName(name) && !listed {
			if err := f.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxState bounds progress.json: at some 250 bytes a shard.
const maxState = 1 << 30

// takeOver reads how far an earlier process came.
func (f *folder) takeOver(settings Settings) error {
	path := filepath.Join(f.dir, shard.ProgressFile)
	info, err := f.fsys.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxState {
		return &FolderError{Path: path, Problem: "cannot be read", Fix: "begin anew with --force"}
	}
	text, err := f.fsys.ReadFile(path)
	if err != nil {
		return &FolderError{Path: path, Problem: "cannot be read", Fix: "begin anew with --force"}
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.Version != stateVersion {
		return &FolderError{Path: path, Problem: "is damaged, or of another version of this program", Fix: "begin anew with --force"}
	}
	was, err := marshal(s.Settings)
	if err != nil {
		return err
	}
	is, err := marshal(settings)
	if err != nil {
		return err
	}
	if !bytes.Equal(was, is) {
		return &FolderError{Path: f.dir, Problem: "the folder holds shards that were begun in another way: " + firstDifference(was, is), Fix: "ask for the same again to go on, or begin anew with --force"}
	}
	for part := range parts {
		for i, file := range s.Parts[part].Files {
			info, err := f.fsys.Stat(filepath.Join(f.dir, file.Name))
			if err != nil || info.Size() != file.Bytes || file.Name != shardName(part, i) {
				return &FolderError{Path: filepath.Join(f.dir, file.Name), Problem: "is not the shard that was written", Fix: "begin anew with --force"}
			}
		}
	}
	f.state = s
	return nil
}

// firstDifference names the first line in which two settings differ.
func firstDifference(was, is []byte) string {
	a, b := bytes.Split(was, []byte("\n")), bytes.Split(is, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return fmt.Sprintf("%s, not %s", bytes.Trim(a[i], " ,"), bytes.Trim(b[i], " ,"))
		}
	}
	return "more paths"
}

func shardName(part, i int) string {
	return fmt.Sprintf("%s-%05d.bin", [...]string{"train", "val"}[part], i)
}

// put writes a shard, and then how far it reaches.
func (f *folder) put(w *writer, part int, p *shard.Part) error {
	now := &w.now[part]
	file, err := shard.WriteFile(f.fsys, f.dir, shardName(part, len(now.Files)), p)
	if err != nil {
		return err
	}
	now.Files, now.Pieces = append(now.Files, file), w.pieces
	f.state.Pieces, f.state.Digest = w.pieces, hex.EncodeToString(w.digest.Sum(nil))
	f.state.Parts[part] = partState{Pieces: now.Pieces, Files: now.Files, Tokens: append([]int64(nil), now.Tokens...), NoTokens: now.NoTokens}
	return f.save()
}

func (f *folder) save() error { return f.writeJSON(shard.ProgressFile, f.state) }

func (f *folder) writeJSON(name string, v any) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	return f.write(name, append(text, '\n'))
}

func (f *folder) write(name string, text []byte) error {
	return durable.WriteFile(f.fsys, filepath.Join(f.dir, name), durable.Bytes(text))
}

// finish writes the index, which makes the folder whole.
func (f *folder) finish(x shard.Index, settings Settings, report *Report) error {
	if err := f.sweep(); err != nil {
		return err
	}
	x.Train, x.Val = f.state.Parts[partTrain].Files, append([]shard.File{}, f.state.Parts[partVal].Files...)
	report.Shards = len(x.Train) + len(x.Val)
	var err error
	x.Made, err = json.Marshal(struct {
		Settings Settings `json:"settings"`
		Report   *Report  `json:"report"`
	}{settings, report})
	if err != nil {
		return err
	}
	if err := shard.WriteIndex(f.fsys, f.dir, x); err != nil {
		return err
	}
	if err := f.remove(shard.ProgressFile); err != nil {
		return err
	}
	if err := f.fsys.SyncDir(f.dir); err != nil {
		return &durable.WriteError{Path: f.dir, Op: "sync", Err: err}
	}
	return nil
}

// close lets the folder go. Where the call failed and no shard was written, nothing is left of it.
func (f *folder) close(failed error) error {
	var err error
	switch {
	case failed == nil || f.state.Pieces > 0:
	case f.created:
		err = durable.RemoveDir(f.fsys, f.dir)
	case f.fresh:
		err = errors.Join(f.remove(shard.ProgressFile), f.remove(shard.TokenizerFile))
	}
	err = errors.Join(err, f.lock.Close())
	return err
}
