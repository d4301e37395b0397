package convert

import (
	"errors"
	"fmt"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// ErrConvert is the class of conversions that do not exist.
var ErrConvert = errors.New("conversion")

// Error says which conversion is not possible, and what is.
type Error struct{ Problem, Fix string }

func (e *Error) Error() string { return e.Problem }

// Unwrap makes errors.Is(err, ErrConvert) true.
func (e *Error) Unwrap() error { return ErrConvert }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Text is what calibration looks at: B sequences of equal length.
type Text struct {
	IDs []int32
	B   int
}

// Config returns the configuration of a model of c's shape, changed by s, in another architecture; to is empty for c's.
func Config(c spec.Config, s Shape, to string) (spec.Config, error) {
	c, err := s.config(c)
	if err != nil {
		return c, err
	}
	switch {
	case to == "" || to == c.Arch:
		return c, nil
	case c.Arch == spec.ArchTransformer && to == spec.ArchBitNet:
		return bitNet(c), nil
	case c.Arch == spec.ArchTransformer && to == spec.ArchMatMulFree:
		return matMulFree(c), nil
	}
	return c, &Error{
		Problem: fmt.Sprintf("a %s cannot become a %s", c.Arch, to),
		Fix:     "a transformer can become a bitnet or matmulfree",
	}
}

// Weights fills dst, weights of Config's configuration, from src, or from what the shape makes of it. What only dst's architecture
// has is set so that in full precision it changes as little as possible on the text, or drawn from the seed. ErrConvert where src's architecture cannot
// become dst's.
func Weights(dst, src *spec.Weights, text Text, seed uint64, set *kernel.Set, pool *par.Pool) error {
	switch from, to := src.Config.Arch, dst.Config.Arch; {
	case from == to:
		copy(dst.Flat(), src.Flat())
		return nil
	case from == spec.ArchTransformer && to == spec.ArchBitNet:
		return toBitNet(dst, src, text, set, pool)
	case from == spec.ArchTransformer && to == spec.ArchMatMulFree:
		dst.Init(seed)
		return toMatMulFree(dst, src, text, set, pool)
	}
	_, err := Config(src.Config, Shape{}, dst.Config.Arch)
	return err
}

// full returns the layers over w in full precision.
func full(w *spec.Weights, set *kernel.Set, pool *par.Pool) (*layer.Model, *layer.Env, error) {
	p, err := pack.Over(w)
	if err != nil {
		return nil, nil, err
	}
	m, env := layer.New(p), layer.NewEnv(set, pool, w.Config)
	env.Blend = layer.NewBlend(p)
	env.Blend.Weights, env.Blend.Activations = 0, 0
	for _, t := range p.Tensors {
		if matrix := p.Matrix(t.Name); matrix != nil {
			copy(env.Blend.Mixed(matrix), w.Get(spec.ShadowName(w.Config, t.Name)))
		}
	}
	return m, env, nil
}

// preserve sets a gain to the mean of 1/r over tokens: of all constants g the one for which g·r·a is nearest to a, summed over
// the tokens' inputs a with root mean squares 1/r.
func preserve(gain, inv []float32) {
	var sum float64
	for _, r := range inv {
		sum += 1 / float64(r)
	}
	for j := range gain {
		gain[j] = float32(sum / float64(len(inv)))
	}
}
