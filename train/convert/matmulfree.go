package convert

import (
	"math"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// matMulFree is the MatMul-free model of a transformer's shape: a recurrence as wide as its heads together, and a head of its
// own, since a ternary one would share its weights with embeddings that are not.
func matMulFree(c spec.Config) spec.Config {
	defaults := spec.Default()
	heads, _, width := c.Attention()
	c.IntermediateSize = c.MLPWidth()
	c.Arch, c.TieWordEmbeddings, c.NumHeads, c.HiddenRatio = spec.ArchMatMulFree, false, 1, defaults.HiddenRatio
	c.ExpandRatio = float64(heads*width) / float64(c.HiddenSize)
	c.UseLowerBound = heads*width == c.HiddenSize
	c.BitLinearEps, c.ActivationRounding, c.DownProj = defaults.BitLinearEps, defaults.ActivationRounding, defaults.DownProj
	return c
}

// toMatMulFree replaces attention by the recurrence: what enters it begins as the values (of shared heads, repeated), what
// leaves it by the output projection; the gates, which attention has not, stay as they were drawn. MLPs, embeddings and head
// are the transformer's. The gains of the norms that it has not preserve the scale of what they norm, layer by layer on the
// transformer's own residual stream.
func toMatMulFree(dst, src *spec.Weights, text Text, set *kernel.Set, pool *par.Pool) error {
	take := func(to, from string) { copy(dst.Get(to+".weight"), src.Get(from+".weight")) }
	copy(dst.Get(spec.EmbeddingsName), src.Get(spec.EmbedTokensName))
	copy(dst.Get(spec.FinalNormName), src.Get(spec.FinalNormName))
	copy(dst.Get(spec.HeadName), src.Get(spec.ShadowName(src.Config, spec.HeadName)))
	heads, keys, width := src.Config.Attention()
	d, I := src.Config.HiddenSize, src.Config.MLPWidth()
	for l := range src.Config.NumHiddenLayers {
		p := spec.Layer(l)
		take(p+"attn_norm", p+"input_layernorm")
		take(p+"mlp_norm", p+"post_attention_layernorm")
		take(p+"attn.o_proj", p+"self_attn.o_proj")
		take(p+"mlp.down_proj", p+"mlp.down_proj")
		values, enter := src.Get(p+"self_attn.v_proj.weight"), dst.Get(p+"attn.i_proj.weight")
		for head := range heads {
			copy(enter[head*width*d:][:width*d], values[head*keys/heads*width*d:])
		}
		gate := dst.Get(p + "mlp.gate_proj.weight")
		copy(gate[:I*d], src.Get(p+"mlp.gate_proj.weight"))
		copy(gate[I*d:], src.Get(p+"mlp.up_proj.weight"))
	}
	return scale(dst, src, text, set, pool)
}

// scale sets the gains of the norms inside of dst's BitLinears.
func scale(dst, src *spec.Weights, text Text, set *kernel.Set, pool *par.Pool) error {
	m, env, err := full(dst, set, pool)
	if err != nil {
		return err
	}
	p, err := pack.Build(src)
	if err != nil {
		return err
	}
	teacher, plain := layer.New(p), layer.NewEnv(set, pool, src.Config)
	N, T := len(text.IDs), len(text.IDs)/text.B
	d, D := dst.Config.HiddenSize, dst.Config.RecurrenceWidth()
	h, out, scratch := make([]float32, N*d), make([]float32, N*d), make([]float32, N*d)
	teacher.Embed(h, text.IDs)
	for i, part := range teacher.Parts {
		switch part := part.(type) {
		case *layer.Attention:
			own := m.Parts[i].(*layer.TokenMixer)
			buf := own.NewMixerBuffers(N, scratch, true)
			own.Forward(env, out, h, text.B, T, make([]float32, text.B*D), nil, nil, buf)
			preserve(own.I.Gain, buf.CodesI.Inv)
			theirs := part.NewAttentionBuffers(N, scratch, true)
			part.Forward(plain, h, h, text.B, T, part.NewPass(text.B, T), nil, nil, theirs)
			preserve(own.O.Gain, inverse(theirs.A, D)) // of what o_proj reads now
		case *layer.GatedMLP:
			own := m.Parts[i].(*layer.ChannelMixer)
			buf := own.NewMLPBuffers(N, scratch, true)
			own.Forward(env, out, h, N, buf)
			preserve(own.Gate.Gain, buf.CodesGate.Inv)
			own.Forward(env, out, h, N, buf) // what down_proj reads follows from that
			preserve(own.Down.Gain, buf.CodesDown.Inv)
			part.Forward(plain, h, h, N, part.NewGatedBuffers(N, scratch, true))
		}
	}
	head := m.Head.NewHeadBuffers(N, true)
	m.Head.Quantize(env, h, N, head)
	preserve(m.Head.Out.Gain, head.Codes.Inv)
	return nil
}

// inverse returns one over the root mean square of each row of a [N, n], or 1 for a row of zeros.
func inverse(a []float32, n int) []float32 {
	var list []float32
	for ; len(a) >= n; a = a[n:] {
		var sum float64
		for _, v := range a[:n] {
			sum += float64(v) * float64(v)
		}
		if sum == 0 {
			sum = float64(n)
		}
		list = append(list, float32(1/math.Sqrt(sum/float64(n))))
	}
	return list
}
