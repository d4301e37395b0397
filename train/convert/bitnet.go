package convert

import (
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
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

// toBitNet keeps every tensor of the transformer. The gains of the inserted norms preserve the scale of what they norm.
func toBitNet(dst, src *spec.Weights, text Text, set *kernel.Set, pool *par.Pool) error {
	for i := range src.Tensors {
		copy(dst.Get(src.Tensors[i].Name), src.At(i))
	}
	m, env, err := full(dst, set, pool)
	if err != nil {
		return err
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
