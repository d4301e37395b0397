package metrics

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
)

// Line is a logged step. Its JSON has the keys step, tokens, loss, lr, grad_norm, tokens_per_second, seconds,
// skipped_steps and rss_bytes, on evaluation steps val_loss and val_bits_per_byte, with a teacher
// teacher_loss, and now and then health. Numbers are unrounded; NaN and
// infinities are null, and null reads as NaN.
type Line struct {
	Step            int64
	Tokens          int64   // seen so far
	Loss            float64 // mean training loss of the step, nats a token
	LR              float64
	GradNorm        float64 // before clipping
	TokensPerSecond float64
	Seconds         float64 // since the run began, all its sessions together
	SkippedSteps    int64   // so far, for want of a finite loss or gradient
	RSSBytes        int64   // of the process now; 0 = unknown

	Evaluated      bool    // whether the step has the two values below
	ValLoss        float64 // mean validation loss, nats a token
	ValBitsPerByte float64

	TeacherLoss Value   // divergence from the teacher, nats a token; 0 = none
	Health      *Health // of the ternary tensors; nil where the step did not look
}

// wireLine is a Line in the order and under the names of the file.
type wireLine struct {
	Step            *int64  `json:"step"`
	Tokens          int64   `json:"tokens"`
	Loss            number  `json:"loss"`
	LR              number  `json:"lr"`
	GradNorm        number  `json:"grad_norm"`
	TokensPerSecond number  `json:"tokens_per_second"`
	Seconds         number  `json:"seconds"`
	ValLoss         number  `json:"val_loss,omitzero"`
	ValBitsPerByte  number  `json:"val_bits_per_byte,omitzero"`
	SkippedSteps    int64   `json:"skipped_steps"`
	RSSBytes        int64   `json:"rss_bytes"`
	TeacherLoss     Value   `json:"teacher_loss,omitzero"`
	Health          *Health `json:"health,omitempty"`
}

// number tells three cases apart that a float64 cannot: absent, null and a value.
type number struct {
	value   float64
	present bool
}

// MarshalJSON writes the shortest text that reads back as the same float64, or null.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(n.value) || math.IsInf(n.value, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, n.value, 'g', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *number) UnmarshalJSON(text []byte) error {
	n.present = true
	if string(text) == "null" {
		n.value = math.NaN()
		return nil
	}
	return json.Unmarshal(text, &n.value)
}

// MarshalJSON writes one object, without a line end.
func (l Line) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireLine{
		Step: &l.Step, Tokens: l.Tokens, Loss: number{l.Loss, true}, LR: number{l.LR, true},
		GradNorm: number{l.GradNorm, true}, TokensPerSecond: number{l.TokensPerSecond, true}, Seconds: number{l.Seconds, true},
		ValLoss: number{l.ValLoss, l.Evaluated}.orAbsent(), ValBitsPerByte: number{l.ValBitsPerByte, l.Evaluated}.orAbsent(),
		SkippedSteps: l.SkippedSteps, RSSBytes: l.RSSBytes, TeacherLoss: l.TeacherLoss, Health: l.Health,
	})
}

// orAbsent is the zero number, which is left out, unless n is present.
func (n number) orAbsent() number {
	if !n.present {
		return number{}
	}
	return n
}

// UnmarshalJSON reads one object. The step must be there; keys that are not ours are passed over, since later versions
// may add some.
func (l *Line) UnmarshalJSON(text []byte) error {
	var w wireLine
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	if w.Step == nil {
		return errors.New("no key step")
	}
	*l = Line{
		Step: *w.Step, Tokens: w.Tokens, Loss: w.Loss.value, LR: w.LR.value, GradNorm: w.GradNorm.value,
		TokensPerSecond: w.TokensPerSecond.value, Seconds: w.Seconds.value, SkippedSteps: w.SkippedSteps, RSSBytes: w.RSSBytes,
		Evaluated: w.ValLoss.present || w.ValBitsPerByte.present, ValLoss: w.ValLoss.value, ValBitsPerByte: w.ValBitsPerByte.value, TeacherLoss: w.TeacherLoss, Health: w.Health,
	}
	return nil
}
