package quant

import (
	"fmt"
	"math"

	"mmfree/ternary/f32"
)

// ScaleBlock is the number of values whose magnitudes are summed together; the sums of the blocks are then added in
// order, each of f32.AbsSum. It is part of the numeric contract: workers take whole blocks, so the mean never depends on their
// number.
const ScaleBlock = 4096

// Blocks returns the number of blocks that n values make.
func Blocks(n int) int { return (n + ScaleBlock - 1) / ScaleBlock }

// Block returns block b of w.
func Block[T any](w []T, b int) []T { return w[b*ScaleBlock : min((b+1)*ScaleBlock, len(w))] }

const smallestMean = 1e-5

// WeightScale returns m = max(mean|w|, 1e-5) of a tensor of n values from its blocks' sums (f32.AbsSum). ok is false when
// the tensor holds a NaN or infinity. Source: spec §3.1 step 3.
func WeightScale(blockSums []float64, n int) (m float32, ok bool) {
	var sum float64
	for _, s := range blockSums {
		sum += s
	}
	mean := sum / float64(n)
	if math.IsNaN(mean) || math.IsInf(mean, 0) {
		return 0, false
	}
	return float32(max(mean, smallestMean)), true
}

// Magnitude reports whether w, one whole tensor, is ternary already: its values are 0 and ±a, of one magnitude a of at least
// 1e-5, with at least one that is not 0. Its scale is then a, not the mean, and quantising what has been unpacked from codes
// gives them back with the scale they had, where the mean would shrink it by the share of zeros each time. A trained shadow
// weight is told from it by its first two values that are not 0.
func Magnitude(w []float32) (a float32, ok bool) {
	var m magnitude
	m.add(w)
	return m.scale()
}

// magnitude looks for a second magnitude among values that come some at a time.
type magnitude struct {
	first   uint32 // bits of the first value that is not 0, without its sign
	several bool
}

func (m *magnitude) add(w []float32) {
	const sign = 1 << 31
	for _, v := range w {
		if m.several {
			return
		}
		b := math.Float32bits(v) &^ sign
		if b == 0 || b == m.first {
			continue
		}
		m.several = m.first != 0
		m.first = b
	}
}

func (m *magnitude) scale() (a float32, ok bool) {
	a = math.Float32frombits(m.first)
	return a, !m.several && a >= smallestMean && m.first < infBits
}

// Trits writes clamp(round(w/m), −1, 1), halves to even: 0 exactly when |w|·(1/m) ≤ 0.5. There must be no NaN in w
// (WeightScale finds them).
func Trits(dst []int8, w []float32, m float32) {
	const half = 0x3f000000 // the bits of 0.5
	k := 1 / m
	dst = dst[:len(w)]
	for j, v := range w {
		// Without branches: a third of the weights are zero in no pattern, and a wrong guess costs more than all this.
		u := math.Float32bits(float32(v * k))
		above := (half - int32(u&^(1<<31))) >> 31 // −1 where |v·k| > 0.5, else 0
		dst[j] = int8((int32(u)>>31 | 1) & above)
	}
}

// Ternarize writes the codes of w to dst and returns the scale m = max(mean|w|, 1e-5), so that w ≈ dst·m; of values that are
// ternary already, their magnitude (Magnitude). w is one whole tensor in any order; dst has its length. A NaN or infinity in w
// is an error that names its index.
func Ternarize(dst []int8, w []float32) (m float32, err error) {
	if m, ok := Magnitude(w); ok {
		Trits(dst, w, m)
		return m, nil
	}
	sums := make([]float64, Blocks(len(w)))
	for b := range sums {
		sums[b] = f32.AbsSum(Block(w, b))
	}
	m, ok := WeightScale(sums, len(w))
	if !ok {
		for j, v := range w {
			if math.Float32bits(v)&infBits == infBits {
				return 0, fmt.Errorf("value %d is %v", j, v)
			}
		}
		return 0, fmt.Errorf("the magnitudes of %d values overflow", len(w))
	}
	Trits(dst, w, m)
	return m, nil
}

// Scaler finds the scale of a tensor whose values come some at a time, in order: that of Ternarize in every bit, in constant
// memory. The zero value is ready.
type Scaler struct {
	one   magnitude
	sum   float64
	count int
	block [ScaleBlock]float32 // the beginning of a block that is not whole yet
	held  int
}

// Add takes the next values of the tensor.
func (m *Scaler) Add(v []float32) {
	m.one.add(v)
	m.count += len(v)
	for len(v) > 0 {
		if m.held == 0 && len(v) >= ScaleBlock {
			m.sum += f32.AbsSum(v[:ScaleBlock])
			v = v[ScaleBlock:]
			continue
		}
		n := copy(m.block[m.held:], v)
		v = v[n:]
		if m.held += n; m.held == ScaleBlock {
			m.sum += f32.AbsSum(m.block[:])
			m.held = 0
		}
	}
}

// Scale returns the scale of all values added; ok is false when a NaN or infinity is among them.
func (m *Scaler) Scale() (scale float32, ok bool) {
	if a, ok := m.one.scale(); ok {
		return a, true
	}
	sum := m.sum
	if m.held > 0 {
		sum += f32.AbsSum(m.block[:m.held])
	}
	return WeightScale([]float64{sum}, m.count)
}
