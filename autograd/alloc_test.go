package autograd

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	G "gorgonia.org/gorgonia"

	"mmfree/ternary/spec"
)

// bytesPerNode bounds what the tape machine may allocate per graph node and step. It cannot be 0: RunAll makes a list of
// inputs for each op, and a goroutine and two channels for each run. Measured: 98.
const bytesPerNode = 300

// allocSizes are two model sizes, with a factor of 16 in weights and 4 in activations between them: an allocation that
// grows with the model cannot hide.
func allocSizes() []int { return []int{32, 128} }

const allocB, allocT = 4, 16

// newStep returns a function that runs one warm training step, without the optimiser, of a model of width d.
func newStep(t testing.TB, d, threads int) (step func(), s *Session) {
	t.Helper()
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 2*d, d, 2, 2*d
	w := smallModel(t, c, 1)
	s = newTestSession(t, w, threads, false)
	ids, labels, count := smallBatch(c, allocB, allocT)
	step = func() {
		s.ZeroGrads()
		s.WeightsChanged() // so that codes are made in each step
		if _, err := s.Backward(ids, labels, allocB, 1/float64(count)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		step()
	}
	return step, s
}

// TestStepAllocates: a training step stays below the bound per node of its graph, and the same at both sizes.
func TestStepAllocates(t *testing.T) {
	const steps = 20
	for _, threads := range []int{1, 2} {
		var perNode []float64
		for _, d := range allocSizes() {
			step, s := newStep(t, d, threads)
			// The runtime allocates too, now and then (threads, the collector); what the step allocates, it allocates always.
			least := uint64(math.MaxUint64)
			for range 5 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range steps {
					step()
				}
				runtime.ReadMemStats(&after)
				least = min(least, after.TotalAlloc-before.TotalAlloc)
			}
			nodes := s.Nodes(allocB, allocT)
			if nodes < 50 {
				t.Fatalf("a graph of %d nodes", nodes)
			}
			b := float64(least) / steps / float64(nodes)
			t.Logf("d %d, %d threads: %d nodes, %.1f B/node", d, threads, nodes, b)
			if b > bytesPerNode {
				t.Errorf("d %d, %d threads: %.1f bytes per node and step, above %d", d, threads, b, bytesPerNode)
			}
			perNode = append(perNode, b)
		}
		if d := perNode[1] - perNode[0]; d > 10 || d < -10 {
			t.Errorf("%d threads: bytes per node depend on the size: %.1f", threads, perNode)
		}
	}
}

// TestOpsAllocateNothing runs the forward and backward functions of all ops of a training graph in its order, without the
// machine: with codes made anew, no byte is allocated.
func TestOpsAllocateNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		for _, d := range allocSizes() {
			t.Run(fmt.Sprintf("d %d, %d threads", d, threads), func(t *testing.T) {
				_, s := newStep(t, d, threads)
				p := s.training[[2]int{allocB, allocT}]
				type call struct {
					op     G.Op
					inputs []G.Value
				}
				var calls []call
				for _, n := range p.loss.Graph().AllNodes() { // children are made before their parents
					if n.Op() == nil || n.Op().Arity() == 0 {
						continue // a weight, or the 1 that is the loss's gradient
					}
					c := call{op: n.Op()}
					for children := p.loss.Graph().From(n.ID()); children.Next(); {
						c.inputs = append(c.inputs, children.Node().(*G.Node).Value())
					}
					if len(c.inputs) != n.Op().Arity() {
						t.Fatalf("%s: %d children", n.Name(), len(c.inputs))
					}
					calls = append(calls, c)
				}
				want := append([]float32{}, s.Grads().Flat()...)
				run := func() {
					s.ZeroGrads()
					s.WeightsChanged()
					for i := range calls {
						if _, err := calls[i].op.Do(calls[i].inputs...); err != nil {
							t.Fatal(err)
						}
					}
				}
				if n := testing.AllocsPerRun(20, run); n != 0 {
					t.Errorf("%v allocations in %d calls", n, len(calls))
				}
				// It was the real work: the same gradients as the machine's.
				sameBits(t, "gradient", s.Grads().Flat(), want)
			})
		}
	}
}

// TestWarmEvaluationAllocates: repeated batches of a known shape compile nothing.
func TestWarmEvaluationAllocates(t *testing.T) {
	_, s := newStep(t, 32, 2)
	ids, labels, _ := smallBatch(s.packed.Config, 2, 9)
	evaluate := func() {
		if _, err := s.Evaluate(ids, labels, 2); err != nil {
			t.Fatal(err)
		}
	}
	evaluate()
	// Some small objects of the machine for each of 6 ops.
	if n := testing.AllocsPerRun(20, evaluate); n > 100 {
		t.Errorf("%v allocations in a warm evaluation", n)
	}
}

// BenchmarkStep is forward and backward of one batch with codes made anew, without the optimiser.
func BenchmarkStep(b *testing.B) {
	for _, d := range allocSizes() {
		b.Run(fmt.Sprintf("d%d", d), func(b *testing.B) {
			step, s := newStep(b, d, 0)
			b.ReportAllocs()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				step()
			}
			runtime.ReadMemStats(&after)
			bytes := float64(after.TotalAlloc-before.TotalAlloc) / float64(b.N)
			b.ReportMetric(bytes/float64(s.Nodes(allocB, allocT)), "B/node")
			b.ReportMetric(float64(b.N)*allocB*allocT/b.Elapsed().Seconds(), "tok/s")
		})
	}
}
