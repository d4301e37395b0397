// Package shard holds token ids on disk and in memory: files of 16- or 32-bit ids with the places where documents start,
// used in place by mmap, and an index with their checksums and the tokenizer they belong to.
//
// In: ids, document by document, through a Builder. Out: Part, and Stream, which makes one array of many parts. May not
// enter: text (data/corpus), tokenizers, the order of training (data). The file is drawn in part.go; start there, then
// stream.go and index.go.
package shard
