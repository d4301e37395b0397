package layer_test

import (
	"fmt"
	"testing"

	"mmfree/ternary/goldentest"
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// TestCodesGoldens runs layer by layer, because only there the codes at the input of every linear can be seen.
func TestCodesGoldens(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	for _, name := range goldentest.Names("model_") {
		for _, floats := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/floats=%v", name, floats), func(t *testing.T) {
				g := goldentest.Load(t, name)
				p, err := pack.Build(g.Weights("param."))
				if err != nil {
					t.Fatal(err)
				}
				m, c := layer.New(p), p.Config
				e := layer.NewEnv(kernel.Generic(), pool, c)
				B, T := g.Shape("ids")[0], g.Shape("ids")[1]
				N := B * T
				h, scratch := make([]float32, N*c.HiddenSize), make([]float32, N*c.HiddenSize)
				m.Embed(h, g.IDs("ids"))
				seen := 0
				check := func(linear string, codes layer.Codes) {
					t.Helper()
					seen++
					g.CheckCodes(t, "codes."+linear, codes.Q)
				}
				for i, part := range m.Parts {
					prefix := spec.Layer(layer.Layer(i))
					switch m := part.(type) {
					case *layer.TokenMixer:
						b := m.NewMixerBuffers(N, scratch, floats)
						m.Forward(e, h, h, B, T, make([]float32, B*c.RecurrenceWidth()), nil, nil, b)
						check(prefix+"attn.i_proj", b.CodesI)
						check(prefix+"attn.f_proj", b.CodesF)
						check(prefix+"attn.g_proj", b.CodesG)
						check(prefix+"attn.o_proj", b.CodesO)
					case *layer.ChannelMixer:
						b := m.NewMLPBuffers(N, scratch, floats)
						m.Forward(e, h, h, N, b)
						check(prefix+"mlp.gate_proj", b.CodesGate)
						if m.Dense == nil {
							check(prefix+"mlp.down_proj", b.CodesDown)
						}
					case *layer.Attention:
						b := m.NewAttentionBuffers(N, scratch, floats)
						m.Forward(e, h, h, B, T, m.NewPass(B, T), nil, nil, b)
						for i, codes := range b.Fan.Codes {
							check(m.In.Projections[i].Name, codes)
						}
						if m.Out.W != nil {
							check(m.Out.Name, b.CodesOut)
						}
					case *layer.GatedMLP:
						b := m.NewGatedBuffers(N, scratch, floats)
						m.Forward(e, h, h, N, b)
						for i, codes := range b.Fan.Codes {
							check(m.In.Projections[i].Name, codes)
						}
						if m.Down.W != nil {
							check(m.Down.Name, b.CodesDown)
						}
					}
					if part.Name() == layer.PartMLP {
						g.CheckOutput(t, fmt.Sprintf("hidden.%d", layer.Layer(i)), h)
					}
				}
				hb := m.Head.NewHeadBuffers(N, floats)
				m.Head.Quantize(e, h, N, hb)
				if m.Head.Dense == nil {
					check("lm_head", hb.Codes)
				}
				if want := len(g.Tensors("codes")); seen != want {
					t.Errorf("%d linears compared, the golden has codes of %d", seen, want)
				}
				logits := make([]float32, N*c.VocabSize)
				for t0 := 0; t0 < N; t0 += 7 { // any chunk
					n := min(7, N-t0)
					m.Head.Logits(e, logits[t0*c.VocabSize:][:n*c.VocabSize], t0, n, hb)
				}
				g.CheckOutput(t, "logits", logits)
			})
		}
	}
}
