package layer

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// rwkv4Blocks assembles the blocks of the MatMul-free RWKV-4, and what recomputes the rates of their decays.
func (m *Model) rwkv4Blocks(p *pack.Model) {
	d := p.Config.HiddenSize
	for l := range p.Config.NumHiddenLayers {
		name := spec.Layer(l)
		attn := name + "attn."
		mixer := &TimeMixer{
			Norm: blockNorm(p, name+"attn_norm.weight"), O: bitLinear(p, attn+"o_proj"),
			Rate: make([]float32, d), Bonus: p.Dense(attn + "time_first"),
		}
		for i, in := range spec.TimeMixerInputs() {
			mixer.In[i], mixer.Mix[i] = bitLinear(p, attn+in+"_proj"), p.Dense(attn+"time_mix_"+in)
		}
		decay := p.Dense(attn + "time_decay")
		m.update = append(m.update, func() {
			for c, x := range decay {
				mixer.Rate[c] = -f32.Exp(x)
			}
		})
		m.Parts = append(m.Parts, mixer, channelMixer(p, name))
	}
}
