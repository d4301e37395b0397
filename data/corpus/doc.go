// Package corpus reads documents from files, folders, patterns and standard input: text, JSONL and Parquet, plain or packed
// with gzip or zstd.
//
// In: paths with weights, Options. Out: Doc after Doc, and a Report that counts whatever was not as it should be; or a
// small text whole, as a Corpus. May not enter: tokens (data/tokenizer), batches (data), anything else of ours, the
// network. Start at reader.go, with options.go for the policies; source.go and walk.go find the files, text.go, jsonl.go
// and parquet.go take them apart, builtin.go finds a text on a bare machine.
package corpus
