package pytorch

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/stored"
)

const (
	pickleFile   = "data.pkl"
	maxPickle    = 8 << 20 // a tensor takes some 200 bytes of it
	maxByteOrder = 64
)

// archive is a zip file whose entries are stored as they are.
type archive struct {
	data       []byte
	root       string // folder of the entries, with its slash
	entries    map[string]*zip.File
	pickle     []byte
	pickleName string
	pickleAt   int64
	copied     int64 // bytes of tensors that had to be copied, of which there may be no more than the file has
}

func openArchive(name string, data []byte) (*archive, error) {
	bad := func(fix, problem string, args ...any) error {
		return &format.Error{File: name, Offset: -1, Problem: fmt.Sprintf(problem, args...), Fix: fix}
	}
	if !bytes.HasPrefix(data, []byte(Magic)) {
		if len(data) > 1 && data[0] == 0x80 && data[1] <= 5 {
			return nil, bad(fixSave, "is a bare pickle, the form of PyTorch before 1.6")
		}
		return nil, bad(fixCopy, "is no archive of PyTorch")
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, bad(fixCopy, "is no whole archive: %v", err)
	}
	a := &archive{data: data, entries: map[string]*zip.File{}}
	for _, e := range z.File {
		if a.entries[e.Name] != nil {
			return nil, bad(fixCopy, "holds the entry %s twice", format.Name(e.Name))
		}
		a.entries[e.Name] = e
		if path.Base(e.Name) == pickleFile {
			if a.pickleName != "" {
				return nil, bad(fixSave, "holds %s more than once", pickleFile)
			}
			a.pickleName, a.root = e.Name, strings.TrimSuffix(e.Name, pickleFile)
		}
	}
	if a.pickleName == "" {
		return nil, bad(fixSave, "is an archive without %s: not one of PyTorch", pickleFile)
	}
	if order, ok := a.entries[a.root+"byteorder"]; ok {
		b, err := a.bytes(order)
		if err != nil || len(b) > maxByteOrder || string(bytes.TrimSpace(b)) != "little" {
			return nil, bad(fixSave, "holds numbers of another byte order: %.20q", b)
		}
	}
	if a.pickle, err = a.bytes(a.entries[a.pickleName]); err != nil {
		return nil, bad(fixCopy, "%v", err)
	}
	if len(a.pickle) > maxPickle {
		return nil, bad(fixSave, "has a %s of %d bytes, more than any model needs", pickleFile, len(a.pickle))
	}
	if a.pickleAt, err = a.entries[a.pickleName].DataOffset(); err != nil {
		return nil, bad(fixCopy, "%v", err)
	}
	return a, nil
}

// bytes returns an entry's bytes in place.
func (a *archive) bytes(e *zip.File) ([]byte, error) {
	const encrypted = 1
	if e.Method != zip.Store || e.Flags&encrypted != 0 || e.CompressedSize64 != e.UncompressedSize64 {
		return nil, fmt.Errorf("entry %s is compressed or encrypted, which PyTorch never does", format.Name(e.Name))
	}
	at, err := e.DataOffset()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err == nil && (at < 0 || at > int64(len(a.data)) || e.UncompressedSize64 > uint64(int64(len(a.data))-at)) {
		return nil, fmt.Errorf("entry %s lies outside the file", format.Name(e.Name))
	}
	if err != nil {
		return nil, fmt.Errorf("entry %s: %w", format.Name(e.Name), err)
	}
	end := at + int64(e.UncompressedSize64)
	return a.data[at:end:end], nil
}

// tensor finds the bytes of a tensor and puts them in rows where the file has another order.
func (a *archive) tensor(t *tensor) (raw stored.Raw, err error) {
	e := a.entries[a.root+"data/"+t.storage.key]
	if e == nil {
		return raw, fmt.Errorf("its bytes are missing: there is no entry data/%s", format.Name(t.storage.key))
	}
	b, err := a.bytes(e)
	if err != nil {
		return raw, err
	}
	size := int64(t.dtype.Bits() / 8)
	have := int64(len(b)) / size
	elements, last := int64(1), t.offset
	contiguous, step := true, int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		n, stride := t.shape[i], t.stride[i]
		switch {
		case n < 0 || stride < 0 || n > math.MaxInt32:
			return raw, fmt.Errorf("has an impossible shape %v with strides %v", t.shape, t.stride)
		case n > 0 && elements > have/n:
			return raw, fmt.Errorf("shape %v needs more values than the %d of its storage", t.shape, have)
		case n > 1 && stride > have/(n-1):
			return raw, fmt.Errorf("shape %v with strides %v reaches beyond the %d values of its storage", t.shape, t.stride, have)
		}
		if n > 1 && stride != step {
			contiguous = false
		}
		step *= n
		elements *= n
		if n > 1 {
			last += (n - 1) * stride
		}
	}
	if t.offset < 0 || t.offset > have || elements > 0 && last >= have {
		return raw, fmt.Errorf("shape %v with strides %v at %d reaches beyond the %d values of its storage", t.shape, t.stride, t.offset, have)
	}
	raw = stored.Raw{DType: t.dtype, Shape: make([]int, len(t.shape))}
	for i, n := range t.shape {
		raw.Shape[i] = int(n)
	}
	if contiguous || elements == 0 {
		raw.Bytes = b[t.offset*size:][:elements*size]
		return raw, nil
	}
	if a.copied += elements * size; a.copied > int64(len(a.data)) {
		return raw, errors.New("it and others share their bytes in more orders than a model does")
	}
	raw.Bytes = gather(b, t, elements, size)
	return raw, nil
}

// gather copies a tensor that does not lie in rows. It has no more values than its storage.
func gather(b []byte, t *tensor, elements, size int64) []byte {
	out := make([]byte, 0, elements*size)
	index := make([]int64, len(t.shape))
	for at := t.offset; int64(len(out)) < elements*size; {
		out = append(out, b[at*size:][:size]...)
		for i := len(index) - 1; i >= 0; i-- {
			at += t.stride[i]
			if index[i]++; index[i] < t.shape[i] {
				break
			}
			at -= index[i] * t.stride[i]
			index[i] = 0
		}
	}
	return out
}

// storages are the classes of storages with the types they hold.
var storages = map[string]dtype.Type{
	"torch FloatStorage": dtype.F32, "torch HalfStorage": dtype.F16, "torch BFloat16Storage": dtype.BF16, "torch DoubleStorage": "F64",
	"torch LongStorage": "I64", "torch IntStorage": "I32", "torch ShortStorage": "I16", "torch CharStorage": "I8", "torch ByteStorage": "U8",
	"torch BoolStorage": "BOOL", "torch.storage UntypedStorage": "U8",
}

// dtypes are PyTorch's names of types for which there is no class of storages.
var dtypes = map[string]dtype.Type{
	"torch float8_e4m3fn": "F8_E4M3", "torch float8_e5m2": "F8_E5M2", "torch uint16": dtype.U16, "torch uint32": "U32", "torch uint64": "U64",
	"torch float32": dtype.F32, "torch float16": dtype.F16, "torch bfloat16": dtype.BF16, "torch float64": "F64", "torch uint8": "U8", "torch int8": "I8",
	"torch int16": "I16", "torch int32": "I32", "torch int64": "I64", "torch bool": "BOOL",
}
