package kernel

import (
	"math"

	"mmfree/ternary/f32"
	"mmfree/ternary/par"
)

// KeyBlock is the number of keys that attention takes together: a query's keys are cut into such blocks from the first
// one on, whatever other queries there are. Part of the order.
const KeyBlock = 64

// queryTile is the number of queries whose scores exist at a time; it changes no bit.
const queryTile = 128

// attentionScratch holds one tile's scores and sums.
type attentionScratch struct {
	scores, slopes [queryTile * KeyBlock]float32
	mixed          []float32 // [queryTile, width]
}

var attentionShelf par.Shelf[attentionScratch]

// Attend lets n queries look at one block of at most KeyBlock keys and moves their sums on: an online softmax, which never
// holds more than a block of scores. q [n, c] are queries times the scale 1/√c, k and v [keys, c] keys and values. Query i
// sees the first min(keys, seen+i) keys, seen ≥ 1. acc [n, c], top and sum [n] are each query's weighted values, largest
// score and summed weights so far; before the first block sum is 0 and top −∞.
//
// Order, for one query and block: scores by Dense; Exponentials over those that are seen, whose maximum is subtracted;
// values by DenseTransposed of the weights over the keys that are seen; then both sides are scaled by e
// to the power of their maximum less the larger one, and added.
//
// With top and sum nil there is no softmax: the weights are the scores, and their values are added to acc.
func (s *Set) Attend(acc, top, sum, q, k, v []float32, c, keys, n, seen int) {
	if s.plain != nil {
		s.counts.attend(c, keys, n, seen, top != nil)
		s = s.plain
	}
	a := attentionShelf.Take()
	defer attentionShelf.Put(a)
	if len(a.mixed) < queryTile*c {
		a.mixed = make([]float32, queryTile*c)
	}
	for i := 0; i < n; i += queryTile {
		m := min(queryTile, n-i)
		s.Dense(a.scores[:], keys, k, q[i*c:], c, m, 0, keys)
		if top == nil {
			s.mix(a, v, c, keys, m, seen+i)
			for j, x := range a.mixed[:m*c] {
				acc[i*c+j] += x
			}
			continue
		}
		s.attendTile(a, acc[i*c:][:m*c], top[i:][:m], sum[i:][:m], v, c, keys, seen+i)
	}
}

// mix weights the values of a block by the tile's n rows of weights, which stand where the scores do.
func (s *Set) mix(a *attentionScratch, v []float32, c, keys, n, seen int) {
	part := min(n, max(0, keys-seen)) // the first queries see a part of the block
	if part > 0 && s.AbsSum(v[:keys*c]) <= math.MaxFloat64 {
		// A sum of fused steps from 0 stays what it is when more keys of weight 0 follow, so all have one product.
		for i := range part {
			clear(a.scores[i*keys:][seen+i : keys])
		}
		part = 0
	}
	for i := range part { // else each its own: zero times such a value would reach queries that do not see it
		s.DenseTransposed(a.mixed[i*c:][:c], v, a.scores[i*keys:], seen+i, c, 1)
	}
	if part < n {
		s.DenseTransposed(a.mixed[part*c:][:(n-part)*c], v, a.scores[part*keys:], keys, c, n-part)
	}
}

// attendTile is the softmax of the tile's scores.
func (s *Set) attendTile(a *attentionScratch, acc, top, sum, v []float32, c, keys, seen int) {
	n := len(top)
	var tops, sums [queryTile]float32
	for i := range n {
		row := a.scores[i*keys:][:min(keys, seen+i)]
		tops[i], sums[i] = s.Exponentials(row)
	}
	s.mix(a, v, c, keys, n, seen)
	for i := range n {
		if tops[i] > top[i] || tops[i] != tops[i] || sum[i] == 0 {
			old := f32.Exp(top[i] - tops[i])
			if sum[i] == 0 {
				old = 0
			}
			top[i], sum[i] = tops[i], float32(sum[i]*old)+sums[i]
			for j, x := range a.mixed[i*c:][:c] {
				acc[i*c+j] = float32(acc[i*c+j]*old) + x
			}
			continue
		}
		add := f32.Exp(tops[i] - top[i])
		sum[i] += float32(sums[i] * add)
		for j, x := range a.mixed[i*c:][:c] {
			acc[i*c+j] += float32(x * add)
		}
	}
}

// weights turns scores into e^(x − top)/sum.
func (s *Set) weights(x []float32, top, sum float32) { s.SoftmaxGradient(x, top, sum, -1, 1) }

// AttendBackward is the gradient of Attend's softmax for one block: dq [n, c] += dS·K, dk [keys, c] += dSᵀ·q, dv += Pᵀ·do,
// with P the weights e^(score − top)/sum of the finished sums, dS = P∘(do·Vᵀ − delta). do [n, c] is the gradient of the
// output acc/sum, delta [n] = Σ do∘output. Scores are made again from q and k; those not seen count nothing. Source: spec §10.
// With top, sum and delta nil it is the gradient without a softmax: P are the scores, dS = do·Vᵀ, do the gradient of acc.
func (s *Set) AttendBackward(dq, dk, dv, do, delta, top, sum, q, k, v []float32, c, keys, n, seen int) {
	a := attentionShelf.Take()
	defer attentionShelf.Put(a)
	if len(a.mixed) < queryTile*c {
		a.mixed = make([]float32, queryTile*c)
	}
	for i0 := 0; i0 < n; i0 += queryTile {
		m := min(queryTile, n-i0)
		q, do := q[i0*c:][:m*c], do[i0*c:][:m*c]
		s.Dense(a.scores[:], keys, k, q, c, m, 0, keys)
		s.Dense(a.slopes[:], keys, v, do, c, m, 0, keys)
		for i := range m {
			p, d := a.scores[i*keys:][:keys], a.slopes[i*keys:][:keys]
			visible := min(keys, seen+i0+i)
			clear(p[visible:])
			clear(d[visible:])
			if top == nil {
				continue
			}
			s.weights(p[:visible], top[i0+i], sum[i0+i])
			less := delta[i0+i]
			for j, w := range p[:visible] {
				d[j] = float32(w * (d[j] - less))
			}
		}
		s.OuterFloat(dv, a.scores[:], keys, nil, do, c, m, 0, keys)
		s.OuterFloat(dk, a.slopes[:], keys, nil, q, c, m, 0, keys)
		s.DenseTransposed(a.mixed[:m*c], k, a.slopes[:], keys, c, m)
		out := dq[i0*c:][:m*c]
		for j, x := range a.mixed[:len(out)] {
			out[j] += x
		}
	}
}

// NoKey is the largest score of a query that has seen no key.
func NoKey() float32 { return float32(math.Inf(-1)) }

// attend counts Attend's multiplications; none is a weight's.
func (c *Counts) attend(width, keys, n, seen int, softmax bool) {
	for i := range n {
		visible := int64(min(keys, seen+i))
		count := visible * int64(2*width)
		if softmax {
			count += visible*expMultiplies + int64(width) + expMultiplies
			c.Exponentials.Add(visible + 1)
		}
		c.OtherMultiplies.Add(count)
	}
}
