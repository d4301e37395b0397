package infer_test

import (
	"fmt"
	"testing"

	"mmfree/ternary/goldentest"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// build packs a golden's parameters.
func build(t *testing.T, g *goldentest.Golden) *pack.Model {
	t.Helper()
	p, err := pack.Build(g.Weights("param."))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestModelGoldens(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	for _, name := range goldentest.Names("model_") {
		for _, set := range append(kernel.Available(), kernel.Counting(new(kernel.Counts))) {
			t.Run(name+"/"+set.Name, func(t *testing.T) {
				g := goldentest.Load(t, name)
				p := build(t, g)
				ids, B, T := g.IDs("ids"), g.Shape("ids")[0], g.Shape("ids")[1]
				m := infer.New(p, set, pool, B*T)
				logits := make([]float32, B*T*p.Config.VocabSize)
				hidden := map[string][]float32{}
				err := m.Forward(m.NewState(B), infer.Call{
					IDs: ids, Logits: logits, Which: infer.All,
					Tap: func(name string, t0, n int, rows []float32) {
						if t0 != 0 || n != T {
							t.Errorf("tap %s: tokens [%d, %d), want all %d", name, t0, t0+n, T)
						}
						hidden[name] = append([]float32(nil), rows...)
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				for l := range p.Config.NumHiddenLayers {
					g.CheckOutput(t, fmt.Sprintf("hidden.%d", l), hidden[layer.TapName("mlp", l)])
				}
				g.CheckOutput(t, "logits", logits)
			})
		}
	}
}

// TestDecodeGolden feeds one token at a time.
func TestDecodeGolden(t *testing.T) {
	pool := par.New(1)
	for _, name := range goldentest.Names("decode_matmulfree") {
		t.Run(name, func(t *testing.T) {
			g := goldentest.Load(t, name)
			var from string
			var prefix int
			g.Field("params_from", &from)
			g.Field("prefix", &prefix)
			p := build(t, goldentest.Load(t, from))
			V, L, D := p.Config.VocabSize, p.Config.NumHiddenLayers, p.Config.RecurrenceWidth()
			ids, B, T := g.IDs("ids"), g.Shape("ids")[0], g.Shape("ids")[1]
			m := infer.New(p, kernel.Generic(), pool, infer.DefaultChunk)

			decode := func(mask []float32, at func(t int, s *infer.State)) []float32 {
				s, logits, out := m.NewState(B), make([]float32, B*T*V), make([]float32, B*V)
				for i := range T {
					call := infer.Call{IDs: make([]int32, B), Logits: out, Which: infer.Last}
					for b := range B {
						call.IDs[b] = ids[b*T+i]
						if mask != nil {
							call.Mask = append(call.Mask, mask[b*T+i])
						}
					}
					if err := m.Forward(s, call); err != nil {
						t.Fatal(err)
					}
					for b := range B {
						copy(logits[(b*T+i)*V:], out[b*V:][:V])
					}
					at(i+1, s)
				}
				return logits
			}
			states := func(s *infer.State) []float32 {
				flat := make([]float32, 0, L*B*D)
				for _, l := range s.Parts {
					if r, ok := l.(layer.Recurrent); ok {
						flat = append(flat, r...)
					}
				}
				return flat
			}
			logits := decode(nil, func(n int, s *infer.State) {
				if n == prefix {
					g.CheckOutput(t, "state.prefix", states(s))
				}
				if n == T {
					g.CheckOutput(t, "state.end", states(s))
				}
			})
			g.CheckOutput(t, "logits", logits)
			g.CheckOutput(t, "masked.logits", decode(g.F32("mask"), func(int, *infer.State) {}))
		})
	}
}
