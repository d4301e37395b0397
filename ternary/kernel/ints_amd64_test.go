//go:build amd64 && !noasm

package kernel_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel"
	"mmfree/ternary/kernel/amd64"
	"mmfree/ternary/kernel/conformance"
)

// TestOuterIntsWithout: a machine that has AMX, or VNNI, runs AVX-512's other forms nowhere else.
func TestOuterIntsWithout(t *testing.T) {
	x := &cpu.X86
	if !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512VL || !x.HasBMI2 {
		t.Skip("this machine lacks AVX-512")
	}
	t.Run("AMX", func(t *testing.T) {
		if !x.HasAVX512VNNI {
			t.Skip("this machine lacks VNNI")
		}
		set := kernel.Generic()
		set.OuterInts = amd64.Ints512VNNI.OuterInts
		conformance.OuterInts(t, set)
	})
	t.Run("VNNI", func(t *testing.T) {
		set := kernel.Generic()
		set.OuterInts = amd64.Ints512.OuterInts
		conformance.OuterInts(t, set)
	})
}

// TestOuterIntsAmongOthers: whatever interrupts a thread, signals and others that use the same registers, leaves its tiles alone.
func TestOuterIntsAmongOthers(t *testing.T) {
	set := kernel.Available()[0]
	const R, K, n, calls = 200, 192, 640, 100
	rng := rand.New(rand.NewPCG(15, 1))
	dy, s, q := randomFloats(rng, n*R), randomFloats(rng, n), randomCodes(rng, n*K)
	for i := range s {
		s[i] = 1 + s[i]*s[i]
	}
	want := make([]float32, R*K)
	for range calls {
		set.OuterInts(want, dy, R, s, q, K, n, 0, R)
	}
	var workers sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			got := make([]float32, R*K)
			for range calls {
				set.OuterInts(got, dy, R, s, q, K, n, 0, R)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("gradient %d is %v, alone %v", i, got[i], want[i])
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	for running := true; running; {
		runtime.GC() // interrupts all threads
		select {
		case <-done:
			running = false
		default:
		}
	}
}
