// Package corpus reads text files and folders into one run of bytes with its checksum.
//
// In: paths, or the Go installation, which holds a text to start with. Out: Corpus. May not enter: tokens
// (data/tokenizer), batches (data), anything else of ours, the network.
// Start at corpus.go; walk.go decides which files of a folder count, builtin.go finds a text on a bare machine.
package corpus
