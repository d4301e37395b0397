// Package lint holds the house rules that a machine can check, as tests, so that go test ./... runs them and nobody can
// forget to: which package may import which (arrows_test.go), what source may contain (source_test.go), where files
// may stand (tree_test.go).
//
// Each rule is a function from what it judges to the list of faults, tested on samples that must fail as well as on the
// repository. The tables are policy: a red test is answered in the code it names, and a table is changed only together
// with the layout it states. May not enter: anything that a program imports.
package lint
