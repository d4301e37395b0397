package autograd

import (
	"math"
	"slices"
	"testing"

	"mmfree/autograd/op"
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// droppers are the ways to drop values in training, at a rate.
var droppers = map[string]func(o *Options, rate float64){
	"halves":     func(o *Options, rate float64) { o.Dropout = rate },
	"embeddings": func(o *Options, rate float64) { o.EmbeddingDropout = rate },
}

// dropped is a session with dropout, whose key is fixed.
func dropped(t *testing.T, v variant, seed uint64, threads int, drop func(o *Options, rate float64), rate float64, key uint64) *Session {
	t.Helper()
	pool := par.New(threads)
	t.Cleanup(pool.Close)
	o := Options{Set: kernel.Generic(), Pool: pool}
	drop(&o, rate)
	s, err := NewSession(smallModel(t, v.Config, seed), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.Draw(key)
	return s
}

// TestDropoutGradients compares every gradient under dropout with the central difference of the straight-through
// reference that multiplies by the same mask.
func TestDropoutGradients(t *testing.T) {
	const B, T, rate, key = 2, 9, 0.3, 77
	for _, v := range []variant{variants()[0], variants()[3]} {
		t.Run(v.name, func(t *testing.T) {
			d := v.HiddenSize
			pool := par.New(1)
			defer pool.Close()
			drop := op.NewDropout(rate)
			drop.Key = key
			var masks [][]float32
			for half := range 2 * v.NumHiddenLayers {
				mask := make([]float32, B*T*d)
				for i := range mask {
					mask[i] = 1
				}
				drop.Apply(layer.NewEnv(kernel.Generic(), pool, v.Config), uint64(half), mask, mask)
				masks = append(masks, mask)
			}
			keep := func(half, value int) float64 { return float64(masks[half][value]) }
			ids, labels, count := smallBatch(v.Config, B, T)
			w, r := clearOfHalves(t, v.Config, ids, labels, B, func(r *reference) { r.keep = keep })
			want := differences(r, w, ids, labels, B, count)
			for _, unfused := range []bool{false, true} {
				s, err := NewSession(w, Options{Set: kernel.Generic(), Pool: pool, Unfused: unfused, Dropout: rate})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				s.Draw(key)
				sum, err := s.Backward(ids, labels, B, 1/float64(count))
				if err != nil {
					t.Fatal(err)
				}
				if want, _ := r.lossSum(ids, labels, B); math.Abs(sum-want) > 1e-5*want {
					t.Fatalf("loss %v, the reference's is %v", sum, want)
				}
				for i, tensor := range w.Tensors {
					checkGradient(t, tensor.Name, s.Grads().At(i), want[i])
				}
			}
		})
	}
}

// TestDropoutMask: the share that is dropped, the size of the rest, other values for other parts and keys, and the same
// ones on any number of threads.
func TestDropoutMask(t *testing.T) {
	const n, rate = 100_003, 0.2
	mask := func(threads int, key, part uint64) []float32 {
		pool := par.New(threads)
		defer pool.Close()
		d := op.NewDropout(rate)
		d.Key = key
		dst, src := make([]float32, n), make([]float32, n)
		for i := range src {
			src[i] = 1
		}
		d.Apply(layer.NewEnv(kernel.Generic(), pool, smallConfig()), part, dst, src)
		return dst
	}
	one := mask(1, 5, 2)
	var zeros int
	var sum float64
	for _, v := range one {
		if v == 0 {
			zeros++
		}
		sum += float64(v)
	}
	// The rate is rounded to 51/256; four standard deviations of a binomial are 0.0051.
	if share := float64(zeros) / n; math.Abs(share-51.0/256) > 0.0051 {
		t.Errorf("%v of the values are dropped, want %v", share, 51.0/256)
	}
	if mean := sum / n; math.Abs(mean-1) > 0.01 {
		t.Errorf("the mean is %v, want 1", mean)
	}
	if !slices.Equal(one, mask(3, 5, 2)) {
		t.Error("the mask depends on the threads")
	}
	for name, other := range map[string][]float32{"part": mask(1, 5, 3), "key": mask(1, 6, 2)} {
		same := 0
		for i := range one {
			if (one[i] == 0) == (other[i] == 0) {
				same++
			}
		}
		// Independent masks agree in 1 − 2·p·(1−p) = 0.681 of the values.
		if share := float64(same) / n; math.Abs(share-0.681) > 0.01 {
			t.Errorf("another %s agrees in %v of the values, want 0.681", name, share)
		}
	}
}

// TestDropoutInTrainingOnly: the evaluation graph knows none, and the training graph repeats its loss for the same key.
func TestDropoutInTrainingOnly(t *testing.T) {
	const B, T = 3, 13
	v := wideVariants()[0]
	for name, drop := range droppers {
		t.Run(name, func(t *testing.T) { testTrainingOnly(t, v, B, T, drop) })
	}
}

func testTrainingOnly(t *testing.T, v variant, B, T int, drop func(o *Options, rate float64)) {
	ids, labels, _ := smallBatch(v.Config, B, T)
	losses := func(rate float64, threads int, key uint64) (training, evaluation float64) {
		s := dropped(t, v, 1, threads, drop, rate, key)
		training, err := s.Backward(ids, labels, B, 1)
		if err != nil {
			t.Fatal(err)
		}
		if evaluation, err = s.Evaluate(ids, labels, B); err != nil {
			t.Fatal(err)
		}
		return training, evaluation
	}
	plain, evaluated := losses(0, 1, 0)
	if plain != evaluated {
		t.Errorf("without dropout the training loss is %v, the evaluation's %v", plain, evaluated)
	}
	a, e := losses(0.2, 1, 9)
	if e != evaluated {
		t.Errorf("dropout changes the evaluation from %v to %v", evaluated, e)
	}
	if a == plain {
		t.Error("dropout changes nothing in training")
	}
	if b, _ := losses(0.2, 3, 9); a != b {
		t.Errorf("the same key gives %v on one thread and %v on three", a, b)
	}
	if b, _ := losses(0.2, 1, 10); a == b {
		t.Error("another key gives the same loss")
	}
}

// TestDropoutSlope: the transformer has no quantisers, so its gradient under a fixed mask is that of the loss itself; in
// float32 a central difference along the gradient meets |g|² within a part in a hundred.
func TestDropoutSlope(t *testing.T) {
	for name, drop := range droppers {
		t.Run(name, func(t *testing.T) { testSlope(t, drop) })
	}
}

func testSlope(t *testing.T, drop func(o *Options, rate float64)) {
	const B, T = 2, 9
	c := spec.Default()
	c.Arch, c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = spec.ArchTransformer, 11, 8, 2, 12
	c.NumAttentionHeads, c.NumKeyValueHeads = 2, 1
	w := smallModel(t, c, 3)
	ids, labels, _ := smallBatch(c, B, T)
	pool := par.New(1)
	defer pool.Close()
	o := Options{Set: kernel.Generic(), Pool: pool}
	drop(&o, 0.3)
	s, err := NewSession(w, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Draw(3)
	loss := func() float64 {
		sum, err := s.Backward(ids, labels, B, 1)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	loss()
	g := slices.Clone(s.Grads().Flat())
	var square float64
	for _, v := range g {
		square += float64(v) * float64(v)
	}
	start := slices.Clone(w.Flat())
	at := func(h float64) float64 {
		for i, v := range start {
			w.Flat()[i] = v + float32(h*float64(g[i]))
		}
		s.WeightsChanged()
		return loss()
	}
	h := 1e-3 / math.Sqrt(square)
	if slope := (at(h) - at(-h)) / (2 * h); math.Abs(slope-square) > 0.01*square {
		t.Errorf("the loss changes by %v along the gradient, whose square is %v", slope, square)
	}
}
