// Package infer is the pure-add model: it runs a pack.Model forward, many tokens or one, for one or more independent
// sequences, with a recurrent state of fixed size, or with the keys and values of attention.
//
// A sequence's logits and state are the same bits however its tokens are split between calls and whatever runs beside
// it. May not enter: files, training. Start at model.go; sampling is in sampler.go.
package infer
