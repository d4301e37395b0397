package quant

import (
	"math"
	"testing"
)

func TestGradientScale(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		name           string
		top            float32
		wantUp, wantDn float32
	}{
		{"zero", 0, 0, 0},
		{"denormal", math.SmallestNonzeroFloat32, 0, 0},
		{"largest that counts as zero", 0x1p-100, 0, 0},
		{"one", 1, 32767, 1.0 / 32767},
		{"power of two", 0x1p-20, 32767 * 0x1p20, 0x1p-20 / 32767},
		{"infinity", float32(math.Inf(1)), 0, nan},
		{"NaN", nan, 0, nan},
	} {
		up, down := GradientScale(math.Float32bits(tt.top))
		if up != tt.wantUp || (down != tt.wantDn && !(down != down && tt.wantDn != tt.wantDn)) {
			t.Errorf("%s: factors %v and %v, want %v and %v", tt.name, up, down, tt.wantUp, tt.wantDn)
		}
	}
	// Over the whole range both factors are normal, and the largest value fits.
	for bits := math.Float32bits(0x1p-100) + 1; bits < infBits; bits += 99991 {
		up, down := GradientScale(bits)
		top := math.Float32frombits(bits)
		if up < 0x1p-126 || down < 0x1p-126 || math.IsInf(float64(up), 0) || math.IsInf(float64(down), 0) {
			t.Fatalf("max %v: factors %v and %v", top, up, down)
		}
		if g := math.RoundToEven(float64(float32(top * up))); g != MaxGradient {
			t.Fatalf("max %v becomes %v", top, g)
		}
	}
}
