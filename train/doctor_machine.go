package train

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"

	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// DoctorMachine checks what every model relies on: that all sets of kernels this machine can run give the same bits, with one
// thread and with several, and that files can be written.
func DoctorMachine(set *kernel.Set) []Check {
	d := &doctor{}
	d.well("cores", "%d of %d cores may be used, %s/%s", runtime.GOMAXPROCS(0), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	var names []string
	for _, s := range kernel.Available() {
		names = append(names, s.Name)
	}
	d.well("kernels", "%s; %s is used", strings.Join(names, ", "), set.Name)
	if err := sameBits(); err != nil {
		d.ill("bits", "do not train on this machine: its processor or its memory is at fault, or this build is", "%v", err)
	} else {
		d.well("bits", "a small model has the same logits with every set of kernels, on one thread and on several")
	}
	f, err := os.CreateTemp("", "mmfree-doctor-*")
	if err == nil {
		_, err = f.Write(make([]byte, 1<<20))
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		os.Remove(f.Name())
	}
	if err != nil {
		d.ill("disk", "make room, or set TMPDIR to a folder that can be written", "temporary files cannot be written: %v", err)
	} else {
		d.well("disk", "temporary files can be written in %s", os.TempDir())
	}
	return d.checks
}

// sameBits runs a small model with every set of kernels.
func sameBits() error {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 130, 96, 2, 200
	w, err := spec.NewWeights(c)
	if err != nil {
		return err
	}
	w.Init(1)
	p, err := pack.Build(w)
	if err != nil {
		return err
	}
	ids := RandomIDs(40, c.VocabSize, 1)
	var first []float32
	for _, set := range kernel.Available() {
		for _, threads := range []int{1, 3} {
			pool := par.New(threads)
			m := infer.New(p, set, pool, infer.DefaultChunk)
			logits := make([]float32, len(ids)*c.VocabSize)
			err := m.Forward(m.NewState(1), infer.Call{IDs: ids, Which: infer.All, Logits: logits})
			pool.Close()
			if err != nil {
				return err
			}
			if first == nil {
				first = logits
			}
			for i := range logits {
				if math.Float32bits(logits[i]) != math.Float32bits(first[i]) {
					return fmt.Errorf("logit %d is %v with the kernels %s on %d threads, %v otherwise", i, logits[i], set.Name, threads, first[i])
				}
			}
		}
	}
	return nil
}
