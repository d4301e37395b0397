// Package split cuts text into the pieces that a tokenizer encodes one by one.
//
// In: a regular expression as tokenizer.json names it. Out: the length of the next piece, for text of bytes. May not
// enter: vocabularies, merges, ids (data/tokenizer).
// Start at split.go; cutter.go says what becomes of matches, known.go holds the loops for the patterns of GPT-2, Llama-3 and
// Qwen2, class.go what a letter, a number and a space are, chars.go sets of characters as patterns, regex.go the patterns
// that are run as regular expressions.
package split
