package autograd

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/spec"
)

// teacherOf draws a teacher's targets for N tokens of a vocabulary of V: its K likeliest tokens, in any order.
func teacherOf(N, V, K int) *Targets {
	rng := rand.New(rand.NewPCG(5, uint64(K)))
	x := &Targets{Share: 0.7, Temperature: 1.7, K: K}
	for range N {
		p := make([]float64, V)
		total := 0.0
		for i := range p {
			p[i] = math.Exp(2 * rng.NormFloat64())
			total += p[i]
		}
		rest := 1.0
		for _, id := range rng.Perm(V)[:K] {
			x.IDs, x.LogP = append(x.IDs, int32(id)), append(x.LogP, float32(math.Log(p[id]/total)))
			rest -= p[id] / total
		}
		x.LogRest = append(x.LogRest, float32(math.Log(max(rest, 0))))
	}
	return x
}

// objective is the loss of Targets, in float64, from the reference's logits and streams.
func objective(r *reference, x *Targets, ids, labels []int32, B, count int) (loss, klSum, hiddenSum float64) {
	ce, logits := r.lossSum(ids, labels, B)
	V := len(logits) / len(ids)
	tau := float64(x.Temperature)
	for t := range ids {
		if labels[t] < 0 {
			continue
		}
		z := logits[t*V:][:V]
		var sum, seen float64
		for _, v := range z {
			sum += math.Exp(v / tau)
		}
		term := func(q, logP float64) {
			if x.Reverse {
				klSum += q * (math.Log(q) - logP)
			} else {
				klSum += math.Exp(logP) * (logP - math.Log(q))
			}
		}
		for k, id := range x.IDs[t*x.K:][:x.K] {
			q := math.Exp(z[id]/tau) / sum
			seen += q
			term(q, float64(x.LogP[t*x.K+k]))
		}
		if x.K < V {
			term(1-seen, float64(x.LogRest[t]))
		}
	}
	for name, want := range x.Hidden {
		var size, off float64
		for i, g := range want {
			size += float64(g) * float64(g)
			off += (r.streams[name][i] - float64(g)) * (r.streams[name][i] - float64(g))
		}
		hiddenSum += off / (float64(len(x.Hidden)) * size / float64(len(ids)))
	}
	share := float64(x.Share)
	loss = (1-share)*ce + share*tau*tau*klSum + float64(x.HiddenShare)*hiddenSum
	if x.AttentionShare > 0 {
		loss += float64(x.AttentionShare) * relationSum(r, x, len(ids), B)
	}
	return loss / float64(count), klSum, hiddenSum
}

// relationSum is the divergence of the last layer's attention relations, in float64.
func relationSum(r *reference, x *Targets, N, B int) (total float64) {
	queries, keys, _ := r.config.Attention()
	for i, heads := range []int{queries, keys, keys} {
		own := r.streams[fmt.Sprintf("layers.%d.%c", r.config.NumHiddenLayers-1, "qkv"[i])]
		theirs := make([]float64, len(x.Relations[i]))
		for j, v := range x.Relations[i] {
			theirs[j] = float64(v)
		}
		// relations are x_t·x_s/√c of the tokens s up to t of one sequence and head, as logarithms of probabilities.
		relations := func(v []float64, first, t, head int) (list []float64) {
			c := len(v) / N / heads
			at := func(s int) []float64 { return v[((first+s)*heads+head)*c:][:c] }
			sum := 0.0
			for s := range t + 1 {
				dot := 0.0
				for k := range c {
					dot += at(t)[k] * at(s)[k]
				}
				list = append(list, dot/math.Sqrt(float64(c)))
				sum += math.Exp(list[s])
			}
			for s := range list {
				list[s] -= math.Log(sum)
			}
			return list
		}
		for b := range B {
			for head := range heads {
				for t := range N / B {
					q, p := relations(own, b*N/B, t, head), relations(theirs, b*N/B, t, head)
					for s := range p {
						total += math.Exp(p[s]) * (p[s] - q[s]) / float64(3*heads)
					}
				}
			}
		}
	}
	return total
}

// TestTeachGradients compares every gradient with the central difference of the loss that Targets states: forward and
// reverse, of a part of the vocabulary and of all, with and without hidden states.
func TestTeachGradients(t *testing.T) {
	const B, T = 2, 9
	for _, v := range variants() {
		switch v.name {
		case "bounds", "transformer", "bitnet":
		default:
			continue
		}
		for _, K := range []int{3, v.VocabSize} {
			for _, reverse := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/K %d, reverse %v", v.name, K, reverse), func(t *testing.T) {
					ids, labels, count := smallBatch(v.Config, B, T)
					w, r := clearOfHalves(t, v.Config, ids, labels, B, nil)
					x := teacherOf(len(ids), v.VocabSize, K)
					x.Reverse = reverse
					if K == 3 {
						rng := rand.New(rand.NewPCG(1, 1))
						x.HiddenShare, x.Hidden = 0.3, map[string][]float32{}
						for _, name := range []string{"layers.0.mlp", "layers.1.mlp"} {
							for range len(ids) * v.HiddenSize {
								x.Hidden[name] = append(x.Hidden[name], float32(rng.NormFloat64()))
							}
						}
					}
					if v.Arch != spec.ArchMatMulFree && !reverse {
						rng := rand.New(rand.NewPCG(2, 2))
						queries, keys, _ := v.Attention()
						x.AttentionShare = 0.4
						for i, heads := range []int{queries, keys, keys} {
							for range len(ids) * heads * 5 { // the teacher's heads have another width
								x.Relations[i] = append(x.Relations[i], float32(rng.NormFloat64()))
							}
						}
					}
					difference := centralDifferences(r, w, func() float64 {
						loss, _, _ := objective(r, x, ids, labels, B, count)
						return loss
					})
					_, kl, hidden := objective(r, x, ids, labels, B, count)
					for _, threads := range []int{1, 3} {
						s := newTestSession(t, w, threads, false)
						s.Teach(x)
						if _, err := s.Backward(ids, labels, B, 1/float64(count)); err != nil {
							t.Fatal(err)
						}
						if math.Abs(x.KLSum-kl) > 1e-4*math.Abs(kl) || math.Abs(x.HiddenSum-hidden) > 1e-5*hidden {
							t.Errorf("KL %v, want %v; hidden %v, want %v", x.KLSum, kl, x.HiddenSum, hidden)
						}
						if x.AttentionShare > 0 {
							if want := relationSum(r, x, len(ids), B); math.Abs(x.RelationSum-want) > 1e-4*want {
								t.Errorf("relations %v, want %v", x.RelationSum, want)
							}
						}
						for i, tensor := range w.Tensors {
							checkGradient(t, tensor.Name, s.Grads().At(i), difference[i])
						}
						s.Teach(nil)
					}
				})
			}
		}
	}
}

// TestTeachEnds: without a teacher's share the gradients are the labels' alone, in every bit, and the loss that is returned
// is the labels' in any case. Targets of another batch are refused.
func TestTeachEnds(t *testing.T) {
	const B, T = 2, 9
	c := smallConfig()
	ids, labels, count := smallBatch(c, B, T)
	w := smallModel(t, c, 1)
	plain, s := newTestSession(t, w, 1, false), newTestSession(t, w, 2, false)
	want, err := plain.Backward(ids, labels, B, 1/float64(count))
	if err != nil {
		t.Fatal(err)
	}
	x := teacherOf(len(ids), c.VocabSize, 4)
	x.Share = 0
	s.Teach(x)
	if got, err := s.Backward(ids, labels, B, 1/float64(count)); err != nil || got != want {
		t.Errorf("loss %v, want %v (%v)", got, want, err)
	}
	for i, tensor := range w.Tensors {
		if !slices.Equal(s.Grads().At(i), plain.Grads().At(i)) { // −0 for 0 is the same gradient
			t.Errorf("gradient of %s differs", tensor.Name)
		}
	}
	for _, spoil := range []func(x *Targets){
		func(x *Targets) { x.IDs[3] = int32(c.VocabSize) },
		func(x *Targets) { x.LogP = x.LogP[1:] },
		func(x *Targets) { x.K = 5 },
		func(x *Targets) { x.Hidden = map[string][]float32{"layers.0.mlp": make([]float32, 3)} },
	} {
		x := teacherOf(len(ids), c.VocabSize, 4)
		spoil(x)
		s.Teach(x)
		if _, err := s.Backward(ids, labels, B, 1); !errors.Is(err, ErrInput) {
			t.Errorf("%+v: %v", x, err)
		}
	}
}
