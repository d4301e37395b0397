package checkpoints

import (
	"mmfree/checkpoints/stored"
	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
)

// foreign lists a model whose files hold it in another form than this program's. It reports false for others, and for
// what cannot be opened: what is there is then listed as it is.
func (in *Inspection) foreign(contents bool) (listed bool) {
	switch in.Kind {
	case KindHF, KindLlama2C, KindSafetensors, KindGGUF:
	default:
		return false
	}
	m, _, err := Open(in.Source, in.Kind)
	if err != nil {
		return false
	}
	defer m.Close()
	if m.Format == "" {
		return false
	}
	list := &Inspection{Kind: KindOf(in.Kind, m), Source: in.Source, Form: m.Format, Config: &m.Config, Warnings: m.Warnings, Scales: m.Scales}
	for i := range m.Tensors {
		t := &m.Tensors[i]
		info := TensorInfo{Name: t.Name, Kind: t.Kind, Known: true, Shape: t.Shape, DType: t.Stored, Bytes: t.Bytes}
		if t.IsCodes() {
			scale := float64(t.Scale)
			info.Scale = &scale
		}
		if contents && countStored(&info, t) != nil {
			return false
		}
		list.Bytes += t.Bytes
		list.Tensors = append(list.Tensors, info)
	}
	list.total()
	list.Parameters, _ = spec.Parameters(m.Config) // a tied head's codes are no parameters of their own
	*in = *list
	return true
}

// countStored counts the zeros of a tensor: of a ternary one among its codes.
func countStored(info *TensorInfo, t *stored.Tensor) error {
	if t.Elements() == 0 {
		return nil
	}
	zeros := 0
	scale := float32(0)
	if t.Kind == spec.Ternary && !t.IsCodes() {
		var scaler quant.Scaler
		if err := t.Each(func(v []float32, _ int) error { scaler.Add(v); return nil }); err != nil {
			return err
		}
		var ok bool
		if scale, ok = scaler.Scale(); ok {
			m := float64(scale)
			info.Scale = &m
		}
	}
	var codes []int8
	err := t.Each(func(v []float32, _ int) error {
		if scale > 0 {
			codes = append(codes[:0], make([]int8, len(v))...)
			quant.Trits(codes, v, scale)
			for _, c := range codes {
				if c == 0 {
					zeros++
				}
			}
			return nil
		}
		for _, x := range v {
			if x == 0 {
				zeros++
			}
		}
		return nil
	})
	share := float64(zeros) / float64(t.Elements())
	info.ZeroFraction = &share
	return err
}
