// Package pack lays ternary codes out in bytes ("T3", nine trits in 16 bits) and reads them back.
//
// In: codes and scales from quant. Out: Matrix, used in place by kernel, and Model, a whole model of matrices and
// full-precision rest. May not enter: files (checkpoints/packed), arithmetic (kernel), policy on which tensors are
// ternary (spec). Start at layout.go, where the bytes are drawn.
package pack
