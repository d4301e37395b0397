// Package f32 holds the float arithmetic that training and inference share: every function gives the same bits on
// every machine, for every thread count.
//
// The rules: a product that is added is written float32(a*b), so that no compiler fuses it; reductions have one fixed
// lane count and one fixed tree; nothing here calls math.Exp or math.Log, which are assembly of other bits on some
// machines. Vector twins of these functions must give the same bits. May not enter: layers, quantisers, threads.
// Start at sum.go for the order of sums, exp.go for the functions.
package f32
