//go:build amd64 && !noasm

package amd64_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// TestIntsWrapAndRound: no product in the integer gradients is fused, estimated or saturated, only the one tile uses VNNI, and what is written byte by byte
// is the instructions of tiles, none of which saturates.
func TestIntsWrapAndRound(t *testing.T) {
	committed, err := os.ReadFile("ints_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`VF?N?M(ADD|SUB)\d+|VRCP|VRSQRT|MXCSR|VPDPWSSDS|VPADDS|VPDPB`).Find(committed); bad != nil {
		t.Errorf("ints_amd64.s has %s: the twins must round, and wrap, as package generic does", bad)
	}
	tiles := regexp.MustCompile(`^(c4e2(` +
		`784907|7849c0|` + // LDTILECFG (DI), TILERELEASE
		`7b49(c0|c8)|7[ab]4b[89][4c]0[ef].{8}|` + // TILEZERO, TILESTORED, TILELOADD
		`(63|61)5e(c2|ca)))+$`) // TDPBSSD, TDPBUSD
	written := regexp.MustCompile(`(\tBYTE +\$0x..\n)+`).FindAll(committed, -1)
	for _, code := range written {
		if code := regexp.MustCompile(`\tBYTE +\$0x|\n`).ReplaceAll(code, nil); !tiles.Match(code) {
			t.Errorf("%s are not the instructions of tiles that this test knows", code)
		}
	}
	if len(written) == 0 {
		t.Error("ints_amd64.s has no instructions of tiles")
	}
	for _, routine := range bytes.Split(committed, []byte("\nTEXT ·"))[1:] {
		vnni := bytes.Contains(routine, []byte("VPDPWSSD"))
		if name, _, _ := bytes.Cut(routine, []byte("(")); vnni != (string(name) == "intTile512") {
			t.Errorf("%s: VNNI %v", name, vnni)
		}
	}
	for _, need := range regexp.MustCompile(`// Requires: (.*)\nTEXT ·(\w+)`).FindAllSubmatch(committed, -1) {
		allowed := `^(AVX|AVX2|SSE2|MMX\+)$` // avo counts PREFETCHT0 as MMX+, which every amd64 has
		if name := string(need[2]); bytes.Contains(need[2], []byte("512")) {
			allowed = `^(AVX|AVX2|AVX512F|AVX512BW|AVX512VL|BMI2|SSE2|MMX\+)$`
			if name == "intTile512" {
				allowed = `^(AVX|AVX512F|AVX512BW|AVX512VNNI|MMX\+)$`
			}
		} else if bytes.HasSuffix(need[2], []byte("AMX")) {
			allowed = `^(AVX|AVX512F|AVX512BW|AVX512VBMI|AMXTILE|AMXINT8|CMOV|MMX\+)$`
		}
		for _, feature := range bytes.Split(need[1], []byte(", ")) {
			if !regexp.MustCompile(allowed).Match(feature) {
				t.Errorf("%s needs %s", need[2], feature)
			}
		}
	}
}
