package autograd

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
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
	return ((1-share)*ce + share*tau*tau*klSum + float64(x.HiddenShare)*hiddenSum) / float64(count), klSum, hiddenSum
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
