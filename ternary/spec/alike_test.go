package spec_test

import (
	"testing"

	"mmfree/ternary/spec"
)

func TestAlike(t *testing.T) {
	id := 7
	for name, c := range map[string]struct {
		arch   string
		change func(c *spec.Config)
		alike  bool
	}{
		"itself":                         {spec.ArchBitNet, func(*spec.Config) {}, true},
		"rope_theta":                     {spec.ArchTransformer, func(c *spec.Config) { c.RopeTheta = 500000 }, false},
		"hidden_act":                     {spec.ArchBitNet, func(c *spec.Config) { c.HiddenAct = spec.ActReLU2 }, false},
		"heads of the same tensors":      {spec.ArchTransformer, func(c *spec.Config) { c.NumAttentionHeads = 2 }, false},
		"heads spelled out":              {spec.ArchTransformer, func(c *spec.Config) { c.NumAttentionHeads, c.NumKeyValueHeads = 4, 4 }, true},
		"rms_norm_eps":                   {spec.ArchMatMulFree, func(c *spec.Config) { c.RMSNormEps = 1e-3 }, false},
		"bitlinear_eps":                  {spec.ArchMatMulFree, func(c *spec.Config) { c.BitLinearEps = spec.BitLinearEpsFused }, false},
		"rounding":                       {spec.ArchBitNet, func(c *spec.Config) { c.ActivationRounding = spec.HalfAway }, false},
		"integer_attention":              {spec.ArchBitNet, func(c *spec.Config) { c.TernaryAttention, c.IntegerAttention = true, true }, false},
		"architecture":                   {spec.ArchBitNet, func(c *spec.Config) { c.Arch = spec.ArchTransformer }, false},
		"width":                          {spec.ArchMatMulFree, func(c *spec.Config) { c.HiddenSize = 128 }, false},
		"rope_theta of a recurrence":     {spec.ArchMatMulFree, func(c *spec.Config) { c.RopeTheta = 5 }, true},
		"the shape of a state":           {spec.ArchMatMulFree, func(c *spec.Config) { c.NumHeads = 2 }, true},
		"ids, limits and initial values": {spec.ArchBitNet, func(c *spec.Config) { c.BOSTokenID, c.MaxPositionEmbeddings, c.InitializerRange = &id, 99, 0.1 }, true},
	} {
		a := spec.Default()
		a.Arch, a.HiddenSize, a.NumHiddenLayers, a.VocabSize = c.arch, 256, 2, 99
		b := a
		c.change(&b)
		if spec.Alike(a, b) != c.alike || spec.Alike(b, a) != c.alike {
			t.Errorf("%s: alike %v, want %v", name, !c.alike, c.alike)
		}
	}
}
