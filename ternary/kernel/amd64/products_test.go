//go:build amd64 && !noasm

package amd64

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// multiplies lists the routines that may multiply, each with all that it may use. In emit* and matVec* a finished sum
// meets its scale; dense products multiply activations, gradients and full-precision weights. Every other routine of the
// products, and so all that sees a ternary weight, holds additions only.
var multiplies = map[string]string{
	"emitInts512": "VMULPS.BCST", "emitFloats512": "VMULPS.BCST", "emitFew512": "VMULPS",
	"emitInts256": "VMULPS", "emitFloats256": "VMULPS", "emitVec256": "VMULPS",
	"matVec512x4": "VMULPS", "matVec512x1": "VMULPS",
	"denseSums14x512": "VFMADD231PS VFMADD231PS.BCST", "denseSums8x512": "VFMADD231PS VFMADD231PS.BCST", "denseSums4x512": "VFMADD231PS VFMADD231PS.BCST",
	"denseSums2x512": "VFMADD231PS VFMADD231PS.BCST", "denseSums1x512": "VFMADD231PS", "denseScaled512": "VMULPS",
	"denseSums6x256": "VFMADD231PS", "denseSums4x256": "VFMADD231PS", "denseSums2x256": "VFMADD231PS",
	"denseSums1x256": "VFMADD231PS", "denseScaled256": "VMULPS",
}

// multiplying matches integer and float products, sums of products, fused forms, divisions and logarithmic tricks.
var multiplying = regexp.MustCompile(`MUL|MADD|MSUB|PDP|DPP|PSADBW|DIV|SCALEF|GF2P8|RCP|CLMUL`)

func TestWeightsAreNotMultiplied(t *testing.T) {
	text, err := os.ReadFile("products_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range multiplyFaults(string(text), multiplies) {
		t.Error(fault)
	}
	sample := "TEXT ·a(SB), NOSPLIT, $0-8\n\tVPMADDWD Z0, Z1, Z2\n\tVMULPS Z0, Z1, Z2\n\tVPMULTISHIFTQB Z0, Z1, Z2\nTEXT ·b(SB), NOSPLIT, $0\n\tVMULPS Z0, Z1, Z2\n\tVFMADD231PS Z0, Z1, Z2\n\tRET\n"
	if got := multiplyFaults(sample, map[string]string{"b": "VMULPS"}); len(got) != 3 {
		t.Errorf("the sample gave %q, want three faults", got)
	}
	if got := multiplyFaults(sample, map[string]string{"gone": "VMULPS"}); len(got) != 5 {
		t.Errorf("the sample gave %q, want four faults and the missing routine", got)
	}
}

// multiplyFaults names each multiplication in assembly that no row of allowed holds, and each row without its routine.
func multiplyFaults(text string, allowed map[string]string) []string {
	var faults, seen []string
	routine := ""
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "//"):
		case fields[0] == "TEXT":
			routine = strings.TrimSuffix(strings.TrimPrefix(fields[1], "·"), "(SB),")
			seen = append(seen, routine)
		case fields[0] == "VPMULTISHIFTQB": // is a shift: takes eight bits of each byte's choice, and multiplies nothing
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

// TestProductsNeedWhatIsDetected: kernel's dispatch asks for these features and no others.
func TestProductsNeedWhatIsDetected(t *testing.T) {
	text, err := os.ReadFile("products_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	always := []string{"SSE2", "CMOV", "MMX+"} // of every amd64 (avo counts PREFETCHT0 as MMX+)
	detected := map[string][]string{
		"256": slices.Concat(always, []string{"AVX", "AVX2", "BMI2", "FMA3"}),
		"512": slices.Concat(always, []string{"AVX", "AVX2", "BMI2", "AVX512F", "AVX512BW", "AVX512VL", "AVX512DQ"}),
		"":    always,
	}
	const alone = "AVX512VBMI" // of routines that the set has only where that is detected, too
	routines := regexp.MustCompile(`// Requires: (.*)\nTEXT ·(\w+)\(SB\)`).FindAllStringSubmatch(string(text), -1)
	if len(routines) != strings.Count(string(text), "\nTEXT ") {
		t.Errorf("%d routines name what they need; there are %d", len(routines), strings.Count(string(text), "\nTEXT "))
	}
	bits := regexp.MustCompile("256|512") // a routine without has vectors of none
	for _, r := range routines {
		for _, feature := range strings.Split(r[1], ", ") {
			if !slices.Contains(detected[bits.FindString(r[2])], feature) && !(feature == alone && strings.Contains(r[2], "Bytes512")) {
				t.Errorf("a routine of %q bits needs %s: %s", bits.FindString(r[2]), feature, r[0])
			}
		}
	}
}
