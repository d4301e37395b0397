package spec

import (
	"fmt"
	"reflect"
	"slices"
)

// Alike reports whether two valid configurations make the same model of the same weights: the same tensors, and the same of
// every option that a result depends on, such as rope_theta, hidden_act, the number of heads and the epsilons. What only
// names tokens, bounds a text or draws first weights may differ.
func Alike(a, b Config) bool {
	x, y := PackedTensors(a), PackedTensors(b)
	if a.Arch != b.Arch || len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i].Name != y[i].Name || x[i].Kind != y[i].Kind || fmt.Sprint(x[i].Shape) != fmt.Sprint(y[i].Shape) {
			return false
		}
	}
	if a.architecture().resolve != nil { // 0 for what follows from another field
		a.architecture().resolve(&a)
		b.architecture().resolve(&b)
	}
	// The tensors have compared all shapes; num_heads of the recurrence is the shape of a state.
	harmless := []string{"hidden_ratio", "num_heads", "max_position_embeddings"}
	others := b.architecture().fields(&b)
	for i, f := range a.architecture().fields(&a) {
		same := reflect.DeepEqual(reflect.ValueOf(f.at).Elem().Interface(), reflect.ValueOf(others[i].at).Elem().Interface())
		if !same && !slices.Contains(harmless, f.key) {
			return false
		}
	}
	return a.RMSNormEps == b.RMSNormEps && a.TieWordEmbeddings == b.TieWordEmbeddings
}
