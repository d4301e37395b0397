// Package prepare turns documents into the ids of shards: it encodes them on many threads and writes the same bytes for any
// number of them, leaves out duplicates, holds documents out for validation, mixes by weight, and goes on where it was
// killed.
//
// In: a corpus.Reader, a tokenizer, Options. Out: a folder of shards (data/shard) or a Set in memory, and a Report that
// accounts for every document. May not enter: how files are parsed (data/corpus), how shards lie on disk (data/shard), the
// order of training (data). Start at prepare.go; documents.go decides what is kept, pipeline.go encodes in order, folder.go
// writes, saves where it is, and resumes.
package prepare
