// Package quant turns floats into codes: weights into trits with one scale a tensor, activations into int8 with one
// scale a token.
//
// It holds the plain rules of the specification (§3.1), one row or one tensor at a time; kernel holds their fast forms.
// May not enter: byte layouts (pack), layers. Start at weights.go.
package quant
