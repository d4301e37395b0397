package pytorch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
)

// part is one tensor to save.
type part struct {
	name, class, key string
	numel, offset    int
	shape, stride    []int
	parameter        bool
}

func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func number(n int) string {
	return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(int32(n))))
}

func numbers(list []int) string {
	var b strings.Builder
	for _, n := range list {
		b.WriteString(number(n))
	}
	return "(" + b.String() + "t"
}

func (p *part) pickle() string {
	storage := "(" + text("storage") + "ctorch\n" + p.class + "\n" + text(p.key) + text("cpu") + number(p.numel) + "tQ"
	t := "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(p.offset) + numbers(p.shape) + numbers(p.stride) + "\x89ccollections\nOrderedDict\n)RtR"
	if p.parameter {
		t = "ctorch._utils\n_rebuild_parameter\n(" + t + "\x88ccollections\nOrderedDict\n)RtR"
	}
	return text(p.name) + t
}

// stateDictPickle is what torch.save of an OrderedDict writes: with memo instructions, and its _metadata set by BUILD.
func stateDictPickle(parts []part) string {
	var b strings.Builder
	b.WriteString("\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(")
	for i := range parts {
		b.WriteString(parts[i].pickle())
	}
	b.WriteString("u}" + text("_metadata") + "ccollections\nOrderedDict\n)Rsb.")
	return b.String()
}

// archiveOf zips a pickle and entries without compression.
func archiveOf(t testing.TB, pickle string, entries map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	put := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		must(t, err)
		_, err = w.Write(data)
		must(t, err)
	}
	put("data.pkl", []byte(pickle))
	put("byteorder", []byte("little"))
	for key, data := range entries {
		put("data/"+key, data)
	}
	put("version", []byte("3\n"))
	must(t, z.Close())
	return b.Bytes()
}

func floats(values ...float32) []byte {
	b := make([]byte, 4*len(values))
	if err := dtype.Encode(b, values, dtype.F32); err != nil {
		panic(err)
	}
	return b
}

var (
	six  = floats(1, 2, 3, 4, 5, 6)
	good = []part{
		{name: "a", class: "FloatStorage", key: "0", numel: 6, shape: []int{2, 3}, stride: []int{3, 1}},
		{name: "b.transposed", class: "FloatStorage", key: "0", numel: 6, shape: []int{3, 2}, stride: []int{1, 3}, parameter: true},
		{name: "c.slice", class: "FloatStorage", key: "0", numel: 6, offset: 4, shape: []int{2}, stride: []int{1}},
		{name: "d.scalar", class: "FloatStorage", key: "0", numel: 6, offset: 2},
		{name: "e.half", class: "BFloat16Storage", key: "1", numel: 2, shape: []int{2}, stride: []int{1}},
		{name: "f.none", class: "FloatStorage", key: "0", numel: 6, shape: []int{0, 3}, stride: []int{3, 1}},
		{name: "g.long", class: "LongStorage", key: "1", numel: 0, shape: []int{0}, stride: []int{1}},
	}
	entries = map[string][]byte{"0": six, "1": {0x80, 0x3f, 0, 0xc0}}
)

func TestTensors(t *testing.T) {
	f, err := Parse("F", archiveOf(t, stateDictPickle(good), entries))
	must(t, err)
	for name, want := range map[string]string{
		"a": "F32 [2 3] [1 2 3 4 5 6]", "b.transposed": "F32 [3 2] [1 4 2 5 3 6]", "c.slice": "F32 [2] [5 6]", "d.scalar": "F32 [] [3]",
		"e.half": "BF16 [2] [1 -2]", "f.none": "F32 [0 3] []",
	} {
		raw, ok := f.Raw(name)
		values := make([]float32, len(raw.Bytes)*8/max(1, raw.DType.Bits()))
		must(t, dtype.Decode(values, raw.Bytes, raw.DType))
		if got := fmt.Sprintf("%s %v %v", raw.DType, raw.Shape, values); !ok || got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if len(f.Names()) != len(good) {
		t.Errorf("names %v", f.Names())
	}
	must(t, f.Close())
}

// TestWrapped: a training program's dictionary around the state dict, with what is no tensor beside it, and the newer way of
// putting a tensor together, with its type.
func TestWrapped(t *testing.T) {
	typed := text("e") + "ctorch._utils\n_rebuild_tensor_v3\n(" + "(" + text("storage") + "ctorch.storage\nUntypedStorage\n" + text("2") + text("cpu") + number(2) + "tQ" +
		number(0) + numbers([]int{2}) + numbers([]int{1}) + "\x89ccollections\nOrderedDict\n)Rctorch\nfloat8_e4m3fn\ntR"
	outer := "\x80\x04\x95" + strings.Repeat("\x00", 8) + "}(" + text("epoch") + "K\x03" + text("lr") + "G?\xf0\x00\x00\x00\x00\x00\x00" + text("list") + "](K\x01K\x02e" +
		text("big") + "\x8a\x02\x00\x80" + text("state_dict") + "}(" + good[0].pickle() + typed + "u" + "u."
	f, err := Parse("F", archiveOf(t, outer, map[string][]byte{"0": six, "2": {0x38, 0xc0}}))
	must(t, err)
	raw, _ := f.Raw("e")
	var v [2]float32
	must(t, dtype.Decode(v[:], raw.Bytes, raw.DType))
	if len(f.Names()) != 2 || v != [2]float32{1, -2} {
		t.Errorf("%v, %v", f.Names(), v)
	}
}

// TestNothingIsExecuted gives what a hostile file would: every one is refused by the name of what it asks for.
func TestNothingIsExecuted(t *testing.T) {
	for pickle, want := range map[string]string{
		"\x80\x02cos\nsystem\n" + "(" + text("touch /tmp/owned") + "tR.":           "os.system",
		"\x80\x02cbuiltins\neval\n" + "(" + text("1") + "tR.":                      "builtins.eval",
		"\x80\x04" + "\x8c\x05posix" + "\x8c\x06system" + "\x93.":                  "posix.system",
		"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + text("x") + "tR.":         "in a way that makes no tensor",
		"\x80\x02ccollections\nOrderedDict\n(](" + text("k") + text("v") + "eetR.": "",
		"\x80\x02(S'x'\no.":          "instruction 0x53",
		"\x80\x02}}\x81.":            "instruction 0x81",
		"\x80\x02i" + "os\nsystem\n": "instruction 0x69",
		"\x80\x09.":                  "protocol 9",
		"\x80\x02.":                  "takes a value where there is none",
		"\x80\x02(.":                 "takes a mark for a value",
		"\x80\x02NN.":                "more than one value",
		"\x80\x02Nu.":                "looks for a mark",
		"\x80\x02N(NNu.":             "neither a list nor a dictionary",
		"\x80\x02h\x05.":             "was never kept",
		"\x80\x02X\xff\xff\xff\xff.": "ends too early",
		"\x80\x02\x8a\x09":           "more than 64 bits",
		"\x80\x02NQ.":                "names bytes in a way",
		"\x80\x02NN R.":              "",
		"\x80\x02N)R.":               "no function",
		"\x80\x02N.":                 "holds no dictionary of tensors",
		"\x80\x02}.":                 "holds no dictionary of tensors",
		"":                           "ends too early",
	} {
		_, err := Parse("F", archiveOf(t, pickle, entries))
		var h interface{ Hint() string }
		if !errors.Is(err, format.ErrFormat) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "F: ") || !errors.As(err, &h) || h.Hint() == "" {
			t.Errorf("%q: want %q, got %v", pickle, want, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	change := func(f func(p *part)) string {
		p := good[0]
		f(&p)
		return stateDictPickle([]part{p})
	}
	for name, c := range map[string]struct {
		pickle, want string
	}{
		"bytes missing":   {change(func(p *part) { p.key = "9" }), "no entry data/9"},
		"too large":       {change(func(p *part) { p.shape = []int{3, 3} }), "needs more values than the 6"},
		"overflow":        {change(func(p *part) { p.shape, p.stride = []int{1 << 30, 1 << 30, 1 << 30}, []int{1, 1, 1} }), "needs more values"},
		"stride too wide": {change(func(p *part) { p.stride = []int{math.MaxInt32, 1} }), "reaches beyond"},
		"offset":          {change(func(p *part) { p.offset = 1 }), "reaches beyond"},
		"offset below":    {change(func(p *part) { p.offset = -1 }), "reaches beyond"},
		"negative":        {change(func(p *part) { p.shape = []int{-2, 3} }), "impossible shape"},
		"expanded":        {change(func(p *part) { p.shape, p.stride = []int{1000, 6}, []int{0, 1} }), "needs more values"},
		"ranks differ":    {change(func(p *part) { p.stride = []int{1} }), "wrong parts"},
		"class":           {change(func(p *part) { p.class = "EvilStorage" }), "torch.EvilStorage"},
	} {
		_, err := Parse("F", archiveOf(t, c.pickle, entries))
		if !errors.Is(err, format.ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
	}
	whole := archiveOf(t, stateDictPickle(good), entries)
	for _, n := range []int{0, 1, 4, 30, len(whole) / 2, len(whole) - 1} {
		if _, err := Parse("F", whole[:n]); !errors.Is(err, format.ErrFormat) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := Parse("F", []byte("\x80\x02}.")); err == nil || !strings.Contains(err.Error(), "before 1.6") {
		t.Errorf("a bare pickle: %v", err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("archive/data.pkl") // compressed
	must(t, err)
	_, err = w.Write(bytes.Repeat([]byte{'N'}, 1000))
	must(t, err)
	must(t, z.Close())
	if _, err := Parse("F", b.Bytes()); err == nil || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("a compressed archive: %v", err)
	}
}

// TestMemory: thousands of tensors that all turn one storage around are not copied thousands of times.
func TestMemory(t *testing.T) {
	big := make([]byte, 4<<20)
	var parts []part
	for i := range 2000 {
		parts = append(parts, part{name: fmt.Sprint(i), class: "FloatStorage", key: "0", numel: 1 << 20, shape: []int{1 << 10, 1 << 10}, stride: []int{1, 1 << 10}})
	}
	file := archiveOf(t, stateDictPickle(parts), map[string][]byte{"0": big})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse("F", file)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "share their bytes") {
		t.Errorf("got %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 40<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(stateDictPickle(good), six)
	f.Add(stateDictPickle(good[:1]), []byte{})
	f.Add("\x80\x02cos\nsystem\n)R.", six)
	f.Add("\x80\x04\x95"+strings.Repeat("\x00", 8)+"}\x94(\x8c\x01a\x94](K\x01e\x85\x86\x87u.", six)
	f.Fuzz(func(t *testing.T, pickle string, data []byte) {
		file, err := Parse("F", archiveOf(t, pickle, map[string][]byte{"0": data, "1": data}))
		if err != nil {
			if !errors.Is(err, format.ErrFormat) {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		for _, name := range file.Names() { // what was accepted has the bytes that its shape asks for
			raw, _ := file.Raw(name)
			n := raw.DType.Bits() / 8
			for _, s := range raw.Shape {
				n *= s
			}
			if n != len(raw.Bytes) {
				t.Fatalf("%s: %v of %s has %d bytes", name, raw.Shape, raw.DType, len(raw.Bytes))
			}
		}
	})
}

// FuzzArchive is for the zip around the pickle.
func FuzzArchive(f *testing.F) {
	f.Add(archiveOf(f, stateDictPickle(good), entries))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Parse("F", b); err != nil && !errors.Is(err, format.ErrFormat) {
			t.Fatalf("error of no class: %v", err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
