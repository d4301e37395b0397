package prepare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"

	"mmfree/checkpoints/durable"
	"mmfree/data/corpus"
	"mmfree/data/shard"
	"mmfree/data/tokenizer"
)

// Report accounts for everything that was read. Documents are those in the shards: Read less Duplicates, Unchosen and
// HeldAgain. Skipped is what no shard holds for a fault of its own: what policies left out, and duplicates.
type Report struct {
	Documents    int64 `json:"documents"`
	ValDocuments int64 `json:"val_documents"` // of them, held out
	Tokens       int64 `json:"tokens"`
	ValTokens    int64 `json:"val_tokens"`
	Bytes        int64 `json:"bytes"` // of the documents' text
	Shards       int   `json:"shards"`
	Skipped      int64 `json:"skipped"`
	counts
	NoTokens   int64         `json:"without_tokens"` // documents of whose text the tokenizer makes no id; no shard marks them
	TextSHA256 string        `json:"text_sha256"`
	Reading    corpus.Report `json:"reading"` // of files, with a policy and a count for each case
	Paths      []Path        `json:"paths"`
}

// Path is what one of the paths given came to.
type Path struct {
	Path      string  `json:"path"`
	Weight    float64 `json:"weight"`
	Files     int     `json:"files"`
	Documents int64   `json:"documents"`
	Tokens    int64   `json:"tokens"`
	Bytes     int64   `json:"bytes"`
}

// InMemory prepares documents as parts in memory: the ids that ToFolder writes.
func InMemory(ctx context.Context, r *corpus.Reader, t tokenizer.Tokenizer, o Options) (*shard.Set, *Report, error) {
	if err := o.validate(); err != nil {
		return nil, nil, err
	}
	file, id, err := identify(t)
	if err != nil {
		return nil, nil, err
	}
	var made [parts][]*shard.Part
	w := newWriter(r, &o, id, func(part int, p *shard.Part) error {
		made[part] = append(made[part], p)
		return nil
	})
	report, err := w.run(ctx, r, t, &o)
	if err != nil {
		return nil, nil, err
	}
	return shard.InMemory(shard.Index{Width: w.width, Tokenizer: id, TextSHA256: report.TextSHA256}, file, made[partTrain], made[partVal]), report, nil
}

// ToFolder prepares documents as a folder of shards. A folder that an earlier call was stopped in, by whatever, is gone on
// with, if reader, tokenizer and options are the same: then it ends with the same bytes. force begins anew, also in a
// folder that is whole. A cancelled context ends with its error; everything but the last shards stays for the next call.
func ToFolder(ctx context.Context, fsys durable.FS, dir string, force bool, r *corpus.Reader, t tokenizer.Tokenizer, o Options) (*Report, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	file, id, err := identify(t)
	if err != nil {
		return nil, err
	}
	settings := newSettings(r, &o, id)
	f, err := openFolder(fsys, dir, force, settings, file)
	if err != nil {
		return nil, err
	}
	w := newWriter(r, &o, id, nil)
	w.resume(&f.state)
	w.put = func(part int, p *shard.Part) error { return f.put(w, part, p) }
	report, err := w.run(ctx, r, t, &o)
	if err == nil {
		err = f.finish(shard.Index{Width: w.width, Tokenizer: id, TextSHA256: report.TextSHA256}, settings, report)
	}
	if err = errors.Join(err, f.close(err)); err != nil {
		return nil, err
	}
	return report, nil
}

// writer gathers ids, in the order of the documents, into parts.
type writer struct {
	width, limit int
	given        []int // of each source, among the paths
	put          func(part int, p *shard.Part) error
	name         func(source int) string
	total        int64
	progress     func(Progress)

	builders [parts]*shard.Builder
	began    [parts]bool // a document has begun and has no ids yet
	pieces   int64       // so far
	digest   hash.Hash   // of them: SHA-256 of a byte of flags and the sum of each
	before   state       // what an earlier process has written
	now      [parts]partState
	report   Report
}

func newWriter(r *corpus.Reader, o *Options, id shard.Tokenizer, put func(int, *shard.Part) error) *writer {
	w := &writer{width: shard.Width(id.VocabSize), limit: o.ShardTokens, put: put, total: r.TotalBytes(), progress: o.Progress, digest: sha256.New()}
	for _, path := range r.Paths() {
		w.report.Paths = append(w.report.Paths, Path{Path: path})
	}
	for _, s := range r.Sources() {
		w.given = append(w.given, s.Given)
		p := &w.report.Paths[s.Given]
		p.Path, p.Weight, p.Files = r.Paths()[s.Given], s.Weight, p.Files+1
	}
	for part := range parts {
		w.builders[part] = shard.NewBuilder(w.width)
		w.now[part].Tokens = make([]int64, len(w.report.Paths))
	}
	w.name = func(source int) string { return r.Sources()[source].Path }
	return w
}

// resume takes over what an earlier process has written.
func (w *writer) resume(s *state) {
	w.before = *s
	for part := range parts {
		if len(s.Parts[part].Tokens) == len(w.report.Paths) {
			copy(w.now[part].Tokens, s.Parts[part].Tokens)
		}
		w.now[part].NoTokens = s.Parts[part].NoTokens
		w.now[part].Files = s.Parts[part].Files
	}
}

func (w *writer) run(ctx context.Context, r *corpus.Reader, t tokenizer.Tokenizer, o *Options) (*Report, error) {
	before, behind, err := around(t, o)
	if err != nil {
		return nil, err
	}
	d := newDocuments(r, o)
	e := &encoder{tokenizer: t, before: before, behind: behind, written: w.written, name: w.name}
	err = pipeline(ctx, d, e, o.Threads, w.use)
	if err = errors.Join(err, d.close()); err != nil {
		return nil, err
	}
	if w.pieces < w.before.Pieces {
		return nil, changed()
	}
	if w.tokens(partTrain) == 0 {
		return nil, &corpus.Error{Problem: "no document is left to train on", Fix: "give more text, or change what is skipped or held out"}
	}
	for part := range parts {
		if err := w.cut(part); err != nil {
			return nil, err
		}
	}
	w.report.counts = d.counts
	w.report.Reading = r.Report()
	w.report.Skipped = w.report.Reading.Skipped + d.counts.Duplicates
	w.report.TextSHA256 = hex.EncodeToString(w.digest.Sum(nil))
	for part := range parts {
		w.report.NoTokens += w.now[part].NoTokens
		for i, n := range w.now[part].Tokens {
			w.report.Paths[i].Tokens += n
		}
	}
	w.report.Tokens, w.report.ValTokens = w.tokens(partTrain)+w.tokens(partVal), w.tokens(partVal)
	return &w.report, nil
}

// written tells whether a piece lies in a shard of an earlier process. Safe from any goroutine.
func (w *writer) written(p *piece) bool { return p.number < w.before.Parts[p.part].Pieces }

// tokens returns the number of ids of a part.
func (w *writer) tokens(part int) (n int64) {
	for _, of := range w.now[part].Tokens {
		n += of
	}
	return n
}

// use takes a job's pieces in.
func (w *writer) use(j *job) error {
	from := 0
	for i, end := range j.ends {
		if err := w.add(&j.pieces[i], j.ids[from:end]); err != nil {
			return err
		}
		from = end
	}
	if w.progress != nil {
		w.progress(Progress{
			Bytes: j.read, TotalBytes: w.total, Documents: w.report.Documents, Tokens: w.tokens(partTrain) + w.tokens(partVal),
			Again: w.pieces < w.before.Pieces,
		})
	}
	return nil
}

func (w *writer) add(p *piece, ids []int32) error {
	flags := byte(p.part)
	if p.first {
		flags |= 2
	}
	if p.last {
		flags |= 4
	}
	w.digest.Write([]byte{flags})
	w.digest.Write(p.sum[:])
	w.pieces++
	if w.pieces == w.before.Pieces && hex.EncodeToString(w.digest.Sum(nil)) != w.before.Digest {
		return changed()
	}
	path := &w.report.Paths[w.given[p.source]]
	path.Bytes += int64(len(p.text))
	w.report.Bytes += int64(len(p.text))
	if p.first {
		path.Documents++
		w.report.Documents++
		if p.part == partVal {
			w.report.ValDocuments++
		}
	}
	if w.written(p) {
		return nil
	}
	b, now := w.builders[p.part], &w.now[p.part]
	began := &w.began[p.part]
	*began = *began || p.first
	if err := b.Append(ids, *began && len(ids) > 0); err != nil {
		return fmt.Errorf("%s: document at %d: %w", w.name(p.source), p.at, err)
	}
	*began = *began && len(ids) == 0
	if p.last && *began {
		now.NoTokens++
		*began = false
	}
	now.Tokens[w.given[p.source]] += int64(len(ids))
	if b.Len() >= w.limit {
		return w.cut(p.part)
	}
	return nil
}

// cut ends a part's shard, if there is anything in it.
func (w *writer) cut(part int) error {
	if w.builders[part].Len() == 0 {
		return nil
	}
	w.report.Shards++
	return w.put(part, w.builders[part].Take())
}

func changed() error {
	return &FolderError{Problem: "the corpus is not what it was when these shards were begun", Fix: "give the files as they were, or begin anew with --force"}
}

func marshal(v any) ([]byte, error) { return json.MarshalIndent(v, "", " ") }
