package op

import (
	G "gorgonia.org/gorgonia"

	"mmfree/ternary/layer"
)

// embedChannels is the number of channels of one block of the embeddings' gradient: workers own channels, so that tokens
// of equal id are added in order by one of them.
const embedChannels = 64

type embed struct {
	w     *Workspace
	model *layer.Model
	out   []float32
	table Weight
	dh    []float32
	run   func(worker, block int)
}

// Embed adds the look-up h [N, d] = E[ids]; out [N, d] is its memory.
func Embed(w *Workspace, m *layer.Model, table Weight, out []float32) (*G.Node, error) {
	e := &embed{w: w, model: m, out: out, table: table}
	e.run = e.block
	p := &part{name: layer.TapEmbeddings, out: Dense(out, w.N, w.Config.HiddenSize), forward: e.forward, weights: []Weight{table}}
	if w.Training {
		p.backward = e.backward
	}
	return p.node(nil)
}

func (e *embed) forward([]G.Value) error {
	e.model.Embed(e.out, e.w.IDs)
	if e.w.Training && e.w.EmbeddingDropout.On() {
		e.w.EmbeddingDropout.Apply(e.w.Env, embeddings, e.out, e.out)
	}
	e.w.tap(layer.TapEmbeddings, -1, e.out)
	return nil
}

func (e *embed) backward(in []G.Value) error {
	if *e.table.Frozen {
		return nil
	}
	e.dh = floats(in[2])
	if e.w.EmbeddingDropout.On() {
		e.w.EmbeddingDropout.Apply(e.w.Env, embeddings, e.dh, e.dh)
	}
	d := e.w.Config.HiddenSize
	e.w.Env.Pool.Run(layer.Blocks(d, embedChannels), e.run)
	if pad := e.w.Config.PadTokenID; pad != nil && *pad < e.w.Config.VocabSize {
		clear(e.table.Grad[*pad*d:][:d]) // of a tied head, too: the row stays zero (spec §6)
	}
	return nil
}

func (e *embed) block(_, b int) {
	d := e.w.Config.HiddenSize
	from, to := layer.Span(b, embedChannels, d)
	for t, id := range e.w.IDs {
		row := e.table.Grad[int(id)*d:][:d]
		for c, v := range e.dh[t*d+from : t*d+to] {
			row[from+c] += v
		}
	}
}

func (w *Workspace) tap(part string, l int, rows []float32) {
	if w.Tap != nil {
		w.Tap(layer.TapName(part, l), rows)
	}
}
