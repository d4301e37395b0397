package infer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// configs are small models whose sizes are multiples of no block, one for each way a model can differ.
func configs() map[string]spec.Config {
	base := spec.Default()
	base.VocabSize, base.HiddenSize, base.NumHiddenLayers, base.IntermediateSize = 29, 37, 3, 53
	wide := base
	wide.UseLowerBound, wide.ExpandRatio = false, 1.8 // D = 66: a channel block and a bit
	narrow := base
	narrow.UseLowerBound, narrow.ExpandRatio, narrow.NumHiddenLayers = false, 0.5, 1
	fused := base
	fused.BitLinearEps, fused.ActivationRounding = spec.BitLinearEpsFused, spec.HalfAway
	tied := base
	tied.TieWordEmbeddings, tied.VocabSize = true, 150
	dense := base
	dense.DownProj = spec.DownDenseUnnormed
	rwkv := base
	rwkv.Arch, rwkv.HiddenSize = spec.ArchRWKV4, 66 // a channel block and a bit
	list := map[string]spec.Config{"base": base, "wide": wide, "narrow": narrow, "fused": fused, "tied": tied, "dense": dense, "rwkv4": rwkv}
	for name, c := range attentionConfigs() {
		list[name] = c
	}
	return list
}

func attentionConfigs() map[string]spec.Config {
	llama := spec.Default()
	llama.Arch, llama.VocabSize, llama.HiddenSize, llama.NumHiddenLayers, llama.IntermediateSize = spec.ArchTransformer, 29, 36, 2, 53
	llama.NumAttentionHeads, llama.NumKeyValueHeads = 6, 2
	alone := llama
	alone.NumAttentionHeads, alone.NumKeyValueHeads, alone.HeadDim, alone.TieWordEmbeddings = 3, 3, 18, true
	bitnet := llama
	bitnet.Arch = spec.ArchBitNet
	trits := bitnet
	trits.TernaryAttention = true
	integer := trits
	integer.IntegerAttention = true
	squared := bitnet
	squared.HiddenAct, squared.TieWordEmbeddings, squared.NumKeyValueHeads = spec.ActReLU2, true, 1
	head := bitnet
	head.LMHead, head.TieWordEmbeddings = spec.HeadBitLinear, true
	inner := head
	inner.NormPlacement, inner.TieWordEmbeddings, inner.ActivationRounding = spec.NormBitLinear, false, spec.HalfAway
	return map[string]spec.Config{
		"bitnet, ternary attention": trits, "bitnet, integer attention": integer,
		"llama": llama, "llama tied": alone, "bitnet": bitnet, "bitnet relu2": squared, "bitnet head": head, "bitnet inner": inner,
	}
}

// longest is a number of tokens that crosses blocks: of keys where there is attention.
func longest(c spec.Config) int {
	if c.MaxPositions() == 0 {
		return 40
	}
	return 2*kernel.KeyBlock + 12
}

// carried returns the values that a state carries for one sequence, part by part.
func carried(s *infer.State, b int) (list [][]float32) {
	for _, p := range s.Parts {
		switch p := p.(type) {
		case layer.Recurrent:
			D := len(p) / s.Batch
			list = append(list, p[b*D:][:D])
		case *layer.KeyValues:
			var values []float32
			for head := range p.Heads() {
				for t := range p.Tokens(b) {
					k, v := p.Block(b, head, t, 1)
					values = append(append(values, k...), v...)
				}
			}
			list = append(list, values)
		}
	}
	return list
}

// random draws weights, gains and bounds too.
func random(t testing.TB, c spec.Config, seed uint64) *pack.Model {
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i, tensor := range w.Tensors {
		if tensor.Kind == spec.Gain || tensor.Kind == spec.Bounds || tensor.Kind == spec.Vector {
			for j := range w.At(i) {
				w.At(i)[j] += float32(0.4 * (2*rng.Float32() - 1))
			}
		}
	}
	p, err := pack.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tokens(rng *rand.Rand, n, V int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(V))
	}
	return ids
}

// alone runs one sequence in one call on one thread: what every other way must give.
func alone(t testing.TB, p *pack.Model, ids []int32) (logits []float32, state [][]float32) {
	m := infer.New(p, kernel.Generic(), par.New(1), len(ids))
	s := m.NewState(1)
	logits = make([]float32, len(ids)*p.Config.VocabSize)
	if err := m.Forward(s, infer.Call{IDs: ids, Logits: logits, Which: infer.All}); err != nil {
		t.Fatal(err)
	}
	return logits, carried(s, 0)
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func equalBits(t fataler, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: value %d is %v (%#08x), want %v (%#08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// TestAnySplitGivesTheSameBits draws threads, chunk, batch and the calls' lengths, and compares every sequence with
// itself run alone in one pass.
func TestAnySplitGivesTheSameBits(t *testing.T) {
	pools := map[int]*par.Pool{}
	for _, threads := range []int{1, 2, 3, 6} {
		pools[threads] = par.New(threads)
		defer pools[threads].Close()
	}
	sets := append(kernel.Available(), kernel.Counting(new(kernel.Counts)))
	for name, c := range configs() {
		t.Run(name, func(t *testing.T) {
			p := random(t, c, 7)
			V := c.VocabSize
			rapid.Check(t, func(r *rapid.T) {
				B, T := rapid.IntRange(1, 4).Draw(r, "batch"), rapid.IntRange(1, longest(c)).Draw(r, "tokens")
				threads := rapid.SampledFrom([]int{1, 2, 3, 6}).Draw(r, "threads")
				chunk := B * rapid.SampledFrom([]int{1, 2, 5, 16, 17, 64}).Draw(r, "chunk")
				set := rapid.SampledFrom(sets).Draw(r, "set")
				ids := tokens(rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "ids"), 1)), B*T, V)

				m := infer.New(p, set, pools[threads], chunk)
				s := m.NewState(B)
				logits := make([]float32, B*T*V)
				for t0 := 0; t0 < T; {
					n := rapid.IntRange(1, T-t0).Draw(r, "call")
					call := infer.Call{Which: infer.All, Logits: make([]float32, B*n*V)}
					for b := range B {
						call.IDs = append(call.IDs, ids[b*T+t0:][:n]...)
					}
					if rapid.Bool().Draw(r, "mask") {
						call.Mask = slices.Repeat([]float32{1}, B*n)
					}
					last := rapid.Bool().Draw(r, "last") && n == 1
					if last {
						call.Which = infer.Last
					}
					if err := m.Forward(s, call); err != nil {
						r.Fatal(err)
					}
					for b := range B {
						copy(logits[(b*T+t0)*V:], call.Logits[b*n*V:][:n*V])
					}
					t0 += n
				}
				for b := range B {
					want, state := alone(t, p, ids[b*T:][:T])
					equalBits(r, fmt.Sprintf("logits of sequence %d", b), logits[b*T*V:][:T*V], want)
					for l := range state {
						equalBits(r, fmt.Sprintf("state %d of sequence %d", l, b), carried(s, b)[l], state[l])
					}
				}
			})
		})
	}
}

func TestLeftPaddingIsNothing(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	rng := rand.New(rand.NewPCG(3, 1))
	for name, c := range configs() {
		t.Run(name, func(t *testing.T) {
			p := random(t, c, 8)
			V := c.VocabSize
			const B, T = 3, 21
			ids, mask := tokens(rng, B*T, V), slices.Repeat([]float32{1}, B*T)
			pad := []int{0, 5, T - 1}
			for b, n := range pad {
				clear(mask[b*T:][:n])
			}
			m := infer.New(p, kernel.Generic(), pool, 4*B)
			s, logits := m.NewState(B), make([]float32, B*T*V)
			if err := m.Forward(s, infer.Call{IDs: ids, Mask: mask, Logits: logits, Which: infer.All}); err != nil {
				t.Fatal(err)
			}
			for b, n := range pad {
				want, state := alone(t, p, ids[b*T+n:(b+1)*T])
				equalBits(t, fmt.Sprintf("logits behind %d padded tokens", n), logits[(b*T+n)*V:(b+1)*T*V], want)
				for l := range state {
					equalBits(t, fmt.Sprintf("state %d behind %d padded tokens", l, n), carried(s, b)[l], state[l])
				}
			}
		})
	}
}

// TestBitsArePinned fails when any bit of the forward pass changes, on this machine or between machines. A change on
// purpose is announced in the changelog and pinned here again.
func TestBitsArePinned(t *testing.T) {
	want := map[string]uint64{
		"base": 0xe556dd76804a2b88, "wide": 0xc122560c44534842, "narrow": 0x73071141a7710339,
		"fused": 0x0393a1a187d7972a, "tied": 0x2e9c2b0a6e70a637, "dense": 0x9249de7fb2471745,
		"llama": 0x17c2f4ea2894ad60, "llama tied": 0x0960b4d8171982c3, "bitnet": 0x16e030ab16319846,
		"bitnet, ternary attention": 0x01f5948043f82cd0,
		"rwkv4":                     0xc9c080b054cd325b,
		"bitnet, integer attention": 0x8b0ffa2fd25b44a0,
		"bitnet relu2":              0x041f38b7c4c03097, "bitnet head": 0x631ccadcf7f503ff, "bitnet inner": 0x6bac53d836ff6cce,
	}
	for name, c := range configs() {
		p := random(t, c, 9)
		logits, _ := alone(t, p, tokens(rand.New(rand.NewPCG(4, 1)), 33, c.VocabSize))
		h := fnv.New64a()
		var word [4]byte
		for _, v := range logits {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			h.Write(word[:])
		}
		if got := h.Sum64(); got != want[name] {
			t.Errorf("%s: the logits' hash is %#016x, pinned is %#016x; the first logits are %v", name, got, want[name], logits[:4])
		}
	}
}

func TestNoWeightIsMultiplied(t *testing.T) {
	for name, c := range configs() {
		var counts kernel.Counts
		m := infer.New(random(t, c, 5), kernel.Counting(&counts), par.New(1), 16)
		if err := m.Forward(m.NewState(1), infer.Call{IDs: []int32{1, 2, 3}}); err != nil {
			t.Fatal(err)
		}
		if _, ternary := spec.Parameters(c); (counts.WeightAdds.Load() > 0) != (ternary > 0) || (counts.ZerosSkipped.Load() > 0) != (ternary > 0) {
			t.Errorf("%s: %d additions, %d skipped", name, counts.WeightAdds.Load(), counts.ZerosSkipped.Load())
		}
		if counts.OtherMultiplies.Load() == 0 {
			t.Errorf("%s: nothing else was counted", name)
		}
		var want int64 // what full-precision layers must multiply
		for _, tensor := range spec.Tensors(c) {
			if tensor.Kind == spec.Dense && tensor.Name != spec.HeadName { // no logits are asked for
				want += 3 * int64(tensor.Elements())
			}
		}
		if got := counts.WeightMultiplies.Load(); got != want {
			t.Errorf("%s: %d multiplications by a weight, want %d", name, got, want)
		}
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		pool := par.New(threads)
		defer pool.Close()
		for name, c := range configs() {
			p := random(t, c, 6)
			m := infer.New(p, kernel.Generic(), pool, 4)
			s := m.NewState(1)
			sampler := infer.NewSampler(infer.Sampling{Temperature: 1, TopK: 5, TopP: 0.9}, c.VocabSize)
			ids, logits := []int32{1}, make([]float32, c.VocabSize)
			allocs := testing.AllocsPerRun(20, func() {
				if err := m.Forward(s, infer.Call{IDs: ids, Logits: logits, Which: infer.Last}); err != nil {
					t.Fatal(err)
				}
				ids[0] = sampler.Sample(logits)
			})
			if allocs != 0 {
				t.Errorf("%s, %d threads: %v allocations for a token", name, threads, allocs)
			}
		}
	}
}

func TestForwardRefusesBadCalls(t *testing.T) {
	c := configs()["base"]
	m := infer.New(random(t, c, 6), kernel.Generic(), par.New(1), 4)
	V := c.VocabSize
	for _, bad := range []struct {
		name  string
		batch int
		call  infer.Call
	}{
		{"no ids", 1, infer.Call{}},
		{"ids that do not divide", 2, infer.Call{IDs: []int32{1, 2, 3}}},
		{"more sequences than the chunk", 5, infer.Call{IDs: make([]int32, 5)}},
		{"negative id", 1, infer.Call{IDs: []int32{1, -1}}},
		{"id of the vocabulary's size", 1, infer.Call{IDs: []int32{int32(V)}}},
		{"short mask", 1, infer.Call{IDs: []int32{1, 2}, Mask: []float32{1}}},
		{"short document marks", 1, infer.Call{IDs: []int32{1, 2}, Starts: []bool{true}}},
		{"room for one too many", 1, infer.Call{IDs: []int32{1, 2}, Logits: make([]float32, V+1), Which: infer.Last}},
		{"no room", 2, infer.Call{IDs: []int32{1, 2}, Which: infer.All}},
		{"unwanted room", 1, infer.Call{IDs: []int32{1}, Logits: make([]float32, V)}},
	} {
		s := m.NewState(bad.batch)
		if err := m.Forward(s, bad.call); !errors.Is(err, infer.ErrInput) {
			t.Errorf("%s: error %v, want ErrInput", bad.name, err)
		}
		for _, l := range carried(s, 0) {
			if slices.ContainsFunc(l, func(v float32) bool { return v != 0 }) {
				t.Errorf("%s: the state moved", bad.name)
			}
		}
	}
}

func TestStateResets(t *testing.T) {
	p := random(t, configs()["base"], 6)
	m := infer.New(p, kernel.Generic(), par.New(1), 8)
	s := m.NewState(1)
	ids := []int32{3, 1, 4, 1, 5}
	for range 2 {
		s.Reset()
		got := make([]float32, len(ids)*p.Config.VocabSize)
		if err := m.Forward(s, infer.Call{IDs: ids, Logits: got, Which: infer.All}); err != nil {
			t.Fatal(err)
		}
		want, _ := alone(t, p, ids)
		equalBits(t, "logits", got, want)
	}
}

// A recurrent state that was written and read again goes on with the same bits; what cannot be one is refused and changes
// nothing, and so is one with keys and values.
func TestStateAsBytes(t *testing.T) {
	for name, c := range configs() {
		p := random(t, c, 6)
		m := infer.New(p, kernel.Generic(), par.New(1), 8)
		s, V := m.NewState(1), p.Config.VocabSize
		if c.MaxPositions() > 0 {
			if _, err := s.AppendBinary(nil); !errors.Is(err, infer.ErrInput) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		ids := []int32{3, 1, 4, 1, 5}
		want, _ := alone(t, p, ids)
		got := make([]float32, len(ids)*V)
		for i := range ids {
			if err := m.Forward(s, infer.Call{IDs: ids[i : i+1], Logits: got[i*V:][:V], Which: infer.All}); err != nil {
				t.Fatal(err)
			}
			kept, err := s.AppendBinary([]byte("before"))
			if err != nil || !bytes.HasPrefix(kept, []byte("before")) {
				t.Fatalf("%s: %q, %v", name, kept, err)
			}
			kept = kept[len("before"):]
			other := m.NewState(1)
			if err := other.UnmarshalBinary(kept); err != nil {
				t.Fatal(err)
			}
			for _, bad := range [][]byte{nil, kept[1:], append(slices.Clone(kept), 0)} {
				if err := other.UnmarshalBinary(bad); !errors.Is(err, infer.ErrInput) {
					t.Errorf("%s: %d of %d bytes: %v", name, len(bad), len(kept), err)
				}
			}
			s = other
		}
		equalBits(t, name+" logits", got, want)
	}
}
