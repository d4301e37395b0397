//go:build amd64 && !noasm

package amd64_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// TestRowsRound: nothing in the row kernels estimates, and only what f32.Exp and f32.Sigmoid fuse is fused.
func TestRowsRound(t *testing.T) {
	committed, err := os.ReadFile("rows_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`VRCP|VRSQRT|MXCSR`).Find(committed); bad != nil {
		t.Errorf("rows_amd64.s has %s: the twins must round as package generic does", bad)
	}
	fused := regexp.MustCompile(`VF?N?M(ADD|SUB)\d+|VFM`)
	exponential := regexp.MustCompile(`^(recur|recurBack|gate|gateBack|swiGLU|swiGLUBack|receptance|receptanceBack|wkv|wkvBack|` +
		`expSum|exponentials|softmax)(256|512)$`)
	for _, routine := range bytes.Split(committed, []byte("\nTEXT ·"))[1:] {
		name, body, _ := bytes.Cut(routine, []byte("("))
		if got, want := fused.Find(body), exponential.Match(name); (got != nil) != want {
			t.Errorf("%s: fuses %q; it has an exponential: %v", name, got, want)
		}
	}
}
