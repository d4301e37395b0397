package gguf

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// Options are how a model is written.
type Options struct {
	Vocabulary []Key                          // the tokenizer as tokenizer.ggml keys
	Tokenizer  []byte                         // tokenizer.json, from which this program reads the tokenizer again
	Values     dtype.Type                     // of matrices that are not ternary: F32, F16 or BF16, whatever it loses; empty: as they are stored
	Ternary    Type                           // of ternary matrices: TQ1, TQ2 or I2S; 0: the one that the architecture's readers know
	MaxPart    int64                          // bytes of tensors that one file holds at most, but for a larger tensor: path is then a folder of them; 0: one file
	Replace    bool                           // take the place of a folder that is there already, if it holds nothing but GGUF files
	Progress   func(written, all int64) error // called while tensors are written; its error ends the writing; nil: no one listens
}

// Save writes a model, whole or not at all: a file at path, which is replaced, or with MaxPart a folder. Ternary tensors are written as their codes and
// scales, unchanged in every bit, or as those that the quantiser of training makes of their values. Equal models and options give
// equal bytes; no more than a few rows of a tensor are held. What no reader but this program could make sense of is a warning.
func Save(fsys durable.FS, path string, m *stored.Model, o Options) (warnings []string, err error) {
	p, err := newPlan(m, o)
	if err != nil {
		return nil, err
	}
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	if o.MaxPart > 0 {
		return p.warnings, p.saveParts(fsys, path, keys)
	}
	return p.warnings, durable.WriteFile(fsys, path, p.file(keys, p.tensors, 0))
}

// plan is what a file will hold.
type plan struct {
	m        *stored.Model
	o        Options
	ternary  Type
	tensors  []Output
	total    int64
	others   []string // ternary tensors that are no whole blocks of the type
	warnings []string
}

func newPlan(m *stored.Model, o Options) (*plan, error) {
	if archName(&m.Config) == "" {
		return nil, &format.Error{
			Offset: -1, Problem: "GGUF has no form of the architecture " + m.Config.Arch, Fix: "choose another --format: packed, or hf",
		}
	}
	if m.Config.Arch == spec.ArchBitNet && m.Config.TernaryAttention {
		return nil, unwritable("", "its queries and keys are ternary (ternary_attention), which no reader of GGUF knows")
	}
	p := &plan{m: m, o: o, ternary: o.Ternary}
	if p.ternary == 0 {
		p.ternary = TQ2
		if archName(&m.Config) == archBitNetReLU { // its readers know no scales beside the tensors
			p.ternary = I2S
		}
	}
	shared, err := p.sharedNorms()
	if err != nil {
		return nil, err
	}
	at := make(map[string]int, len(m.Tensors))
	for i := range m.Tensors {
		at[m.Tensors[i].Name] = i
	}
	done := map[string]bool{}
	for _, want := range spec.PackedTensors(m.Config) {
		name := foreign(m.Config.Arch, want.Name, shared)
		if done[name] { // a norm that stands for several
			continue
		}
		done[name] = true
		i, ok := at[want.Name]
		if !ok { // the ternary head of a tied model, which is made of the embedding
			i = at[spec.ShadowName(m.Config, want.Name)]
		}
		t := m.Tensors[i]
		if m.Config.Arch == spec.ArchTransformer && (isQuery(t.Name) || isKey(t.Name)) {
			_, _, width := m.Config.Attention()
			t = t.Reorder(stored.RotaryHalves(width))
		}
		if want.Kind == spec.Ternary {
			err = p.addCodes(name, &t)
		} else {
			err = p.addValues(name, &t)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range p.tensors {
		size, ok := p.tensors[i].size()
		if !ok {
			return nil, unwritable(p.tensors[i].Name, fmt.Sprintf("the shape %v cannot be stored as %s", p.tensors[i].Shape, p.tensors[i].Type))
		}
		p.total += pad(size, defaultAlignment)
	}
	if len(p.others) > 0 {
		p.warnings = append(p.warnings, fmt.Sprintf("%d ternary tensors have rows that are no whole blocks of %s and are stored as wider codes: %s", len(p.others), p.ternary, firstOf(p.others)))
	}
	p.judge(shared)
	return p, nil
}

// file returns what writes a file of some tensors; before is how many bytes of tensors are written already.
func (p *plan) file(keys []Key, tensors []Output, before int64) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := Write(&listener{w: w, written: before, all: p.total, progress: p.o.Progress}, keys, tensors)
		return err
	}
}

// addCodes adds a ternary matrix, and its scale where the type has no place for it.
func (p *plan) addCodes(name string, t *stored.Tensor) error {
	scale, err := t.CodeScale()
	if err != nil {
		return err
	}
	rows, cols := t.Rows()
	typ := p.ternary
	for _, next := range []Type{Q8_0, F16} {
		if _, ok := typ.size(int64(rows)*int64(cols), int64(cols)); ok {
			break
		}
		if typ = next; next == Q8_0 {
			p.others = append(p.others, name)
		}
	}
	values := int(layouts[typ].values)
	step := 1 // rows that are whole blocks together
	for typ == I2S && step*cols%values != 0 {
		step++
	}
	step *= max(1, blockValues/(step*cols))
	p.tensors = append(p.tensors, Output{Name: name + weightSuffix, Shape: t.Shape, Type: typ, Data: func(w io.Writer) error {
		var b []byte
		err := t.EachCode(step, func(codes []int8, _ int) error {
			b = appendCodes(b[:0], codes, typ)
			_, err := w.Write(b)
			return err
		})
		if err == nil && typ == I2S {
			_, err = w.Write(appendI2SScale(nil, scale))
		}
		return err
	}})
	if typ != I2S {
		p.tensors = append(p.tensors, scaleOutput(name+scaleSuffix, scale))
	}
	return nil
}

// blockValues is about how many values are written at a time.
const blockValues = 1 << 16

func scaleOutput(name string, scale float32) Output {
	return Output{Name: name, Shape: []int{1}, Type: F32, Data: func(w io.Writer) error {
		_, err := w.Write(appendValue(nil, scale))
		return err
	}}
}

// fileTypes are the types of values that are written.
var fileTypes = map[dtype.Type]Type{dtype.F32: F32, dtype.F16: F16, dtype.BF16: BF16}

// addValues adds any other tensor. Vectors are F32, the only type that llama.cpp has for them.
func (p *plan) addValues(name string, t *stored.Tensor) error {
	typ := t.Stored
	if p.o.Values != "" {
		typ = p.o.Values
	}
	if _, known := fileTypes[typ]; !known || len(t.Shape) < 2 || t.Kind == spec.Bounds {
		typ = dtype.F32
	}
	p.tensors = append(p.tensors, Output{Name: name + weightSuffix, Shape: t.Shape, Type: fileTypes[typ], Data: func(w io.Writer) error {
		var b []byte
		return t.Each(func(v []float32, _ int) error {
			b = slices.Grow(b[:0], len(v)*typ.Bits()/8)[:len(v)*typ.Bits()/8]
			if err := dtype.Encode(b, v, typ); err != nil {
				return err
			}
			_, err := w.Write(b)
			return err
		})
	}})
	return nil
}

// sharedNorms reports whether the norms inside a BitNet's projections can be stored as its graph's norms in other programs: those
// that read the same values have the same gains.
func (p *plan) sharedNorms() (bool, error) {
	c := &p.m.Config
	if c.Arch != spec.ArchBitNet || c.NormPlacement != spec.NormBitLinear {
		return false, nil
	}
	gains := map[string][]float32{}
	for i := range p.m.Tensors {
		t := &p.m.Tensors[i]
		name := foreign(c.Arch, t.Name, true)
		if t.Kind != spec.Gain || !strings.HasPrefix(name, "blk.") {
			continue
		}
		v := make([]float32, t.Elements())
		if err := t.ReadRows(v, 0); err != nil {
			return false, err
		}
		if other, ok := gains[name]; ok && !slices.Equal(v, other) {
			return false, nil
		}
		gains[name] = v
	}
	return true, nil
}

// judge warns of what keeps a llama.cpp-family build from running the model.
func (p *plan) judge(shared bool) {
	c := &p.m.Config
	if c.Arch != spec.ArchBitNet {
		return
	}
	heads, _, width := c.Attention()
	var why []string
	if c.NormPlacement == spec.NormBitLinear && !shared {
		why = append(why, "every projection has a norm of its own")
	}
	if c.NormPlacement == spec.NormBitLinear && c.BitLinearEps != c.RMSNormEps {
		p.warnings = append(p.warnings, fmt.Sprintf("other programs have one epsilon for all norms, %g, where this model has %g in the last one", normEps(c), c.RMSNormEps))
	}
	if c.LMHead == spec.HeadBitLinear {
		why = append(why, "the head is ternary")
	} else if !c.TieWordEmbeddings && c.HiddenAct == spec.ActSilu {
		why = append(why, "the head is not the embedding")
	}
	if heads*width != c.HiddenSize {
		why = append(why, "the heads are not as wide as the model together")
	}
	if len(why) > 0 {
		p.warnings = append(p.warnings, "no build of the llama.cpp family is known to run this model: "+strings.Join(why, ", "))
	}
}

// ftypes are the numbers of general.file_type, which is for people.
var ftypes = map[Type]uint32{F32: 0, F16: 1, BF16: 32, Q8_0: 7, TQ1: 36, TQ2: 37, I2S: 40}

// keys returns the metadata.
func (p *plan) keys() ([]Key, error) {
	config, err := json.Marshal(p.m.Config)
	if err != nil {
		return nil, err
	}
	most := F32 // the type of the first matrix in a layer
	for _, t := range p.tensors {
		if strings.HasPrefix(t.Name, "blk.") && len(t.Shape) == 2 {
			most = t.Type
			break
		}
	}
	keys := append(configKeys(&p.m.Config), Key{"general.file_type", ftypes[most]}, Key{"general.quantization_version", uint32(2)})
	keys = append(keys, p.o.Vocabulary...)
	if p.o.Tokenizer != nil {
		keys = append(keys, Key{TokenizerKey, string(p.o.Tokenizer)})
	}
	return append(keys, Key{configKey, string(config)}), nil
}

// firstOf names some of many.
func firstOf(names []string) string {
	if len(names) <= maxNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
}

// listener reports progress.
type listener struct {
	w            io.Writer
	written, all int64
	progress     func(written, all int64) error
}

func (l *listener) Write(b []byte) (int, error) {
	n, err := l.w.Write(b)
	l.written += int64(n)
	if err == nil && l.progress != nil {
		err = l.progress(min(l.written, l.all), l.all)
	}
	return n, err
}
