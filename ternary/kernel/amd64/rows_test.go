//go:build amd64 && !noasm

package amd64_test

import (
	"math"
	"os"
	"regexp"
	"testing"

	"golang.org/x/sys/cpu"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel/amd64"
)

// eachWidth runs f for the widths that this machine has.
func eachWidth(t *testing.T, f func(t *testing.T, rows amd64.Rows)) {
	x := &cpu.X86
	for _, w := range []struct {
		name string
		rows amd64.Rows
		has  bool
	}{{"512", amd64.Rows512, x.HasAVX512F && x.HasAVX512DQ && x.HasBMI2}, {"256", amd64.Rows256, x.HasAVX2}} {
		t.Run(w.name, func(t *testing.T) {
			if !w.has {
				t.Skip("this machine lacks the instructions")
			}
			f(t, w.rows)
		})
	}
}

// sweepStep is the distance of the bit patterns tried. With 1, every float32, both widths passed in under two minutes each.
const sweepStep = 1021

// TestExponentials compares e^x and silu with package f32 over all of float32, and patterns around the ends of the range
// one by one.
func TestExponentials(t *testing.T) {
	eachWidth(t, func(t *testing.T, rows amd64.Rows) {
		const n = 1 << 12
		x, e, s, ones := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		for i := range ones {
			ones[i] = 1
		}
		sweep := func(from, step uint64) {
			for i := range x {
				x[i] = math.Float32frombits(uint32(from + uint64(i)*step))
			}
			copy(e, x)
			rows.SoftmaxGradient(e, 0, 1, -1, 1)
			rows.SwiGLU(s, x, ones)
			for i, v := range x {
				if want := f32.Exp(v); !same(e[i], want) {
					t.Fatalf("e^%v (%#08x) is %v (%#08x), want %v (%#08x)", v, math.Float32bits(v), e[i], math.Float32bits(e[i]), want, math.Float32bits(want))
				}
				if want := f32.Silu(v); !same(s[i], want) {
					t.Fatalf("silu(%v) (%#08x) is %v (%#08x), want %v (%#08x)", v, math.Float32bits(v), s[i], math.Float32bits(s[i]), want, math.Float32bits(want))
				}
			}
		}
		for from := uint64(0); from < 1<<32; from += n * sweepStep {
			sweep(from, sweepStep)
		}
		for _, end := range []float32{-87.33654, -103.97208, 88.02969, 88.72283, 0, 1, -1} {
			sweep(uint64(math.Float32bits(end))-n/2, 1)
		}
	})
}

func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || (a != a && b != b)
}

// TestRowsRoundEveryStep: nothing in the row kernels fuses or estimates.
func TestRowsRoundEveryStep(t *testing.T) {
	committed, err := os.ReadFile("rows_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`VF?N?M(ADD|SUB)\d+|VFM|VRCP|VRSQRT|MXCSR`).Find(committed); bad != nil {
		t.Errorf("rows_amd64.s has %s: the twins must round as package generic does", bad)
	}
}
