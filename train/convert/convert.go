package convert

import (
	"errors"
	"fmt"

	"mmfree/ternary/kernel"
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

// Config returns the configuration of a model of c's shape in another architecture; to is empty for c itself.
func Config(c spec.Config, to string) (spec.Config, error) {
	switch {
	case to == "" || to == c.Arch:
		return c, nil
	case c.Arch == spec.ArchTransformer && to == spec.ArchBitNet:
		return bitNet(c), nil
	}
	return c, &Error{
		Problem: fmt.Sprintf("a %s cannot become a %s", c.Arch, to),
		Fix:     "a transformer can become a bitnet",
	}
}

// Weights fills dst, weights of Config's configuration, from src. What only dst's architecture has is set so that in full
// precision it changes as little as possible on the text. ErrConvert where src's architecture cannot become dst's.
func Weights(dst, src *spec.Weights, text Text, set *kernel.Set, pool *par.Pool) error {
	switch from, to := src.Config.Arch, dst.Config.Arch; {
	case from == to:
		copy(dst.Flat(), src.Flat())
		return nil
	case from == spec.ArchTransformer && to == spec.ArchBitNet:
		return toBitNet(dst, src, text, set, pool)
	}
	_, err := Config(src.Config, dst.Config.Arch)
	return err
}
