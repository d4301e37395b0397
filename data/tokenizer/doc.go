// Package tokenizer turns text into token ids and back.
//
// Kinds: bytes (an id is a byte), chars (an id is a Unicode code point of the corpus), sentencepiece (BPE or unigram from a
// .model file), and Pipeline, which is whatever a tokenizer.json describes. All are written as tokenizer.json in Hugging
// Face's structure and read back from it. docs/TOKENIZERS.md lists what is supported. May not enter: files (callers pass
// bytes), batches (data), models, anything else of ours.
// Merging is one engine for all: merge.go applies merges, words.go remembers words, bpe.go turns text into symbols and symbols
// into ids; unigram.go sums scores instead. sentencepiece.go lays its rules over them.
// Start at tokenizer.go, then pipeline.go: its steps are added.go, normalize.go, pretokenize.go, pipeline_model.go, template.go
// and decode.go, each read strictly through part.go. json.go holds the file format. train.go makes a byte-level BPE
// vocabulary of a corpus: train_count.go its words, train_merge.go the merges. gguf.go and gguf_write.go know GGUF's keys.
package tokenizer
