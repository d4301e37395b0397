package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"mmfree/checkpoints/llama2c"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// ReadConfig reads a folder's config.json. One of llama2.c's names is translated.
func ReadConfig(dir string) (c spec.Config, err error) {
	c, _, err = readConfig(filepath.Join(dir, ConfigName))
	return c, err
}

// ParseConfig is ReadConfig for a text in memory; path stands in errors.
func ParseConfig(path string, text []byte) (c spec.Config, err error) {
	c, _, err = parseConfig(path, text)
	return c, err
}

// readConfig reads a config.json; dialect is its model_type where tensors have other names than ours, else empty.
func readConfig(path string) (c spec.Config, dialect string, err error) {
	text, err := readLimited(path, maxConfigBytes)
	if err != nil {
		return c, "", err
	}
	return parseConfig(path, text)
}

func parseConfig(path string, text []byte) (c spec.Config, dialect string, err error) {
	if !json.Valid(text) {
		return c, "", &FolderError{Path: path, Problem: "is not JSON", Fix: "the file is damaged or no configuration: get it again from its source"}
	}
	var kind struct {
		ModelType any `json:"model_type"`
	}
	json.Unmarshal(text, &kind) // that it is no object is for the configuration to say
	switch kind.ModelType {
	case llama2c.ModelType, llama2c.BitModelType:
		dialect = kind.ModelType.(string)
		c, err = llama2c.ParseConfig(text)
	default:
		if text, err = translate(text); err == nil {
			err = json.Unmarshal(text, &c)
		}
	}
	if err != nil {
		return c, "", fmt.Errorf("%s: %w", path, err)
	}
	return c, dialect, nil
}

// Open opens a folder: configuration, tensors that are read when asked for (from F32, F16 or BF16, exactly), and what else
// it holds. All tensors of the model must be there in their shapes; others are left out with a warning. Nothing is
// allocated before that is known, so a false configuration costs nothing.
func Open(dir string) (*stored.Model, error) { return open(dir) }

// OpenFile opens one safetensors file, of any name, with the config.json that lies beside it.
func OpenFile(path string) (*stored.Model, error) {
	return open(filepath.Dir(path), filepath.Base(path))
}

func open(dir string, only ...string) (m *stored.Model, err error) {
	m = &stored.Model{Side: map[string][]byte{}}
	beside, err := configFolder(dir)
	if err != nil {
		return nil, err
	}
	if beside != dir {
		m.Warnings = append(m.Warnings, fmt.Sprintf("%s has no %s: the one in the folder above is taken", dir, ConfigName))
	}
	var dialect string
	if m.Config, dialect, err = readConfig(filepath.Join(beside, ConfigName)); err != nil {
		return nil, err
	}
	s, err := openSource(dir, only...)
	if err != nil {
		return nil, err
	}
	m.OnClose(s.close)
	if s.archives {
		m.Format = "pytorch_model.bin"
	}
	if dialect != "" {
		m.Format = "tensor names of " + dialect
		m.Tensors, err = llama2c.Tensors(dir, m.Config, s.find)
		if m.IsCodes() {
			m.Scales = llama2c.Scales
		}
	} else {
		err = s.tensors(m)
	}
	if err == nil {
		s.warn(m)
		err = readSide(m, beside)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return m, nil
}

// readSide reads the side files of a folder.
func readSide(m *stored.Model, dir string) error {
	for _, name := range sideNames {
		b, err := readLimited(filepath.Join(dir, name), maxSideBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		m.Side[name] = b
	}
	return nil
}

// configFolder returns the folder whose config.json belongs to the tensors of a folder: itself, or the one above, where
// several forms of one model lie in folders beside each other.
func configFolder(dir string) (string, error) {
	_, err := readLimited(filepath.Join(dir, ConfigName), maxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		above := filepath.Join(dir, "..")
		if _, err := readLimited(filepath.Join(above, ConfigName), maxConfigBytes); err == nil && HasWeights(dir) {
			return above, nil
		}
	}
	if err != nil {
		return "", err
	}
	return dir, nil
}

// tensors compares the tensors with those of the model, by name, shape and type.
func (s *source) tensors(m *stored.Model) error {
	var missing, wrong []string
	for _, t := range spec.Tensors(m.Config) {
		raw, ok := s.find(t.Name)
		if !ok {
			raw, ok = s.find(oneBitName(t.Name))
		}
		switch {
		case !ok:
			missing = append(missing, t.Name)
		case raw.DType == packedU8 && t.Kind == spec.Ternary && slices.Equal(raw.Shape, packedShape(&t)):
			codes, err := s.codes(t, raw)
			if err != nil {
				wrong = append(wrong, t.Name+" "+err.Error())
				continue
			}
			m.Tensors = append(m.Tensors, codes)
		case !slices.Equal(raw.Shape, t.Shape):
			wrong = append(wrong, t.Name+" "+stored.Misshapen(raw.Shape, t.Shape))
		case !raw.DType.Float():
			wrong = append(wrong, fmt.Sprintf("%s has dtype %s, no float that this program reads", t.Name, raw.DType))
		case raw.DType.Bits() == 8 && s.hasScale(t.Name):
			wrong = append(wrong, t.Name+" is 8 bits with a scale of its own, which this program does not apply")
		default:
			m.Tensors = append(m.Tensors, stored.Floats(t, raw))
		}
	}
	var problems []string
	if len(missing) > 0 {
		problems = append(problems, fmt.Sprintf("%d missing tensors: %s", len(missing), some(missing)))
	}
	if len(wrong) > 0 {
		problems = append(problems, fmt.Sprintf("%d tensors do not fit: %s", len(wrong), some(wrong)))
	}
	if len(problems) == 0 {
		return s.decideScales(m)
	}
	return &FolderError{
		Path: s.dir, Problem: strings.Join(problems, "; "),
		Fix: "config.json and the weights do not belong together, or the download is incomplete: get the folder again",
	}
}

// hasScale reports whether a tensor comes with a factor for its values, under one of the names that are in use.
func (s *source) hasScale(name string) bool {
	for _, suffix := range []string{scaleSuffix, scaleSuffix + "_inv"} {
		if _, ok := s.raw[name+suffix]; ok {
			return true
		}
	}
	return false
}

// warn names the tensors that no one asked for.
func (s *source) warn(m *stored.Model) {
	var unexpected []string
	for name := range s.raw {
		if !s.used[name] {
			unexpected = append(unexpected, fmt.Sprintf("%.120q", name))
		}
	}
	if len(unexpected) > 0 {
		sort.Strings(unexpected)
		m.Warnings = append(m.Warnings, fmt.Sprintf("%d tensors are not part of the model and are left out: %s", len(unexpected), some(unexpected)))
	}
}
