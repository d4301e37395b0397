package model

import (
	G "gorgonia.org/gorgonia"

	"mmfree/autograd/op"
	"mmfree/ternary/layer"
	"mmfree/ternary/spec"
)

func (b *builder) timeMixer(m *layer.TimeMixer, l int, h *G.Node) (*G.Node, error) {
	p, weight, src := spec.Layer(l)+"attn.", b.weight, b.src
	mixer := op.TimeMixerWeights{
		Norm: weight(spec.Layer(l) + "attn_norm.weight"), Decay: weight(p + "time_decay"), Bonus: weight(p + "time_first"),
		NormO: weight(p + "o_proj.norm.weight"), WO: weight(p + "o_proj.weight"), O: src.Linear(p + "o_proj.weight"),
	}
	for i, in := range spec.TimeMixerInputs() {
		mixer.Mix[i], mixer.NormIn[i] = weight(p+"time_mix_"+in), weight(p+in+"_proj.norm.weight")
		mixer.W[i], mixer.In[i] = weight(p+in+"_proj.weight"), src.Linear(p+in+"_proj.weight")
	}
	buf := buffers(b, m.Name(), func() *layer.TimeBuffers { return m.NewTimeBuffers(b.w.N, b.scratch, b.w.Floats(), b.w.Training) })
	return op.TimeMixer(b.w, m, l, mixer, h, buf, b.out())
}
