package quant_test

import (
	"strings"
	"testing"

	"mmfree/ternary/goldentest"
	"mmfree/ternary/quant"
)

func TestGoldenActivations(t *testing.T) {
	g := goldentest.Load(t, "op_activation_quant")
	x, n := g.F32("x"), g.Shape("x")[0]
	d := len(x) / n
	for _, away := range []bool{false, true} { // no value is near a half, so both roundings agree
		codes, scales := make([]int8, len(x)), make([]float32, n)
		for i := range n {
			scales[i] = quant.Quantize(codes[i*d:][:d], x[i*d:][:d], away)
		}
		g.CheckCodes(t, "codes", codes)
		g.CheckOutput(t, "scale", scales)
	}
	ties := g.F32("ties.x")
	width := g.Shape("ties.x")[len(g.Shape("ties.x"))-1]
	for name, away := range map[string]bool{"ties.codes_half_even": false, "ties.codes_half_away": true} {
		codes := make([]int8, len(ties))
		for at := 0; at < len(ties); at += width {
			quant.Quantize(codes[at:][:width], ties[at:][:width], away)
		}
		g.CheckCodes(t, name, codes)
	}
}

func TestGoldenWeights(t *testing.T) {
	g := goldentest.Load(t, "op_weight_quant")
	for _, name := range g.Tensors("input") {
		prefix := strings.TrimSuffix(name, "w")
		w := g.F32(name)
		codes := make([]int8, len(w))
		mean, err := quant.Ternarize(codes, w)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		g.CheckCodes(t, prefix+"codes", codes)
		g.CheckOutput(t, prefix+"mean", []float32{mean})
	}
}
