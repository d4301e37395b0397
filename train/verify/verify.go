package verify

import (
	"context"
	"errors"
	"fmt"
	"math"

	"mmfree/autograd"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// ErrDifferent is the class of a verification that found a difference.
var ErrDifferent = errors.New("the packed path differs from the training path")

// LogitsTensor is the name under which logits are compared; other names are layer.TapName's.
const LogitsTensor = "logits"

const (
	defaultLogits = 1_000_000 // values that a verification compares by default, logits alone
	minTokens     = 256
	valuesAtOnce  = 1 << 24 // bound on the values that are held for comparison
	maxDecode     = 24      // tokens of a window that are decoded one by one
)

// Report is the outcome of a verification.
type Report struct {
	Identical       bool        `json:"identical"`
	TensorsCompared int         `json:"tensors_compared"`
	ValuesCompared  int64       `json:"values_compared"`
	LogitsCompared  int64       `json:"logits_compared"`
	Mismatches      int64       `json:"mismatches"`
	MaxULP          int64       `json:"max_ulp"` // largest distance in units in the last place
	First           *Difference `json:"first_difference"`
	Operations      Operations  `json:"operations"`
}

// Difference is the first value that differs: which tensor, where in it, and both values.
type Difference struct {
	Tensor   string  `json:"tensor"`
	Index    int64   `json:"index"` // in the tensor's rows for all tokens of the verification, row-major
	Training float32 `json:"training"`
	Packed   float32 `json:"packed"`
}

// Operations counts what the packed path's kernels executed for the same tokens.
type Operations struct {
	WeightMultiplies int64 `json:"weight_multiplies"`
	WeightAdds       int64 `json:"weight_adds"`
	ZerosSkipped     int64 `json:"zeros_skipped"`
	OtherMultiplies  int64 `json:"other_multiplies"`
}

// Request says what to compare: the training forward pass of Session with the packed model, on IDs in windows of SeqLen
// tokens, each from the state before the first token.
type Request struct {
	Session *autograd.Session
	Packed  *pack.Model
	Set     *kernel.Set
	Pool    *par.Pool
	IDs     []int32
	SeqLen  int
}

// Tokens returns how many tokens make a verification of the default size for a vocabulary of V: a million logits.
func Tokens(V int) int { return max(minTokens, (defaultLogits+V-1)/V) }

// Run compares every logit and every layer's output. The error is nil whether or not they agree: see Report.Identical.
func Run(ctx context.Context, r Request) (*Report, error) {
	c := r.Packed.Config
	perToken := (2*c.NumHiddenLayers+1)*c.HiddenSize + c.VocabSize
	T := max(1, min(r.SeqLen, valuesAtOnce/perToken, len(r.IDs)))
	if most := c.MaxPositions(); most > 0 {
		T = min(T, most)
	}
	var counts kernel.Counts
	v := &verification{
		request: r, report: &Report{Identical: true}, T: T,
		packed:   infer.New(r.Packed, r.Set, r.Pool, infer.DefaultChunk),
		counting: infer.New(r.Packed, kernel.Counting(&counts), r.Pool, infer.DefaultChunk),
		training: map[string][]float32{}, other: map[string][]float32{}, behind: map[string]int64{},
	}
	for at, window := 0, 0; at < len(r.IDs); at, window = at+T, window+1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// The last window may be shorter; it costs one more compiled graph.
		if err := v.window(r.IDs[at:min(at+T, len(r.IDs))], window); err != nil {
			return nil, err
		}
	}
	v.report.TensorsCompared = len(v.behind)
	v.report.Operations = Operations{
		WeightMultiplies: counts.WeightMultiplies.Load(), WeightAdds: counts.WeightAdds.Load(),
		ZerosSkipped: counts.ZerosSkipped.Load(), OtherMultiplies: counts.OtherMultiplies.Load(),
	}
	return v.report, nil
}

type verification struct {
	request          Request
	report           *Report
	T                int
	packed, counting *infer.Model
	training, other  map[string][]float32 // one window's values by tensor
	behind           map[string]int64     // values of earlier windows by tensor
	order            []string             // tensors in the order of the forward pass
}

// window compares one window. How many of its tokens are decoded one by one turns with its number: none, one, some, many.
func (v *verification) window(ids []int32, number int) error {
	V := v.request.Packed.Config.VocabSize
	logits := room(v.training, LogitsTensor, len(ids)*V)
	v.order = v.order[:0]
	err := v.request.Session.Forward(ids, 1, logits, func(name string, rows []float32) {
		copy(room(v.training, name, len(rows)), rows)
		v.order = append(v.order, name)
	})
	if err != nil {
		return fmt.Errorf("training path: %w", err)
	}
	v.order = append(v.order, LogitsTensor)

	n := len(ids)
	decode := min([]int{0, 1, 7, maxDecode}[number%4], n-1)
	if err := v.forward(v.packed, ids, decode); err != nil {
		return fmt.Errorf("packed path: %w", err)
	}
	v.compare()
	if err := v.forward(v.counting, ids, 0); err != nil {
		return fmt.Errorf("packed path with counting kernels: %w", err)
	}
	v.recheck()
	for _, name := range v.order {
		v.behind[name] += int64(len(v.training[name]))
	}
	v.report.LogitsCompared += int64(n * V)
	return nil
}

// forward runs a packed model over ids, the last decode of them one at a time, and collects its values in other.
func (v *verification) forward(m *infer.Model, ids []int32, decode int) error {
	V, n := v.request.Packed.Config.VocabSize, len(ids)
	logits := room(v.other, LogitsTensor, n*V)
	state := m.NewState(1)
	for at := 0; at < n; {
		step := 1
		if at == 0 {
			step = n - decode
		}
		err := m.Forward(state, infer.Call{
			IDs: ids[at : at+step], Which: infer.All, Logits: logits[at*V:][:step*V],
			Tap: func(name string, t0, rows int, values []float32) {
				width := len(values) / rows
				copy(room(v.other, name, n*width)[(at+t0)*width:], values)
			},
		})
		if err != nil {
			return err
		}
		at += step
	}
	return nil
}

// compare adds the window's values to the report.
func (v *verification) compare() {
	for _, name := range v.order {
		training, packed := v.training[name], v.other[name]
		v.report.ValuesCompared += int64(len(training))
		for i, want := range training {
			got := packed[i]
			if math.Float32bits(want) == math.Float32bits(got) {
				continue
			}
			v.report.Identical = false
			v.report.Mismatches++
			v.report.MaxULP = max(v.report.MaxULP, ulps(want, got))
			if v.report.First == nil {
				v.report.First = &Difference{Tensor: name, Index: v.behind[name] + int64(i), Training: want, Packed: got}
			}
		}
	}
}

// recheck holds the counting kernels to the same bits, so that what is counted is what was verified.
func (v *verification) recheck() {
	counted := *v.report
	v.compare()
	v.report.ValuesCompared = counted.ValuesCompared
}

// room returns the tensor's buffer of n values.
func room(m map[string][]float32, name string, n int) []float32 {
	if cap(m[name]) < n {
		m[name] = make([]float32, n)
	}
	m[name] = m[name][:n]
	return m[name]
}

// ulps returns how many float32 lie between a and b: the distance of their bits on the ordered line of floats.
func ulps(a, b float32) int64 {
	line := func(x float32) int64 {
		bits := int64(math.Float32bits(x) &^ (1 << 31))
		if math.Signbit(float64(x)) {
			return -bits
		}
		return bits
	}
	d := line(a) - line(b)
	return max(d, -d, 1) // −0 and +0 differ in a bit, if not in value
}
