// Command mmfree trains MatMul-free ternary language models, and runs, checks, exports and reads them.
//
// A verb is a file: flags into a request, one call, the result printed for people or, with --json, as one JSON object.
// Results go to stdout, all else to stderr. errors.go alone prints errors and chooses exit codes; flags.go defines the
// flags that verbs share; args.go lets flags stand after arguments. May not enter: arithmetic, formats, policy of
// training. Start at main.go.
package main
