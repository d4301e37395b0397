package spec_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"mmfree/ternary/spec"
)

func smallRWKV4() spec.Config {
	c := spec.Default()
	c.Arch, c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = spec.ArchRWKV4, 17, 6, 3, 10
	return c
}

// TestRWKV4Tensors: a layer has as many weights as the MatMul-free model's, all of them ternary, and five vectors, which are
// not decayed.
func TestRWKV4Tensors(t *testing.T) {
	c := smallRWKV4()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	mlgru := c
	mlgru.Arch = spec.ArchMatMulFree
	_, ternary := spec.Parameters(c)
	if _, want := spec.Parameters(mlgru); ternary != want {
		t.Errorf("%d ternary weights, the MLGRU's %d", ternary, want)
	}
	vectors := 0
	for _, tensor := range spec.Tensors(c) {
		if tensor.Kind == spec.Vector {
			vectors++
			if tensor.Decay || !reflect.DeepEqual(tensor.Shape, []int{6}) || !strings.Contains(tensor.Name, ".attn.time_") {
				t.Errorf("%+v", tensor)
			}
		}
	}
	if vectors != 5*3 {
		t.Errorf("%d vectors, want 15", vectors)
	}
	if c.MaxPositions() != 0 {
		t.Error("a recurrence has no limit of length")
	}
}

// TestRWKV4Init compares the vectors with the formulas of RWKV-4's published initialisation.
func TestRWKV4Init(t *testing.T) {
	for _, d := range []int{1, 2, 6} {
		c := smallRWKV4()
		c.HiddenSize = d
		w, err := spec.NewWeights(c)
		if err != nil {
			t.Fatal(err)
		}
		w.Init(1)
		for l := range 3 {
			risen, left := float64(l)/2, 1-float64(l)/3
			for j := range d {
				along := 0.0
				if d > 1 {
					along = float64(j) / float64(d-1)
				}
				place := float64(j) / float64(d)
				for name, want := range map[string]float64{
					"time_decay": -5 + 8*math.Pow(along, 0.7+1.3*risen),
					"time_first": math.Log(0.3) + 0.5*float64((j+1)%3-1),
					"time_mix_k": math.Pow(place, left),
					"time_mix_v": math.Pow(place, left) + 0.3*risen,
					"time_mix_r": math.Pow(place, left/2),
				} {
					if got := w.Get(spec.Layer(l) + "attn." + name)[j]; math.Abs(float64(got)-want) > 1e-6 {
						t.Errorf("d %d, layer %d, %s[%d] = %v, want %v", d, l, name, j, got, want)
					}
				}
			}
		}
	}
}

// TestRWKV4ConfigRefused: TestConfigRoundTrip has what is taken.
func TestRWKV4ConfigRefused(t *testing.T) {
	var back spec.Config
	if err := json.Unmarshal([]byte(`{"model_type":"rwkv4_bit","activation_rounding":"up"}`), &back); err == nil {
		t.Error("an unknown rounding was read")
	}
}
