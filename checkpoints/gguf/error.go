package gguf

import (
	"strconv"

	"mmfree/checkpoints/format"
)

const (
	fixCopy    = "the file is cut short, damaged or no GGUF file: copy it again and compare checksums"
	fixFaulty  = "the file was written by a faulty program: get it again from its source"
	fixUnknown = "convert the file with a program that writes the types F32, F16, BF16, Q8_0, TQ1_0, TQ2_0 or I2_S"
)

// quoted is a name of the file as messages show it: it may be empty.
func quoted(name string) string { return strconv.Quote(format.Name(name)) }
