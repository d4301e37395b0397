package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"mmfree/checkpoints/durable"
)

// Names in a folder of shards.
const (
	IndexFile     = "index.json"
	TokenizerFile = "tokenizer.json"
)

const (
	maxIndex  = 64 << 20
	maxShards = 1 << 20
)

// Index is index.json: what a folder of shards holds. It is written last: a folder without one is not whole.
type Index struct {
	Version    int             `json:"version"`
	Tokenizer  Tokenizer       `json:"tokenizer"`
	Width      int             `json:"id_bytes"`
	TextSHA256 string          `json:"text_sha256"` // of the documents that the ids stand for
	Train      []File          `json:"train"`
	Val        []File          `json:"val"`
	Made       json.RawMessage `json:"made"` // from what and how; whoever made it knows
}

// Tokenizer is the identity of a tokenizer.
type Tokenizer struct {
	Name      string `json:"name"`
	SHA256    string `json:"sha256"` // of tokenizer.json, which lies beside
	VocabSize int    `json:"vocab_size"`
}

// File is one shard.
type File struct {
	Name      string `json:"file"`
	Bytes     int64  `json:"bytes"`
	Tokens    int64  `json:"tokens"`
	Documents int64  `json:"documents"`
	SHA256    string `json:"sha256"`
}

// WriteFile writes a part as a shard, whole or not at all, and returns its entry in the index.
func WriteFile(fsys durable.FS, dir, name string, p *Part) (File, error) {
	sum := sha256.New()
	counted := &durable.Counter{W: sum}
	err := durable.WriteFile(fsys, filepath.Join(dir, name), func(w io.Writer) error {
		return p.encode(io.MultiWriter(w, counted))
	})
	return File{
		Name: name, Bytes: counted.N, Tokens: int64(p.Len()), Documents: int64(p.Documents()), SHA256: hex.EncodeToString(sum.Sum(nil)),
	}, err
}

// WriteIndex writes index.json, whole or not at all, in the version of this package.
func WriteIndex(fsys durable.FS, dir string, x Index) error {
	x.Version = version
	text, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(fsys, filepath.Join(dir, IndexFile), durable.Bytes(append(text, '\n')))
}

// IsName tells whether a file of that name may be a shard.
func IsName(name string) bool {
	return regexp.MustCompile(`^(train|val)-[0-9]{5,7}\.bin$`).MatchString(name)
}

// ParseIndex reads index.json. path is for errors.
func ParseIndex(path string, text []byte) (*Index, error) {
	bad := func(format string, args ...any) (*Index, error) {
		return nil, &FormatError{Path: path, Offset: -1, Problem: fmt.Sprintf(format, args...)}
	}
	if len(text) > maxIndex {
		return bad("%d bytes are more than an index has", len(text))
	}
	var x Index
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&x); err != nil {
		return nil, &FormatError{Path: path, Offset: d.InputOffset(), Problem: err.Error()}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad("something follows the end of the object")
	}
	switch {
	case x.Version != version:
		return bad("version %d is not known", x.Version)
	case x.Tokenizer.VocabSize < 1 || x.Width != 2 && x.Width != 4 || x.Width < Width(x.Tokenizer.VocabSize):
		return bad("a vocabulary of %d in ids of %d bytes", x.Tokenizer.VocabSize, x.Width)
	case len(x.Train)+len(x.Val) > maxShards:
		return bad("%d shards", len(x.Train)+len(x.Val))
	case len(x.Train) == 0:
		return bad("no shard to train on")
	}
	for _, files := range [][]File{x.Train, x.Val} {
		for _, f := range files {
			if !IsName(f.Name) { // inside the folder, whatever the index says
				return bad("%q is no name of a shard", f.Name)
			}
			if f.Bytes < headerSize || f.Tokens < 1 || f.Tokens > MaxTokens || f.Documents < 0 || f.Documents > f.Tokens || len(f.SHA256) != 2*sha256.Size {
				return bad("%s: impossible sizes", f.Name)
			}
		}
	}
	return &x, nil
}

// Set is an opened folder of shards, or shards in memory.
type Set struct {
	Index     Index
	Train     *Stream
	Val       *Stream // of no ids where no documents were held out
	Tokenizer []byte  // tokenizer.json

	dir     string
	files   map[string][]byte
	unloads []func() error
}

// InMemory makes a set of parts that lie in memory.
func InMemory(x Index, tokenizer []byte, train, val []*Part) *Set {
	return &Set{Index: x, Train: NewStream(train), Val: NewStream(val), Tokenizer: tokenizer}
}

// Open maps a folder of shards. Sizes, headers and document starts are checked; sums by Verify.
func Open(dir string) (s *Set, err error) {
	path := filepath.Join(dir, IndexFile)
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	x, err := ParseIndex(path, text)
	if err != nil {
		return nil, err
	}
	s = &Set{Index: *x, dir: dir, files: map[string][]byte{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	path = filepath.Join(dir, TokenizerFile)
	if s.Tokenizer, err = readBounded(path); err != nil {
		return s, err
	}
	if sum := sha256.Sum256(s.Tokenizer); hex.EncodeToString(sum[:]) != x.Tokenizer.SHA256 {
		return s, &FormatError{Path: path, Offset: -1, Problem: "is not the tokenizer that the shards were made with"}
	}
	streams := [2]**Stream{&s.Train, &s.Val}
	for i, files := range [][]File{x.Train, x.Val} {
		var parts []*Part
		for _, f := range files {
			p, err := s.open(f)
			if err != nil {
				return s, err
			}
			parts = append(parts, p)
		}
		*streams[i] = NewStream(parts)
	}
	return s, nil
}

func (s *Set) open(f File) (*Part, error) {
	path := filepath.Join(s.dir, f.Name)
	data, unload, err := durable.Map(path)
	if err != nil {
		return nil, &FormatError{Path: path, Offset: -1, Problem: "cannot be read: " + durable.Cause(err).Error()}
	}
	s.unloads = append(s.unloads, unload)
	s.files[f.Name] = data
	if int64(len(data)) != f.Bytes {
		return nil, &FormatError{Path: path, Offset: -1, Problem: fmt.Sprintf("%d bytes, the index says %d", len(data), f.Bytes)}
	}
	p, err := ParsePart(path, data)
	if err != nil {
		return nil, err
	}
	if p.width != s.Index.Width || int64(p.Len()) != f.Tokens || int64(p.Documents()) != f.Documents {
		return nil, &FormatError{Path: path, Offset: 0, Problem: "the header does not agree with the index"}
	}
	return p, nil
}

// Bytes returns the size of all shards.
func (s *Set) Bytes() (total int64) {
	for _, files := range [][]File{s.Index.Train, s.Index.Val} {
		for _, f := range files {
			total += f.Bytes
		}
	}
	return total
}

// Verify reads every shard and compares its sum with the index. In memory there is nothing to compare.
func (s *Set) Verify() error {
	for _, files := range [][]File{s.Index.Train, s.Index.Val} {
		for _, f := range files {
			data, ok := s.files[f.Name]
			if !ok {
				continue
			}
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.SHA256 {
				return &FormatError{Path: filepath.Join(s.dir, f.Name), Offset: -1, Problem: "the checksum is not the index's: the file is damaged"}
			}
		}
	}
	return nil
}

// Close unmaps the files; the streams must not be used any more.
func (s *Set) Close() error {
	var errs []error
	for _, unload := range s.unloads {
		errs = append(errs, unload())
	}
	s.unloads, s.files = nil, nil
	return errors.Join(errs...)
}

// IsSet reports whether a path is a folder of shards, whole or not.
func IsSet(path string) bool {
	for _, name := range []string{IndexFile, ProgressFile} {
		info, err := os.Stat(filepath.Join(path, name))
		if err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// ProgressFile stands in a folder that is being filled, in place of the index.
const ProgressFile = "progress.json"

func readBounded(path string) ([]byte, error) {
	text, err := durable.ReadBounded(path, maxIndex)
	if unfit := (*durable.UnfitError)(nil); errors.As(err, &unfit) {
		return nil, &FormatError{Path: path, Offset: -1, Problem: unfit.Problem}
	}
	if err != nil {
		return nil, &FormatError{Path: path, Offset: -1, Problem: "cannot be read: " + durable.Cause(err).Error()}
	}
	return text, nil
}
