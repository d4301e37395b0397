package train

import (
	"context"
	"fmt"
	"io"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/infer"
)

// Forward passes that Logits can write.
const (
	PathTraining = "training"
	PathPacked   = "packed"
)

const (
	maxLogits   = 1 << 31 // values of one file: 8 GiB
	logitsChunk = infer.DefaultChunk
)

// LogitsRequest says which logits to write where.
type LogitsRequest struct {
	Path    string    // PathTraining or PathPacked
	IDs     [][]int32 // [B][T]
	Source  string    // where the ids came from, for errors
	Out     string    // a safetensors file, replaced where it exists
	Prefill int       // packed path: tokens run together before the rest is decoded one by one; below 0 means all
	Machine Machine
}

// LogitsResult is what was written.
type LogitsResult struct {
	Path  string  `json:"path"`
	Shape []int   `json:"shape"` // [B, T, V]
	NLL   float64 `json:"nll"`   // mean loss of predicting each next token, in nats; NaN for single tokens
}

// Logits runs a model over ids and writes the tensor logits [B, T, V] as F32, whole or not at all. The packed path holds
// the logits of a few hundred tokens at a time, the training path those of one sequence.
func (m *Model) Logits(ctx context.Context, r LogitsRequest) (*LogitsResult, error) {
	B, T, V := len(r.IDs), len(r.IDs[0]), m.Config.VocabSize
	if err := checkIDs(r.Source, r.IDs, V); err != nil {
		return nil, err
	}
	if B*T > maxLogits/V {
		return nil, &InputError{
			Source: r.Source, Problem: fmt.Sprintf("%d x %d tokens give %d logits each, more than %d in all", B, T, V, maxLogits),
			Fix: "write them in several files, of fewer ids each",
		}
	}
	w := &logitsWriter{ctx: ctx, request: &r, V: V}
	forward, done, err := m.logitsOf(w)
	if err != nil {
		return nil, err
	}
	defer done()
	tensor := safetensors.Tensor{Name: "logits", DType: dtype.F32, Shape: []int{B, T, V}, Data: func(out io.Writer) error {
		w.out = out
		for _, ids := range r.IDs {
			if err := forward(ids); err != nil {
				return err
			}
		}
		return nil
	}}
	err = durable.WriteFile(durable.OS{}, r.Out, func(out io.Writer) error {
		_, err := safetensors.Write(out, []safetensors.Tensor{tensor}, nil, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &LogitsResult{Path: r.Out, Shape: tensor.Shape, NLL: w.sum / float64(w.count)}, nil
}

// logitsOf returns the function that runs one sequence and hands its logits to w.
func (m *Model) logitsOf(w *logitsWriter) (forward func(ids []int32) error, done func() error, err error) {
	if w.request.Path == PathPacked {
		p, err := m.Packed()
		if err != nil {
			return nil, nil, err
		}
		packed := infer.New(p, w.request.Machine.Set, w.request.Machine.Pool, logitsChunk)
		return func(ids []int32) error { return w.packed(packed, ids) }, func() error { return nil }, nil
	}
	s, err := m.Session(w.request.Machine)
	if err != nil {
		return nil, nil, err
	}
	return func(ids []int32) error {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		logits := w.room(len(ids))
		if err := s.Forward(ids, 1, logits, nil); err != nil {
			return err
		}
		return w.write(logits, ids[1:])
	}, s.Close, nil
}

// logitsWriter writes logits row by row and sums the loss.
type logitsWriter struct {
	ctx     context.Context
	request *LogitsRequest
	out     io.Writer
	V       int
	buffer  []float32
	sum     float64
	count   int
}

func (w *logitsWriter) room(tokens int) []float32 {
	if n := tokens * w.V; cap(w.buffer) < n {
		w.buffer = make([]float32, n)
	}
	return w.buffer[:tokens*w.V]
}

// packed runs one sequence: the prefill in chunks, then token by token.
func (w *logitsWriter) packed(m *infer.Model, ids []int32) error {
	prefill := w.request.Prefill
	if prefill < 0 {
		prefill = len(ids)
	}
	state := m.NewState(1)
	for at := 0; at < len(ids); {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n := 1
		if at < prefill {
			n = min(logitsChunk, prefill-at, len(ids)-at)
		}
		logits := w.room(n)
		if err := m.Forward(state, infer.Call{IDs: ids[at : at+n], Which: infer.All, Logits: logits}); err != nil {
			return err
		}
		if err := w.write(logits, ids[at+1:]); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// write writes rows of logits; next holds the tokens that they predict, from the first row's on, perhaps one short.
func (w *logitsWriter) write(logits []float32, next []int32) error {
	for t := range min(len(logits)/w.V, len(next)) {
		row := logits[t*w.V:][:w.V]
		_, _, lse := w.request.Machine.Set.LogSumExp(row)
		w.sum += lse - float64(row[next[t]])
		w.count++
	}
	tensor := safetensors.Float32Tensor("", []int{len(logits)}, logits, dtype.F32)
	return tensor.Data(w.out)
}
