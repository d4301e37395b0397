// Package tokenizer turns text into token ids and back.
//
// Four kinds exist: bytes (an id is a byte), chars (an id is a Unicode code point of the corpus), bpe (byte-level BPE, learned
// or read) and sentencepiece (BPE or unigram from a .model file). They are written as tokenizer.json in Hugging Face's
// structure and read back from it. May not enter: files (callers pass
// bytes), batches (data), models, anything else of ours.
// Merging is one engine for all: merge.go applies merges, words.go remembers words, bpe.go turns text into symbols and symbols
// into ids; bytepairs.go, marked.go and sentencepiece.go lay their rules over it, unigram.go sums scores instead.
// Start at tokenizer.go; json.go holds the file format, with one function to write and one to read per tokenizer. train.go
// makes a byte-level BPE vocabulary of a corpus: train_count.go its words, train_merge.go the merges.
package tokenizer
