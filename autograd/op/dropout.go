package op

import (
	"math/rand/v2"

	"mmfree/ternary/layer"
)

// Dropout zeroes a share of what a half of a block adds to the residual stream, in training only, and divides the rest by
// the share that is kept (Srivastava et al. 2014; at this place as in Vaswani et al. 2017, §5.4). Which values, follows
// from the key, the part and the value's place in the batch, so neither threads nor the order of parts matter.
type Dropout struct {
	Key uint64 // of the micro-batch in flight

	limit uint8   // a value goes where its byte is below
	scale float32 // of those that stay
	job   dropoutJob
}

// NewDropout drops the share rate of the values, in [0, 1), to the nearest 256th.
func NewDropout(rate float64) *Dropout {
	d := &Dropout{limit: uint8(min(255, rate*256+0.5))}
	d.scale = float32(256 / float64(256-int(d.limit)))
	d.job.run = d.job.block
	return d
}

// On reports whether anything is dropped.
func (d *Dropout) On() bool { return d.limit > 0 }

// dropOut puts dropout on a part's branch, where the workspace has any.
func (w *Workspace) dropOut(b *layer.Branch, part uint64) {
	if w.Dropout.On() {
		b.Drop = func(out []float32) { w.Dropout.Apply(w.Env, part, out, out) }
	}
}

// firstHalf and secondHalf number the halves of block l among all parts.
func firstHalf(l int) uint64  { return uint64(2 * l) }
func secondHalf(l int) uint64 { return uint64(2*l + 1) }

// embeddings is the number of the embeddings among all parts, behind the halves of every possible block.
const embeddings = 1<<32 - 1

// branchGradient returns the gradient of what a part added to the residual stream: dh, through dropout in scratch.
func (w *Workspace) branchGradient(part uint64, dh, scratch []float32) []float32 {
	if !w.Dropout.On() {
		return dh
	}
	w.Dropout.Apply(w.Env, part, scratch[:len(dh)], dh)
	return scratch[:len(dh)]
}

const dropoutBlock = 1 << 12 // values of one block, a multiple of 8

type dropoutJob struct {
	run      func(worker, block int)
	d        *Dropout
	part     uint64
	dst, src []float32
}

// Apply computes dst = src with the part's values dropped; dst may be src.
func (d *Dropout) Apply(env *layer.Env, part uint64, dst, src []float32) {
	j := &d.job
	*j = dropoutJob{run: j.run, d: d, part: part, dst: dst, src: src}
	env.Pool.Run(layer.Blocks(len(src), dropoutBlock), j.run)
}

func (j *dropoutJob) block(_, b int) {
	from, to := layer.Span(b, dropoutBlock, len(j.src))
	limit, scale := j.d.limit, j.d.scale
	var random rand.PCG // a stream a block, so that blocks may run in any order
	random.Seed(j.d.Key, j.part<<32|uint64(b))
	for i := from; i < to; i += 8 {
		bits := random.Uint64()
		src := j.src[i:min(i+8, to)]
		dst := j.dst[i:][:len(src)]
		for k, v := range src {
			keep := scale
			if uint8(bits>>(8*k)) < limit {
				keep = 0
			}
			dst[k] = v * keep
		}
	}
}
