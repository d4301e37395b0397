package arm64

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// multiplies lists the routines that may multiply, each with all that it may use: finished sums meet their scale, and
// gradients multiply activations. Every other routine, and so all that sees a ternary weight, holds additions only.
var multiplies = map[string]string{
	"scaleInts": "FMUL4S", "emitInts": "FMUL4S", "emitFloats": "FMUL4S", "DENSEROW": "FMLA4SE",
}

// multiplying matches integer, float and carry-less products, sums of products, divisions, and what the assembler does
// not name.
var multiplying = regexp.MustCompile(`MUL|MADD|MSUB|MLA|MLS|DIV|DOT|RECP|WORD`)

// TestWeightsAreNotMultiplied reads the text, on any machine; a macro's body counts as a routine.
func TestWeightsAreNotMultiplied(t *testing.T) {
	var text strings.Builder
	for _, name := range []string{"matvec_arm64.s", "matmul_arm64.s", "encode_arm64.s", "dense_arm64.s"} {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(part)
	}
	for _, fault := range multiplyFaults(text.String(), multiplies) {
		t.Error(fault)
	}
	sample := "#define M(a) \\\n\tFMUL4S(1, 2, 3); \\\n\tVADD a, a, a\nTEXT ·a(SB), NOSPLIT, $0-8\n\tMADD R0, R1, R2\n" +
		"TEXT ·b(SB), NOSPLIT, $0\n\tFMUL4S(1, 2, 3)\n\tWORD $0x12345678\n\tRET\n"
	if got := multiplyFaults(sample, map[string]string{"b": "FMUL4S"}); len(got) != 3 {
		t.Errorf("the sample gave %q, want three faults", got)
	}
	if got := multiplyFaults(sample, map[string]string{"gone": "FMUL4S"}); len(got) != 5 {
		t.Errorf("the sample gave %q, want four faults and the missing routine", got)
	}
}

// multiplyFaults names each multiplication in assembly that no row of allowed holds, and each row without its routine.
func multiplyFaults(text string, allowed map[string]string) []string {
	var faults, seen []string
	routine := ""
	for line := range strings.Lines(text) {
		fields := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n(", r) })
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "//"):
		case fields[0] == "TEXT" || fields[0] == "#define":
			routine = strings.TrimPrefix(fields[1], "·")
			seen = append(seen, routine)
		case multiplying.MatchString(fields[0]) && !slices.Contains(strings.Fields(allowed[routine]), fields[0]):
			faults = append(faults, routine+" holds "+fields[0])
		}
	}
	for row := range allowed {
		if !slices.Contains(seen, row) {
			faults = append(faults, row+" is not in the file")
		}
	}
	return faults
}
