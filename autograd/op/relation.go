package op

import (
	"math"

	"mmfree/ternary/f32"
)

// relate adds the gradient of the attention relations that Targets states to those of queries, keys and values, of the last
// layer alone.
func (x *attention) relate() {
	w := x.w
	if w.Targets == nil || w.Targets.AttentionShare == 0 || x.l != w.Config.NumHiddenLayers-1 {
		return
	}
	w.Targets.RelationSum = 0
	for i := range x.d {
		heads := x.m.KeyHeads
		if i == 0 {
			heads = x.m.Heads
		}
		j := relation{
			x: x.buf.Fan.Out[i], y: w.Targets.Relations[i], dx: x.d[i], heads: heads, T: w.T, starts: w.Starts, sums: make([]float64, w.B*heads),
			weight: w.Targets.AttentionShare * w.LossScale / float32(len(x.d)*heads),
		}
		for range w.Env.Pool.Threads() {
			j.rooms = append(j.rooms, make([]float32, 2*w.T))
		}
		w.Env.Pool.Run(w.B*heads, j.block)
		for _, s := range j.sums {
			w.Targets.RelationSum += s / float64(len(x.d)*heads)
		}
	}
}

// relation is the job of one of the three: x [N, heads·c] the student's, y [N, heads·cy] the teacher's, dx what the gradient is
// added to. A block is a head of a sequence, which writes its own columns alone.
type relation struct {
	x, y, dx []float32
	heads, T int
	starts   []bool
	weight   float32
	sums     []float64   // of each block, Σ over tokens of the divergence
	rooms    [][]float32 // of each worker, [2, T]
}

func (j *relation) block(worker, b int) {
	N := len(j.sums) / j.heads * j.T
	c, cy := len(j.x)/(N*j.heads), len(j.y)/(N*j.heads)
	scale, scaleY := 1/f32.Sqrt(float32(c)), 1/f32.Sqrt(float32(cy))
	first, head := b/j.heads*j.T, b%j.heads
	row := func(v []float32, t, width int) []float32 { return v[((first+t)*j.heads+head)*width:][:width] }
	own, theirs := j.rooms[worker][:j.T], j.rooms[worker][j.T:]
	begin := 0 // of the document
	for t := range j.T {
		if j.starts != nil && j.starts[first+t] {
			begin = t
		}
		for s := begin; s <= t; s++ {
			own[s] = float32(f32.Dot(row(j.x, t, c), row(j.x, s, c)) * scale)
			theirs[s] = float32(f32.Dot(row(j.y, t, cy), row(j.y, s, cy)) * scaleY)
		}
		logOwn, logTheirs := logSum(own[begin:t+1]), logSum(theirs[begin:t+1])
		for s := begin; s <= t; s++ {
			p := f32.Exp(float32(float64(theirs[s]) - logTheirs))
			j.sums[b] += float64(p) * (float64(theirs[s]) - logTheirs - float64(own[s]) + logOwn)
			d := float32((f32.Exp(float32(float64(own[s])-logOwn)) - p) * j.weight * scale)
			xt, xs, dt, ds := row(j.x, t, c), row(j.x, s, c), row(j.dx, t, c), row(j.dx, s, c)
			for k := range xt {
				dt[k] += float32(d * xs[k])
				ds[k] += float32(d * xt[k])
			}
		}
	}
}

// logSum returns ln Σ e^score.
func logSum(scores []float32) float64 {
	top := math.Inf(-1)
	for _, v := range scores {
		top = max(top, float64(v))
	}
	var sum float64
	for _, v := range scores {
		sum += float64(f32.Exp(float32(float64(v) - top)))
	}
	return top + f32.Log(sum)
}
