//go:build unix

package packed

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// TestCutShortUnderAKernel cuts a packed file short while kernels read its codes in place, on the caller's goroutine and on
// those of a pool: a panic that Guard turns into an error with the file's name, not the end of the process.
func TestCutShortUnderAKernel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	_, err := Write(durable.OS{}, path, model(t, func(c *spec.Config) { c.HiddenSize, c.IntermediateSize = 256, 256 }), meta)
	must(t, err)
	f, err := Open(path)
	must(t, err)
	w := f.Model().Matrix("model.layers.0.attn.i_proj.weight")
	must(t, os.Truncate(path, dataAlign))
	x, prepared := make([]int8, 64*w.Cols), make([]int16, kernel.PreparedLen(w.Cols))
	floats, dst, scale := make([]float32, 64*w.Cols), make([]float32, 64*w.Rows), make([]float32, 64)
	pool := par.New(3)
	defer pool.Close()
	for _, set := range kernel.Available() {
		for name, product := range map[string]func(){
			"MatMul":      func() { set.MatMul(dst, w.Rows, w, 0, w.Superblocks(), x, scale, 64) },
			"MatVec":      func() { set.MatVec(dst, w, 0, w.Superblocks(), prepared, 1) },
			"MatMulFloat": func() { set.MatMulFloat(dst, w.Rows, w, 0, w.Superblocks(), floats, 64, 1) },
		} {
			for way, run := range map[string]func(){
				"alone": product,
				"pool":  func() { pool.Run(1000, func(int, int) { product() }) },
			} {
				err := durable.Guard(func() error { run(); return nil })
				if !errors.Is(err, durable.ErrGone) || !strings.HasPrefix(err.Error(), path+": ") {
					t.Errorf("%s, %s, %s: %v", set.Name, name, way, err)
				}
			}
		}
	}
	must(t, f.Close())
}
