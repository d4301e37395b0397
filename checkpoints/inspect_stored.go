package checkpoints

import (
	"mmfree/checkpoints/pytorch"
	"mmfree/checkpoints/stored"
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
		if contents && info.count(t) != nil {
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

// archive lists one file of PyTorch.
func (in *Inspection) archive(path string, contents bool) (list []TensorInfo, err error) {
	f, err := pytorch.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, name := range f.Names() {
		raw, _ := f.Raw(name)
		info := TensorInfo{Name: name, Shape: raw.Shape, DType: raw.DType, Bytes: int64(len(raw.Bytes))}
		if contents && raw.DType.Float() {
			t := stored.Floats(spec.Tensor{Name: name, Shape: raw.Shape, Kind: spec.Dense}, raw)
			if err := info.count(&t); err != nil {
				return nil, err
			}
		}
		in.Bytes += info.Bytes
		list = append(list, info)
	}
	return list, nil
}
