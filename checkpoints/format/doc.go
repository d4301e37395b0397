// Package format is what is wrong with a file, in one type for every format: the file, the tensor, the byte, and what to do.
//
// In: what a reader found. Out: an error of the class ErrFormat. May not enter: any format, any file. Start at error.go.
package format
