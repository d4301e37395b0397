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
	for _, name := range goldentest.Names("model_matmulfree") {
		for _, floats := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/floats=%v", name, floats), func(t *testing.T) {
				g := goldentest.Load(t, name)
				p, err := pack.Build(g.Weights("param."))
				if err != nil {
					t.Fatal(err)
				}
				m, c := layer.NewMatMulFree(p), p.Config
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
				for l := range m.Mixers {
					prefix := spec.Layer(l)
					mb := m.Mixers[l].NewMixerBuffers(N, scratch, floats)
					m.Mixers[l].Forward(e, h, h, B, T, make([]float32, B*c.RecurrenceWidth()), nil, nil, mb)
					check(prefix+"attn.i_proj", mb.CodesI)
					check(prefix+"attn.f_proj", mb.CodesF)
					check(prefix+"attn.g_proj", mb.CodesG)
					check(prefix+"attn.o_proj", mb.CodesO)
					cb := m.MLPs[l].NewMLPBuffers(N, scratch, floats)
					m.MLPs[l].Forward(e, h, h, N, cb)
					check(prefix+"mlp.gate_proj", cb.CodesGate)
					if m.MLPs[l].Dense == nil {
						check(prefix+"mlp.down_proj", cb.CodesDown)
					}
					g.CheckOutput(t, fmt.Sprintf("hidden.%d", l), h)
				}
				hb := m.Head.NewHeadBuffers(N, floats)
				m.Head.Quantize(e, h, N, hb)
				check("lm_head", hb.Codes)
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
