package hf

import (
	"errors"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/ternary/spec"
)

// Names of a folder's files.
const (
	ConfigName = "config.json"
	ModelName  = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
	// The same of the older form, in which only reading is done.
	binName      = "pytorch_model.bin"
	binIndexName = "pytorch_model.bin.index.json"
)

// Limits of what is read whole.
const (
	maxConfigBytes = 16 << 20
	maxIndexBytes  = 64 << 20
	maxSideBytes   = 256 << 20
)

// sideNames are the files that belong to a model but not to its arithmetic. They are carried along as they are.
var sideNames = [...]string{
	"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"generation_config.json", "vocab.json", "merges.txt", "chat_template.jinja",
}

// Info is what a folder holds beside configuration and values.
type Info struct {
	Types    map[string]dtype.Type // how each tensor of the model is stored
	Side     map[string][]byte     // tokenizer.json and its like, by name
	Bytes    int64                 // of all tensors, as stored
	Warnings []string
}

// Load reads a folder into memory: Open, and all values.
func Load(dir string) (w *spec.Weights, info *Info, err error) {
	m, err := Open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if w, err = m.Weights(); err != nil {
		return nil, nil, err
	}
	return w, &Info{Types: m.Types(), Side: m.Side, Bytes: m.Bytes(), Warnings: m.Warnings}, nil
}

// readLimited reads a regular file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	b, err := durable.ReadBounded(path, limit)
	if unfit := (*durable.UnfitError)(nil); errors.As(err, &unfit) {
		return nil, &FolderError{Path: path, Problem: unfit.Problem, Fix: "such a file does not belong to a model: remove it or get the folder again"}
	}
	if err != nil {
		return nil, &FolderError{Path: path, Problem: "cannot be read: " + durable.Cause(err).Error(), Fix: "name a folder with config.json and the model's weights, and check its permissions", Cause: err}
	}
	return b, nil
}
