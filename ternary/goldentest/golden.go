package goldentest

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"mmfree/ternary/spec"
)

// Environment names the variable that replaces the embedded files by a folder.
const Environment = "MMFREE_GOLDENS"

//go:embed testdata/*.json testdata/*.safetensors
var embedded embed.FS

func files() fs.FS {
	if folder := os.Getenv(Environment); folder != "" {
		return os.DirFS(folder)
	}
	sub, err := fs.Sub(embedded, "testdata")
	if err != nil {
		panic(err) // the path is a constant
	}
	return sub
}

// Golden is one golden. Values that the golden lacks end the test that loaded it.
type Golden struct {
	Name, Kind string
	// Config is the golden's "config": a model's config.json, or an op's options. Spec and Options read it.
	Config json.RawMessage

	t       testing.TB
	raw     map[string]json.RawMessage
	meta    map[string]Meta
	tensors map[string]*values
}

// Meta is what the JSON says of one tensor.
type Meta struct {
	Role  string  `json:"role"` // input, param, output, grad, codes
	Dtype string  `json:"dtype"`
	Shape []int   `json:"shape"`
	What  string  `json:"what"`
	Atol  float64 `json:"atol"` // outputs and grads: the largest absolute difference allowed
	// RMSTol and MovedRMS are set in trajectories: see testdata/README.md.
	RMSTol   float64 `json:"rms_tol"`
	MovedRMS float64 `json:"moved_rms"`
}

// Names returns the names of all goldens that begin with the prefix, sorted. A prefix without any golden is a mistake in
// the test or in the folder, and panics: a loop over nothing would pass.
func Names(prefix string) []string {
	entries, err := fs.ReadDir(files(), ".")
	if err != nil {
		panic(fmt.Sprintf("goldens: %v; %s is %q", err, Environment, os.Getenv(Environment)))
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		panic(fmt.Sprintf("goldens: no name begins with %q; %s is %q", prefix, Environment, os.Getenv(Environment)))
	}
	slices.Sort(names)
	return names
}

// Load reads a golden; t fails when it is missing or damaged. Goldens without values ("init") have no tensors.
func Load(t testing.TB, name string) *Golden {
	t.Helper()
	text, err := fs.ReadFile(files(), name+".json")
	if err != nil {
		t.Fatalf("golden %s: %v", name, err)
	}
	g := &Golden{Name: name, t: t, raw: map[string]json.RawMessage{}, meta: map[string]Meta{}}
	if err := json.Unmarshal(text, &g.raw); err != nil {
		t.Fatalf("golden %s.json: %v", name, err)
	}
	g.Config = g.raw["config"]
	g.field("kind", &g.Kind)
	if g.raw["tensors"] == nil {
		return g
	}
	g.field("tensors", &g.meta)
	file, err := fs.ReadFile(files(), name+".safetensors")
	if err != nil {
		t.Fatalf("golden %s: %v", name, err)
	}
	if g.tensors, err = parse(file); err != nil {
		t.Fatalf("golden %s.safetensors: %v", name, err)
	}
	for tensor, m := range g.meta {
		v := g.tensors[tensor]
		switch {
		case v == nil:
			t.Fatalf("golden %s: %s is in the .json only", name, tensor)
		case v.dtype() != m.Dtype || !slices.Equal(v.shape, m.Shape):
			t.Fatalf("golden %s: %s is %s %v in the .json, %s %v in the .safetensors", name, tensor, m.Dtype, m.Shape, v.dtype(), v.shape)
		}
	}
	return g
}

func (g *Golden) field(key string, dst any) {
	g.t.Helper()
	raw, ok := g.raw[key]
	if !ok {
		g.t.Fatalf("golden %s: no field %q", g.Name, key)
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		g.t.Fatalf("golden %s: field %q: %v", g.Name, key, err)
	}
}

// Raw returns the golden's JSON, field by field: "prefix", "optimiser", "loss_atol_per_step" and so on.
func (g *Golden) Raw() map[string]json.RawMessage { return g.raw }

// Field decodes one top-level field of the JSON into dst.
func (g *Golden) Field(key string, dst any) {
	g.t.Helper()
	g.field(key, dst)
}

// Options decodes Config, an op's options, into dst.
func (g *Golden) Options(dst any) {
	g.t.Helper()
	g.field("config", dst)
}

// Spec reads Config as a model's config.json.
func (g *Golden) Spec() spec.Config {
	g.t.Helper()
	var c spec.Config
	g.field("config", &c)
	return c
}

// Tensors returns the names of the tensors with one of the roles, sorted; of all when no role is given.
func (g *Golden) Tensors(roles ...string) []string {
	var names []string
	for name, m := range g.meta {
		if len(roles) == 0 || slices.Contains(roles, m.Role) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Has reports whether the golden has the tensor.
func (g *Golden) Has(name string) bool { return g.tensors[name] != nil }

// Meta returns what the JSON says of a tensor.
func (g *Golden) Meta(name string) Meta {
	g.t.Helper()
	g.get(name)
	return g.meta[name]
}

// Shape returns a tensor's shape; a scalar's is empty.
func (g *Golden) Shape(name string) []int {
	g.t.Helper()
	return g.get(name).shape
}

// F32 returns a tensor's values, row-major. They are the golden's own: copy what a routine overwrites.
func (g *Golden) F32(name string) []float32 {
	g.t.Helper()
	return typed(g, name, g.get(name).f32)
}

// I64 is F32 for ids, labels and integer sums.
func (g *Golden) I64(name string) []int64 {
	g.t.Helper()
	return typed(g, name, g.get(name).i64)
}

// I8 is F32 for codes.
func (g *Golden) I8(name string) []int8 {
	g.t.Helper()
	return typed(g, name, g.get(name).i8)
}

// IDs returns an I64 tensor as the int32 token ids that models take.
func (g *Golden) IDs(name string) []int32 {
	g.t.Helper()
	wide := g.I64(name)
	ids := make([]int32, len(wide))
	for i, v := range wide {
		ids[i] = int32(v)
	}
	return ids
}

func (g *Golden) get(name string) *values {
	g.t.Helper()
	v := g.tensors[name]
	if v == nil {
		g.t.Fatalf("golden %s has no tensor %s", g.Name, name)
	}
	return v
}

func typed[T any](g *Golden, name string, v []T) []T {
	g.t.Helper()
	if v == nil {
		g.t.Fatalf("golden %s: %s is %s", g.Name, name, g.get(name).dtype())
	}
	return v
}

// Weights returns the model's weights for the configuration, from the tensors named prefix + state-dict name: "param."
// in models, "final." at the end of trajectories. Every tensor must be there, in its shape.
func (g *Golden) Weights(prefix string) *spec.Weights {
	g.t.Helper()
	w, err := spec.NewWeights(g.Spec())
	if err != nil {
		g.t.Fatalf("golden %s: %v", g.Name, err)
	}
	for i, tensor := range w.Tensors {
		if shape := g.Shape(prefix + tensor.Name); !slices.Equal(shape, tensor.Shape) {
			g.t.Fatalf("golden %s: %s has shape %v, the model's list says %v", g.Name, prefix+tensor.Name, shape, tensor.Shape)
		}
		copy(w.At(i), g.F32(prefix+tensor.Name))
	}
	return w
}

// CheckOutput compares got with a tensor of role output or grad: the largest absolute difference must not exceed its
// atol, and the root mean square difference not its rms_tol where there is one. A trajectory's "loss" and "grad_norm"
// have an atol for every step. A failure names the first and the worst index with both values.
func (g *Golden) CheckOutput(t testing.TB, name string, got []float32) {
	t.Helper()
	want, meta := g.F32(name), g.Meta(name)
	var perStep []float64
	if key := name + "_atol_per_step"; meta.Atol == 0 && g.raw[key] != nil {
		g.field(key, &perStep)
		if len(perStep) != len(want) {
			t.Fatalf("golden %s: %d tolerances in %s for %d values", g.Name, len(perStep), key, len(want))
		}
	}
	if role := meta.Role; role != "output" && role != "grad" {
		t.Fatalf("golden %s: %s is %s, which nothing is compared with", g.Name, name, role)
	}
	if len(got) != len(want) {
		t.Errorf("golden %s: %s has %d values, got %d", g.Name, name, len(want), len(got))
		return
	}
	first, worst, off, worstBy := -1, -1, 0, -1.0
	atol, squares := meta.Atol, 0.0
	for i, w := range want {
		by := math.Abs(float64(got[i]) - float64(w))
		squares += by * by
		if perStep != nil {
			atol = perStep[i]
		}
		if by <= atol {
			continue // false for NaN
		}
		if off++; first < 0 {
			first = i
		}
		if by > worstBy || math.IsNaN(by) {
			worst, worstBy = i, by
		}
		if math.IsNaN(by) {
			worstBy = math.Inf(1)
		}
	}
	if off > 0 {
		t.Errorf("golden %s: %s: %d of %d values differ by more than their tolerance (%.3g); first at %v: got %v, want %v; worst at %v: got %v, want %v, by %.3g",
			g.Name, name, off, len(want), atol, g.place(name, first), got[first], want[first],
			g.place(name, worst), got[worst], want[worst], math.Abs(float64(got[worst])-float64(want[worst])))
	}
	if rms := math.Sqrt(squares / float64(len(want))); meta.RMSTol > 0 && !(rms <= meta.RMSTol) {
		t.Errorf("golden %s: %s: root mean square difference %.3g, allowed is %.3g", g.Name, name, rms, meta.RMSTol)
	}
}

// CheckCodes compares got with a tensor of role codes, I8 or I64: every value must be equal.
func CheckCodes[T int8 | int32 | int64](t testing.TB, g *Golden, name string, got []T) {
	t.Helper()
	v := g.get(name)
	n := len(v.i8) + len(v.i64)
	if len(got) != n {
		t.Errorf("golden %s: %s has %d codes, got %d", g.Name, name, n, len(got))
		return
	}
	first, off := -1, 0
	var want int64
	for i := range got {
		var w int64
		if v.i8 != nil {
			w = int64(v.i8[i])
		} else {
			w = v.i64[i]
		}
		if int64(got[i]) == w {
			continue
		}
		if off++; first < 0 {
			first, want = i, w
		}
	}
	if off > 0 {
		t.Errorf("golden %s: %s: %d of %d codes differ; first at %v: got %d, want %d", g.Name, name, off, n, g.place(name, first), got[first], want)
	}
}

// CheckCodes is the function CheckCodes for int8, which codes of activations and weights are.
func (g *Golden) CheckCodes(t testing.TB, name string, got []int8) {
	t.Helper()
	CheckCodes(t, g, name, got)
}

// place turns a flat index into one per dimension.
func (g *Golden) place(name string, i int) []int {
	shape := g.get(name).shape
	at := make([]int, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		at[d] = i % shape[d]
		i /= shape[d]
	}
	return at
}
