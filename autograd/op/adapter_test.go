package op

import (
	"errors"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func input(g *G.ExprGraph, name string, values ...float32) *G.Node {
	return G.NewTensor(g, tensor.Float32, 1, G.WithName(name), G.WithShape(len(values)), G.WithValue(Dense(values, len(values))))
}

// TestOneNameOneOp: gorgonia gives the first op's node to a second of the same name over the same inputs, whatever it
// computes. That must not pass in silence.
func TestOneNameOneOp(t *testing.T) {
	g := G.NewGraph()
	x := input(g, "x", 1, 2)
	first, err := apply(&fused{name: "twice", out: Dense(make([]float32, 2), 2)}, x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply(&fused{name: "twice", out: Dense(make([]float32, 2), 2)}, x); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a second op of the name: error %v", err)
	}
	if _, err := apply(&fused{name: "once more", out: Dense(make([]float32, 2), 2)}, first); err != nil {
		t.Error(err)
	}
}

// TestShapesAreChecked: gorgonia itself compares only the number of dimensions.
func TestShapesAreChecked(t *testing.T) {
	o := &fused{name: "o", in: []tensor.Shape{{2, 3}}, out: Dense(make([]float32, 2), 2)}
	if s, err := o.InferShape(tensor.Shape{2, 3}); err != nil || !s.Eq(tensor.Shape{2}) {
		t.Errorf("shape %v, error %v", s, err)
	}
	for _, in := range [][]G.DimSizer{{tensor.Shape{3, 2}}, {tensor.Shape{2}}, {}, {tensor.Shape{2, 3}, tensor.Shape{2, 3}}} {
		if s, err := o.InferShape(in...); err == nil {
			t.Errorf("inputs %v gave shape %v", in, s)
		}
	}
}

// TestFailure: the op's own error comes out of the machine's, and an error of the machine itself stays what it is.
func TestFailure(t *testing.T) {
	cause := errors.New("no fuel")
	g := G.NewGraph()
	_, err := apply(&fused{name: "engine", out: Dense(make([]float32, 2), 2), do: func([]G.Value) error { return cause }}, input(g, "x", 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	vm := G.NewTapeMachine(g)
	defer vm.Close()
	err = Failure(vm.RunAll())
	if !errors.Is(err, cause) || err.Error() != "engine: no fuel" {
		t.Errorf("an op's error: %v", err)
	}

	empty := G.NewGraph()
	unbound := G.NewTensor(empty, tensor.Float32, 1, G.WithName("x"), G.WithShape(2))
	if _, err := apply(&fused{name: "engine", out: Dense(make([]float32, 2), 2)}, unbound); err != nil {
		t.Fatal(err)
	}
	vm = G.NewTapeMachine(empty)
	defer vm.Close()
	if err := Failure(vm.RunAll()); err == nil || !strings.Contains(err.Error(), "No value bound") {
		t.Errorf("an input without a value: %v", err)
	}
}
