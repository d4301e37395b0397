package op

import "mmfree/ternary/layer"

// carried is the recurrent state of one layer's mixer around a pass: what Workspace.States hands on from batch to batch, or 0.
type carried struct {
	before []float32 // of the first token; the backward pass reads it
	behind []float32 // of the last one
}

func newCarried(n int) carried { return carried{make([]float32, n), make([]float32, n)} }

// enter sets both to the state that layer l begins with, which the caller lets a forward pass go on from in behind.
func (c *carried) enter(w *Workspace, l int) {
	clear(c.before)
	copy(c.before, w.state(l))
	copy(c.behind, c.before)
}

// leave hands on what is behind the last token.
func (c *carried) leave(w *Workspace, l int) { copy(w.state(l), c.behind) }

// state returns the memory of what layer l's mixer hands on, or nil.
func (w *Workspace) state(l int) layer.Recurrent {
	if w.States == nil {
		return nil
	}
	return w.States[2*l] // parts come in pairs, see layer.Layer
}
