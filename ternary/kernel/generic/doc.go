// Package generic holds the portable kernels: plain Go, the same bits as every other set.
//
// What each routine computes, and in which order, is written at the fields of kernel.Set; here is how. May not enter:
// assembly, threads. Start at matmul.go.
package generic
