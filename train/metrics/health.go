package metrics

import (
	"encoding/json"
	"math"
	"strconv"
)

// Value is a number whose JSON is null where it is not finite; null reads as NaN.
type Value float64

// MarshalJSON writes the shortest text that reads back as the same number, or null.
func (v Value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(v), 'g', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Value) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*v = Value(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(v))
}

// Health says how the ternary tensors of a model fare at a step.
type Health struct {
	LambdaWeights     Value `json:"lambda_weights"` // how far training is ternary, 0 to 1
	LambdaActivations Value `json:"lambda_activations"`
	Flips             Value `json:"flips"`       // share of the codes that the step changed
	Kept              Value `json:"kept"`        // of the changes since the last line with health, about the share that is still there; NaN on the first
	DeadRows          Value `json:"dead_rows"`   // share of the rows of ternary tensors whose codes are all 0
	Clipped           Value `json:"clipped"`     // share of the activations' codes at ±127
	ZeroCodes         Value `json:"zero_codes"`  // share of the activations' codes that are 0
	SmallestScale     Value `json:"small_scale"` // smallest mean magnitude of a ternary tensor

	Layers    []LayerHealth    `json:"layers"`     // in order; the head, where it is ternary, behind the last
	GradNorms map[string]Value `json:"grad_norms"` // of embeddings, mixers, mlps, head and norms, before clipping; frozen tensors count in none
}

// LayerHealth is the shares of codes in the ternary tensors of a layer.
type LayerHealth struct {
	Minus Value `json:"minus"`
	Zero  Value `json:"zero"`
	Plus  Value `json:"plus"`
}
