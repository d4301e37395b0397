// Package tokenizer turns text into token ids and back.
//
// Three tokenizers exist: bytes (an id is a byte), chars (an id is a Unicode code point of the corpus) and bpe (byte-level
// BPE, learned from a corpus). They are
// written as tokenizer.json in Hugging Face's structure and read back from it. May not enter: files (callers pass
// bytes), batches (data), models, anything else of ours.
// Start at tokenizer.go; json.go holds the file format, with one function to write and one to read per tokenizer. train.go
// makes a byte-level BPE vocabulary of a corpus: train_count.go its words, train_merge.go the merges.
package tokenizer
