package checkpoints

import (
	"fmt"
	"os"
	"path/filepath"

	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/llama2c"
	"mmfree/checkpoints/stored"
)

// Open opens a model that Recognise knows, without reading its values; source is the folder or file that holds them, of a run
// its newest whole checkpoint. A packed file is opened by its own package.
func Open(path string, kind Kind) (m *stored.Model, source string, err error) {
	switch kind {
	case KindRun:
		newest, warnings, err := Newest(path)
		if err != nil {
			return nil, path, err
		}
		if m, err = hf.Open(newest.Dir); err == nil {
			m.Warnings = append(warnings, m.Warnings...)
		}
		return m, newest.Dir, err
	case KindCheckpoint:
		if _, err := Verify(path); err != nil {
			return nil, path, err
		}
		m, err = hf.Open(path)
	case KindHF:
		m, err = hf.Open(path)
	case KindLlama2C:
		m, err = llama2c.Open(path)
	case KindGGUF:
		m, err = gguf.OpenModel(path)
	case KindSafetensors, KindPyTorch:
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), hf.ConfigName)); err != nil {
			return nil, path, &Error{
				Path: path, Problem: fmt.Sprintf("is a %s file without a configuration, not a model", kind),
				Fix: "put its config.json beside it, or name a run, checkpoint or Hugging Face folder, or a packed file",
			}
		}
		m, err = hf.OpenFile(path)
	default:
		err = &Error{Path: path, Problem: fmt.Sprintf("is a %s file, which cannot be read here", kind), Fix: "name a run, checkpoint or Hugging Face folder"}
	}
	return m, path, err
}

// KindOf returns the kind of an opened model, which tells folders of packed BitNets from others.
func KindOf(kind Kind, m *stored.Model) Kind {
	if kind == KindHF && m.Format == hf.FormatBitNet {
		return KindHFBitNet
	}
	return kind
}
