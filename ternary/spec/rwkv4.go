package spec

import "mmfree/ternary/f32"

// ArchRWKV4 is the MatMul-free model with the token mixer of RWKV-4 (arXiv 2305.13048) in the MLGRU's place, its projections
// ternary: the baseline "MatMul-free RWKV-4" of arXiv 2406.02528. The channel mixer is the MatMul-free model's.
const ArchRWKV4 = "rwkv4"

func rwkv4() *architecture {
	return &architecture{
		// No published class holds such a model: the type is this project's own, so that no other program takes it for another.
		name: ArchRWKV4, modelType: "rwkv4_bit", class: "RWKV4BitForCausalLM", embeddings: EmbeddingsName,
		read: func(*Config) {},
		fields: func(c *Config) []jsonField {
			return []jsonField{
				{key: "hidden_ratio", at: &c.HiddenRatio},
				{key: "bitlinear_eps", at: &c.BitLinearEps},
				{key: "activation_rounding", at: &c.ActivationRounding},
			}
		},
		refuse:      func(*Config, *fieldReader) error { return nil },
		validate:    func(c *Config, v *validator) { v.bitLinear(c) },
		ternaryHead: func(*Config) bool { return true },
		tensors: func(c *Config) []Tensor {
			return c.recurrentTensors(nil, Ternary, c.timeMixerTensors)
		},
	}
}

// TimeMixerInputs names the projections into a token mixer of RWKV-4 in their order: receptance, key, value.
func TimeMixerInputs() [3]string { return [3]string{"r", "k", "v"} }

// timeMixerTensors lists the token mixer of layer l. The vectors start as RWKV-4's published code has them, channel by channel
// and layer by layer; the projections as the MLGRU's.
func (c *Config) timeMixerTensors(p string, l int) (list []Tensor) {
	d, L := c.HiddenSize, c.NumHiddenLayers
	vector := func(name string, law Law) {
		list = append(list, Tensor{Name: p + name, Shape: []int{d}, Kind: Vector, Init: law})
	}
	risen, left := 0.0, 1-float64(l)/float64(L) // from 0 to 1 over the layers; from 1 to almost 0
	if L > 1 {
		risen = float64(l) / float64(L-1)
	}
	// place is (j/d)^power for channel j, as a ramp over j/(d−1).
	place := func(first, power float64) Law {
		law := Law{Dist: Ramp, Value: first, Power: power}
		if d > 1 {
			law.Span = f32.Power(float64(d-1)/float64(d), power)
		}
		return law
	}
	vector("time_decay", Law{Dist: Ramp, Value: -5, Span: 8, Power: 0.7 + 1.3*risen})
	vector("time_first", Law{Dist: Zigzag, Value: f32.Log(0.3), Span: 0.5})
	for i, law := range []Law{place(0, left/2), place(0, left), place(0.3*risen, left)} {
		vector("time_mix_"+TimeMixerInputs()[i], law)
	}
	for _, proj := range TimeMixerInputs() {
		list = append(list,
			matrix(p+proj+"_proj.weight", d, d, Ternary, mixerLaw(d, d)),
			gain(p+proj+"_proj.norm.weight", d))
	}
	return append(list,
		matrix(p+"o_proj.weight", d, d, Ternary, mixerLaw(d, d)),
		gain(p+"o_proj.norm.weight", d))
}
