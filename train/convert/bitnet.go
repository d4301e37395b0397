package convert

import (
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// bitNet is the BitNet of a transformer's shape: norms in front of o_proj and down_proj more (SubLN), the head in full
// precision as it was.
func bitNet(c spec.Config) spec.Config {
	defaults := spec.Default()
	c.Arch, c.NormPlacement, c.LMHead = spec.ArchBitNet, spec.NormSubLN, spec.HeadDense
	c.BitLinearEps, c.ActivationRounding = defaults.BitLinearEps, defaults.ActivationRounding
	return c
}

// toBitNet keeps every tensor of the transformer. The gains of the inserted norms preserve the scale of what they norm: of
// all constants g the mean of the tokens' root mean squares 1/r is the one for which g·r·a is nearest to a.
func toBitNet(dst, src *spec.Weights, text Text, set *kernel.Set, pool *par.Pool) error {
	for i := range src.Tensors {
		copy(dst.Get(src.Tensors[i].Name), src.At(i))
	}
	p, err := pack.Over(dst)
	if err != nil {
		return err
	}
	m, env := layer.New(p), layer.NewEnv(set, pool, dst.Config)
	env.Blend = layer.NewBlend(p)
	env.Blend.Weights, env.Blend.Activations = 0, 0
	for _, t := range p.Tensors {
		if w := p.Matrix(t.Name); w != nil {
			copy(env.Blend.Mixed(w), dst.Get(spec.ShadowName(dst.Config, t.Name)))
		}
	}
	N, T := len(text.IDs), len(text.IDs)/text.B
	h, scratch := make([]float32, N*dst.Config.HiddenSize), make([]float32, N*dst.Config.HiddenSize)
	m.Embed(h, text.IDs)
	for _, part := range m.Parts {
		switch part := part.(type) {
		case *layer.Attention:
			buf := part.NewAttentionBuffers(N, scratch, true)
			part.Forward(env, h, h, text.B, T, part.NewPass(text.B, T), nil, nil, buf)
			preserve(part.Out.Gain, buf.CodesOut.Inv)
		case *layer.GatedMLP:
			buf := part.NewGatedBuffers(N, scratch, true)
			part.Forward(env, h, h, N, buf)
			preserve(part.Down.Gain, buf.CodesDown.Inv)
		}
	}
	return nil
}

// preserve sets a gain to the mean of 1/r over tokens.
func preserve(gain, inv []float32) {
	var sum float64
	for _, r := range inv {
		sum += 1 / float64(r)
	}
	for j := range gain {
		gain[j] = float32(sum / float64(len(inv)))
	}
}
