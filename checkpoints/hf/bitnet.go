package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// The packed form of BitNet's folders (spec §11): a ternary tensor [rows, cols] is U8 [⌈rows/4⌉, cols]; with q = ⌈rows/4⌉, bits
// 2i and 2i+1 of byte [r, c] hold the code of row i·q + r, plus one. Beside it lies weight_scale, in one of two conventions.
const (
	// FormatBitNet is stored.Model's Format of such a folder.
	FormatBitNet = "hf-bitnet"

	scaleSuffix = "_scale" // behind the whole name of the tensor
	codesPerU8  = 4
	quantKey    = "quantization_config"
	classTimes  = "autobitlinear" // transformers' class that multiplies by weight_scale
	classOver   = "bitlinear"     // the older one, which divides
	packedU8    = dtype.Type("U8")
)

// Convention says what weight_scale is.
type Convention string

// Conventions of weight_scale.
const (
	Multiply Convention = "multiply" // weight = code · weight_scale
	Divide   Convention = "divide"   // weight = code / weight_scale
)

// text describes a convention for people.
func (c Convention) text() string {
	if c == Divide {
		return "weight = code / weight_scale"
	}
	return "weight = code * weight_scale"
}

// quantization is what config.json says of the packed form.
type quantization struct {
	Method      string `json:"quant_method"`
	LinearClass string `json:"linear_class"`
	UseRMSNorm  bool   `json:"use_rms_norm"`

	// Ours, and the same as LinearClass says: who writes both means it, whatever the scales' sizes are.
	Convention Convention `json:"weight_scale_convention"`
}

func quantizationOf(c *spec.Config) (q quantization, err error) {
	raw, ok := c.Extra[quantKey]
	if !ok {
		return q, nil
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return q, &spec.ConfigError{Key: quantKey, Problem: fmt.Sprintf("is %.60s: %v", raw, err), Fix: "correct the field in config.json"}
	}
	switch {
	case q.Method != "" && q.Method != "bitnet":
		return q, &spec.ConfigError{Key: quantKey, Problem: fmt.Sprintf("asks for quant_method %.40q", q.Method), Fix: "this program reads bitnet, and weights that are not quantised"}
	case q.UseRMSNorm:
		return q, &spec.ConfigError{Key: quantKey, Problem: "asks for use_rms_norm: a norm without place in the bitnet architecture", Fix: "get a model without it"}
	}
	return q, nil
}

// Far from 1 a scale speaks for itself: the mean magnitude of trained weights lies between a thousandth and a few units.
const (
	clearlyOver = 16.0 // a mean magnitude above it is no model's
	likelyOver  = 2.0
)

// convention decides what the scales of a folder are, from what its configuration states and from the middle one of the scales.
// because says for people on what evidence; doubt is a warning where two pieces of evidence contradict one another.
func convention(q quantization, scales []float64) (c Convention, because, doubt string) {
	scales = slices.Sorted(slices.Values(scales))
	middle := scales[len(scales)/2]
	numbers := fmt.Sprintf("the middle of %d scales is %.4g", len(scales), middle)
	stated := map[string]Convention{classTimes: Multiply, classOver: Divide}[q.LinearClass]
	implausible := map[Convention]float64{Multiply: middle, Divide: 1 / middle}
	switch {
	case stated != "" && implausible[stated] > clearlyOver && q.Convention != stated:
		c = map[Convention]Convention{Multiply: Divide, Divide: Multiply}[stated]
		return c, "by their size: " + numbers, fmt.Sprintf(
			"config.json says linear_class %s (%s), but %s, and weights of such a size are no model's: read as %s", q.LinearClass, stated.text(), numbers, c.text())
	case stated != "":
		return stated, "stated by linear_class " + q.LinearClass + "; " + numbers, ""
	case middle >= likelyOver:
		return Divide, "config.json does not say; by their size: " + numbers, ""
	case middle <= 1/likelyOver || q.Method == "":
		return Multiply, "config.json does not say; by their size: " + numbers, ""
	}
	return Divide, "config.json does not say, and " + numbers + ": as transformers reads such a folder", fmt.Sprintf(
		"config.json does not say whether weight_scale multiplies or divides, and %s, which fits both: set %s.linear_class", numbers, quantKey)
}

// scaleOf reads weight_scale: one number.
func (s *source) scaleOf(name string) (float64, error) {
	raw, ok := s.find(name + scaleSuffix)
	if !ok {
		return 0, errors.New("has no " + name + scaleSuffix)
	}
	var v [1]float32
	if err := dtype.Decode(v[:], raw.Bytes, raw.DType); err != nil {
		return 0, fmt.Errorf("has a scale that is not one F32, F16 or BF16: it is %s %v", raw.DType, raw.Shape[:min(len(raw.Shape), 8)])
	}
	if f := float64(v[0]); f > 0 && !math.IsInf(f, 0) {
		return f, nil
	}
	return 0, fmt.Errorf("has the scale %v", v[0])
}

// packedShape is the shape of a ternary tensor's bytes.
func packedShape(t *spec.Tensor) []int {
	return []int{(t.Shape[0] + codesPerU8 - 1) / codesPerU8, t.Shape[1]}
}

// decideScales makes scales of codes of what the folder holds as weight_scale, once all are known.
func (s *source) decideScales(m *stored.Model) error {
	q, err := quantizationOf(&m.Config)
	if err != nil {
		return err
	}
	var scales []float64
	for i := range m.Tensors {
		if m.Tensors[i].IsCodes() {
			scales = append(scales, float64(m.Tensors[i].Scale))
		}
	}
	if len(scales) == 0 {
		return nil
	}
	m.Config.Extra = maps.Clone(m.Config.Extra)
	delete(m.Config.Extra, quantKey) // it is about this folder's bytes, not about the model
	c, because, doubt := convention(q, scales)
	m.Format, m.Scales = FormatBitNet, c.text()+" ("+because+")"
	if m.Doubt = doubt; doubt != "" {
		m.Warnings = append(m.Warnings, doubt)
	}
	for i := range m.Tensors {
		if t := &m.Tensors[i]; t.IsCodes() && c == Divide {
			t.Scale = float32(1 / float64(t.Scale))
			if !(t.Scale > 0) || math.IsInf(float64(t.Scale), 0) {
				return &FolderError{Path: s.dir, Problem: fmt.Sprintf("tensor %s: one over its scale is %v", t.Name, t.Scale), Fix: "the folder is damaged: get it again"}
			}
		}
	}
	return nil
}

// codes opens a ternary tensor of the packed form; its scale is still weight_scale as it stands.
func (s *source) codes(t spec.Tensor, raw stored.Raw) (stored.Tensor, error) {
	scale, err := s.scaleOf(t.Name)
	if err != nil {
		return stored.Tensor{}, err
	}
	rows, cols := t.Shape[0], t.Shape[1]
	q := packedShape(&t)[0]
	return stored.Codes(t, raw.DType, int64(len(raw.Bytes)+len(s.raw[t.Name+scaleSuffix].Bytes)), float32(scale), func(dst []int8, row int) error {
		for ; len(dst) > 0; dst = dst[cols:] {
			shift := row / q * 2
			for j, b := range raw.Bytes[row%q*cols:][:cols] {
				code := int8(b >> shift & 3)
				if code == 3 {
					return &FolderError{
						Path: s.dir, Problem: fmt.Sprintf("tensor %s: value [%d, %d] of [%d, %d] has the code 3, which is no weight", t.Name, row, j, rows, cols),
						Fix: "the folder is damaged, or packed in another way: get it again from its source",
					}
				}
				dst[j] = code - 1
			}
			row++
		}
		return nil
	}).In(raw.Bytes), nil
}

// packedTensors returns what a ternary tensor becomes in the packed form: bytes and weight_scale. inexact reports that in the
// convention asked for no float32 gives the scale back.
func packedTensors(t *stored.Tensor, c Convention) (list []safetensors.Tensor, inexact bool, err error) {
	scale, err := t.CodeScale()
	if err != nil {
		return nil, false, err
	}
	if c == Divide {
		scale, inexact = inverse(scale)
	}
	shape := packedShape(&t.Tensor)
	return []safetensors.Tensor{
		safetensors.Float32Tensor(t.Name+scaleSuffix, []int{1}, []float32{scale}, dtype.F32),
		{Name: t.Name, DType: packedU8, Shape: shape, Data: func(w io.Writer) error {
			q, cols := shape[0], shape[1]
			out := make([]byte, q*cols) // absent rows behind the last are 0, as transformers leaves them
			const rowsAtOnce = 64
			err := t.EachCode(rowsAtOnce, func(codes []int8, row int) error {
				for ; len(codes) > 0; codes = codes[cols:] {
					to, shift := out[row%q*cols:][:cols], row/q*2
					for j, code := range codes[:cols] {
						to[j] |= byte(code+1) << shift
					}
					row++
				}
				return nil
			})
			if err != nil {
				return err
			}
			_, err = w.Write(out)
			return err
		}},
	}, inexact, nil
}

// inverse returns the float32 whose inverse, rounded, is m; where there is none, the nearest to it.
func inverse(m float32) (x float32, inexact bool) {
	x = float32(1 / float64(m))
	for _, try := range []float32{x, math.Nextafter32(x, 0), math.Nextafter32(x, math.MaxFloat32)} {
		if float32(1/float64(try)) == m {
			return try, false
		}
	}
	return x, true
}

// statement is the field of config.json that says what the packed form is.
func statement(c Convention) json.RawMessage {
	class := classTimes
	if c == Divide {
		class = classOver
	}
	return json.RawMessage(fmt.Sprintf(`{"quant_method":"bitnet","linear_class":%q,"quantization_mode":"offline","weight_scale_convention":%q}`, class, c))
}

// online is the field of config.json beside full-precision weights: without it transformers runs them as they stand, and with it
// quantises weights and activations in each pass, as this program does.
const online = `{"quant_method":"bitnet","linear_class":"autobitlinear","quantization_mode":"online"}`

// quantisesAsTransformers reports whether transformers' BitNet with online quantisation is the model.
func quantisesAsTransformers(c *spec.Config) bool {
	return c.Arch == spec.ArchBitNet && c.NormPlacement == spec.NormSubLN && c.LMHead == spec.HeadDense && !c.TernaryAttention
}
