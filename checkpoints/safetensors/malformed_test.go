package safetensors_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"mmfree/checkpoints/format"
	"mmfree/checkpoints/safetensors"
)

// file returns the bytes of a file with that header, preceded by its length.
func file(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func withLength(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

const (
	one  = `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	data = "12345678"
)

// cases are all files of the tests: want is a part of the error, empty when the file is good.
var cases = []struct {
	name string
	file []byte
	want string
}{
	{"good", file(one, data), ""},
	{"good: nothing in it", file(`{}`, ""), ""},
	{"good: padded with spaces", file(one+"      ", data), ""},
	{"good: space before the object", file(" \t\r\n"+one, data), ""},
	{"good: metadata", file(`{"__metadata__":{"format":"pt","é":"\ud83d\ude00\n"}}`, ""), ""},
	{"good: metadata null", file(`{"__metadata__":null}`, ""), ""},
	{"good: scalar", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, "1234"), ""},
	{"good: zero dimension", file(`{"a":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]}}`, ""), ""},
	{"good: header order is not data order", file(`{"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, data), ""},
	{"good: unknown fields", file(`{"a":{"x":[1.5e-3,{"y":[true,false,null,-0]}],"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, data), ""},
	{"good: escaped key", file(`{"a":{"dt\u0079pe":"U8","shape":[8],"data_offsets":[0,8]}}`, data), ""},
	{"good: four-bit values", file(`{"a":{"dtype":"F4","shape":[16],"data_offsets":[0,8]}}`, data), ""},

	{"empty", nil, "too few"},
	{"seven bytes", []byte("1234567"), "too few"},
	{"prefix only", withLength(20, ""), "ends before"},
	{"header cut", withLength(60, one), "ends before"},
	{"header huge", withLength(100_000_001, one+data), "more than the 100000000"},
	{"header length at the limit", withLength(100_000_000, one+data), "ends before"},
	{"header length wraps", withLength(1<<64-1, one+data), "more than"},
	{"header empty", withLength(0, data), "not valid JSON"},
	{"header short by one", withLength(uint64(len(one)-1), one+data), "found its end"},
	{"not UTF-8", file("{\"a\xff\":{}}", ""), "not UTF-8"},
	{"array", file(`[]`, ""), "expected '{'"},
	{"trailing comma", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}`, data), "expected '\"'"},
	{"NUL padding", file(one+"\x00", data), "goes on behind"},
	{"two objects", file(`{}{}`, ""), "goes on behind"},
	{"byte order mark", file("\ufeff"+one, data), "expected '{'"},
	{"metadata not a string", file(`{"__metadata__":{"a":1}}`, ""), "not a string"},
	{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, ""), "given twice"},
	{"metadata key twice", file(`{"__metadata__":{"a":"1","a":"1"}}`, ""), "given twice"},
	{"metadata a list", file(`{"__metadata__":[]}`, ""), "expected '{'"},
	{"name twice", file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, data), "listed twice"},
	{"name twice, once escaped", file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, ""), "listed twice"},
	{"tensor not an object", file(`{"a":7}`, ""), "expected '{'"},
	{"tensor null", file(`{"a":null}`, ""), "expected '{'"},
	{"dtype unknown", file(`{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}`, data), `"F33" is not known`},
	{"dtype lower case", file(`{"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}}`, data), "not known"},
	{"dtype missing", file(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, data), "dtype is missing"},
	{"shape missing", file(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, data), "shape is missing"},
	{"offsets missing", file(`{"a":{"dtype":"F32","shape":[2]}}`, data), "data_offsets is missing"},
	{"dtype twice", file(`{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, data), "dtype is given twice"},
	{"shape negative", file(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, data), "whole number of at least 0"},
	{"shape float", file(`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, data), "fraction"},
	{"shape with exponent", file(`{"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}`, data), "fraction"},
	{"shape with leading zero", file(`{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}`, data), "begins with 0"},
	{"shape a string", file(`{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}`, data), "whole number"},
	{"dimension past 64 bits", file(`{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}`, data), "too large"},
	{"product overflows", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}`, data), "impossible size"},
	{"product wraps to the size", file(`{"a":{"dtype":"U8","shape":[9223372036854775807,2,8],"data_offsets":[0,8]}}`, data), "impossible size"},
	{"bits overflow", file(`{"a":{"dtype":"F64","shape":[288230376151711745],"data_offsets":[0,8]}}`, data), "impossible size"},
	{"bits do not fill bytes", file(`{"a":{"dtype":"F4","shape":[15],"data_offsets":[0,8]}}`, data), "impossible size"},
	{"shape too small", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, data), "needs 4 bytes, the header gives 8"},
	{"shape too large", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, data), "needs 12 bytes, the header gives 8"},
	{"rank absurd", file(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("1,", 2000)+`2],"data_offsets":[0,8]}}`, data), "dimensions"},
	{"offsets reversed", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, data), "begins at 8"},
	{"offsets end first", file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[0],"data_offsets":[8,7]}}`, data), "before it begins"},
	{"overlap", file(`{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, data), "ends at 6"},
	{"alias", file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, data), "ends at 8"},
	{"hole", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, data), "ends at 2"},
	{"not from zero", file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, data), "ends at 0"},
	{"three offsets", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}`, data), "more than two"},
	{"one offset", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, data), "1 numbers"},
	{"data cut", file(one, data[1:]), "take 8 bytes, the file has 7"},
	{"data too long", file(one, data+"9"), "take 8 bytes, the file has 9"},
	{"data without tensors", file(`{}`, data), "take 0 bytes, the file has 8"},
	{"lone surrogate", file(`{"\ud800":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, data), "surrogate"},
	{"control character", file("{\"a\n\":{}}", ""), "control character"},
	{"bad escape", file(`{"\x61":{}}`, ""), "escape sequence"},
	{"bad unicode escape", file(`{"\u00g1":{}}`, ""), "escape sequence"},
	{"string without end", file(`{"a`, ""), "no end"},
	{"string ends in backslash", file(`{"a\`, ""), "no end"},
	{"unknown field malformed", file(`{"a":{"x":01}}`, ""), "malformed number"},
	{"unknown field a lone minus", file(`{"a":{"x":-}}`, ""), "malformed number"},
	{"unknown field a bare word", file(`{"a":{"x":nul}}`, ""), "expected a value"},
	{"unknown field too deep", file(`{"a":{"x":`+strings.Repeat("[", 1_000_000)+`}}`, ""), "nested"},
}

func TestCases(t *testing.T) {
	for _, c := range cases {
		_, err := safetensors.Parse("F", c.file)
		var fe *format.Error
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: refused: %v", c.name, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: accepted; want %q", c.name, c.want)
		case c.want != "" && (!errors.As(err, &fe) || !errors.Is(err, format.ErrFormat) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want a format.Error with %q", c.name, err, c.want)
		case c.want != "" && (fe.Hint() == "" || !strings.HasPrefix(err.Error(), "F: ") || len(err.Error()) > 400):
			t.Errorf("%s: error without hint or file, or too long: %q %q", c.name, err, fe.Hint())
		}
	}
}

// TestReferenceVerdicts compares with the verdicts of the reference reader on files outside the repository.
func TestReferenceVerdicts(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set; TestCases holds the same faults")
	}
	dir := filepath.Join(shared, "data", "robustness", "safetensors")
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Cases []struct{ File, Expect, Error, Why string }
	}
	if err := json.Unmarshal(raw, &manifest); err != nil || len(manifest.Cases) == 0 {
		t.Fatal(err, len(manifest.Cases))
	}
	for _, c := range manifest.Cases {
		f, err := safetensors.Open(filepath.Join(dir, c.File))
		if (err == nil) != (c.Expect == "accept") {
			t.Errorf("%s (%s): got %v, want %s %s", c.File, c.Why, err, c.Expect, c.Error)
		}
		if err == nil {
			for _, info := range f.Tensors() {
				f.Bytes(info.Name)
			}
			f.Close()
		} else if !strings.Contains(err.Error(), c.File) {
			t.Errorf("%s: not named in %q", c.File, err)
		}
	}
}

// TestRefusalIsCheap bounds what a refusal allocates by the size of the file.
func TestRefusalIsCheap(t *testing.T) {
	for _, c := range cases {
		if c.want == "" {
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = safetensors.Parse("F", c.file)
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(len(c.file)+64<<10); got > limit {
			t.Errorf("%s: %d bytes allocated for a file of %d", c.name, got, len(c.file))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range cases {
		if len(c.file) < 4096 {
			f.Add(c.file)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := safetensors.Parse("F", b)
		if err != nil {
			if !errors.Is(err, format.ErrFormat) {
				t.Fatalf("error of another class: %v", err)
			}
			return
		}
		total := 0
		for _, info := range file.Tensors() {
			total += len(file.Bytes(info.Name))
			_, _ = file.Float32s(info.Name)
			_, _ = file.Uint16s(info.Name)
		}
		if total != len(file.Data()) {
			t.Fatalf("tensors hold %d bytes of %d", total, len(file.Data()))
		}
	})
}
