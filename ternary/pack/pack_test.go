package pack_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

func randomTrits(rng *rand.Rand, n int) []int8 {
	t := make([]int8, n)
	for i := range t {
		t[i] = int8(rng.IntN(3) - 1)
	}
	return t
}

// TestLayout places single trits by the formulas of layout.go, written out again.
func TestLayout(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range [][2]int{{1, 1}, {32, 9}, {33, 10}, {128, 27}, {129, 26}, {300, 31}} {
		R, K := s[0], s[1]
		trits := randomTrits(rng, R*K)
		m := pack.New(R, K)
		m.Encode(trits, 0, m.Superblocks())
		nw, padded := (K+8)/9, (R+31)/32*32
		if len(m.Words) != nw*padded {
			t.Fatalf("[%d, %d]: %d words, want %d", R, K, len(m.Words), nw*padded)
		}
		for r := range padded {
			sup := r / 128 * 128
			sr := min(128, padded-sup)
			for j := range nw {
				var want uint16
				for g := range 3 {
					code, place := 0, 1
					for d := range 3 {
						trit := 0
						if k := 9*j + 3*g + d; r < R && k < K {
							trit = int(trits[r*K+k])
						}
						code += (trit + 1) * place
						place *= 3
					}
					want |= uint16(code) << (5 * g)
				}
				if got := m.Words[sup*nw+j*sr+r-sup]; got != want {
					t.Fatalf("[%d, %d]: row %d, word %d is %#04x, want %#04x", R, K, r, j, got, want)
				}
			}
		}
	}
}

func TestEncodeThenDecode(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		R, K := rapid.IntRange(1, 300).Draw(r, "rows"), rapid.IntRange(1, 70).Draw(r, "cols")
		trits := randomTrits(rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1)), R*K)
		m, wt := pack.New(R, K), pack.New(K, R)
		cut := rapid.IntRange(0, m.Superblocks()).Draw(r, "cut")
		for i := range m.Words {
			m.Words[i] = 0xffff // Encode must write every word, padding too
		}
		m.Encode(trits, cut, m.Superblocks())
		m.Encode(trits, 0, cut)
		got := make([]int8, R*K)
		m.Decode(got, cut, m.Superblocks())
		m.Decode(got, 0, cut)
		if !slices.Equal(got, trits) {
			r.Fatalf("Decode gives other codes")
		}
		row := make([]int8, K)
		n := rapid.IntRange(0, R-1).Draw(r, "row")
		if m.DecodeRow(row, n); !slices.Equal(row, trits[n*K:][:K]) {
			r.Fatalf("DecodeRow(%d) gives %v, want %v", n, row, trits[n*K:][:K])
		}
		if _, err := pack.FromWords(R, K, 1, m.Words); err != nil {
			r.Fatal(err)
		}
		wt.EncodeTransposed(trits, 0, wt.Superblocks())
		wt.Decode(got, 0, wt.Superblocks())
		for i := range R {
			for k := range K {
				if got[k*R+i] != trits[i*K+k] {
					r.Fatalf("EncodeTransposed: row %d, column %d", k, i)
				}
			}
		}
	})
}

// TestNewIsZero: a new matrix is one of zero trits.
func TestNewIsZero(t *testing.T) {
	m := pack.New(130, 20)
	trits := slices.Repeat([]int8{7}, 130*20)
	m.Decode(trits, 0, m.Superblocks())
	if slices.ContainsFunc(trits, func(v int8) bool { return v != 0 }) {
		t.Error("a new matrix holds codes other than 0")
	}
	if m.Bytes() != 2*160*3 {
		t.Errorf("%d bytes, want %d", m.Bytes(), 2*160*3)
	}
}

func TestFromWordsRefuses(t *testing.T) {
	const R, K, nw = 130, 20, 3 // two superblocks, 30 padding rows, two columns in the last word
	whole := func() []uint16 {
		m := pack.New(R, K)
		m.Encode(randomTrits(rand.New(rand.NewPCG(1, 1)), R*K), 0, 2)
		return m.Words
	}
	word := func(r, j int) int {
		sup := r / 128 * 128
		return sup*nw + j*min(128, 160-sup) + r - sup
	}
	set := func(r, j int, w uint16) func([]uint16) []uint16 {
		return func(words []uint16) []uint16 { words[word(r, j)] = w; return words }
	}
	const zero = 0x35AD
	for _, c := range []struct {
		name       string
		rows, cols int
		scale      float32
		edit       func([]uint16) []uint16
		at         int
		problem    string
	}{
		{"no rows", 0, K, 1, nil, -1, "impossible shape"},
		{"negative rows", -1, K, 1, nil, -1, "impossible shape"},
		{"no columns", R, 0, 1, nil, -1, "impossible shape"},
		{"overflow", math.MaxInt / 2, math.MaxInt / 2, 1, nil, -1, "impossible shape"},
		{"overflow of one side", math.MaxInt, 1, 1, nil, -1, "impossible shape"},
		{"too few words", R, K, 1, func(w []uint16) []uint16 { return w[1:] }, -1, "there are 479"},
		{"too many words", R, K, 1, func(w []uint16) []uint16 { return append(w, zero) }, -1, "there are 481"},
		{"scale 0", R, K, 0, nil, -1, "scale"},
		{"negative scale", R, K, -1, nil, -1, "scale"},
		{"scale NaN", R, K, float32(math.NaN()), nil, -1, "scale"},
		{"infinite scale", R, K, float32(math.Inf(1)), nil, -1, "scale"},
		{"low code 27", R, K, 1, set(5, 1, 27|13<<5|13<<10), word(5, 1), "above 26"},
		{"middle code 31", R, K, 1, set(129, 0, 13|31<<5|13<<10), word(129, 0), "above 26"},
		{"high code 27", R, K, 1, set(127, 0, 13|13<<5|27<<10), word(127, 0), "above 26"},
		{"bit 15", R, K, 1, set(0, 0, zero|1<<15), word(0, 0), "above 26"},
		{"padding row", R, K, 1, set(130, 1, zero+1), word(130, 1), "padding row"},
		{"last padding row", R, K, 1, set(159, 2, zero-9), word(159, 2), "padding row"},
		{"behind the last column, same group", R, K, 1, set(7, 2, zero+9), word(7, 2), "behind column 20"},
		{"behind the last column, next group", R, K, 1, set(129, 2, zero-32), word(129, 2), "behind column 20"},
		{"behind the last column, last trit", R, K, 1, set(64, 2, zero+9<<10), word(64, 2), "behind column 20"},
	} {
		words := whole()
		if c.edit != nil {
			words = c.edit(words)
		}
		_, err := pack.FromWords(c.rows, c.cols, c.scale, words)
		var e *pack.Error
		if !errors.As(err, &e) || !errors.Is(err, pack.ErrPacked) || e.Word != c.at || !strings.Contains(e.Error(), c.problem) {
			t.Errorf("%s: error %v, want one at word %d about %q", c.name, err, c.at, c.problem)
		}
	}
	if _, err := pack.FromWords(R, K, 1, whole()); err != nil {
		t.Error(err)
	}
}

func FuzzFromWords(f *testing.F) {
	f.Add(uint8(1), uint8(1), []byte{0xad, 0x35})
	f.Add(uint8(33), uint8(20), []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, rows, cols uint8, data []byte) {
		if rows == 0 || cols == 0 {
			return
		}
		R, K := int(rows), int(cols)
		base := pack.New(R, K)
		for i := range min(len(base.Words), len(data)/2) {
			base.Words[i] = uint16(data[2*i]) | uint16(data[2*i+1])<<8
		}
		m, err := pack.FromWords(R, K, 1, base.Words)
		if err != nil {
			return
		}
		trits := make([]int8, R*K)
		m.Decode(trits, 0, m.Superblocks())
		for i, v := range trits {
			if v < -1 || v > 1 {
				t.Fatalf("code %d is %d", i, v)
			}
		}
		again := pack.New(R, K)
		again.Encode(trits, 0, again.Superblocks())
		if !slices.Equal(again.Words, m.Words) { // accepted words have one meaning and one form
			t.Fatal("encoding what was decoded gives other words")
		}
	})
}

func TestModelNamesWhatIsWrong(t *testing.T) {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 7, 6, 1, 5
	c.TieWordEmbeddings = true
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(1)
	p, err := pack.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	if head, shadow := p.Matrix(spec.HeadName), w.Get(spec.EmbeddingsName); head == nil || head.Rows != 7 || &p.Dense(spec.EmbeddingsName)[0] != &shadow[0] {
		t.Error("a tied model needs a packed head and the embeddings in place")
	}
	parts := func() (map[string][]float32, map[string]*pack.Matrix) {
		dense, matrices := map[string][]float32{}, map[string]*pack.Matrix{}
		for _, tensor := range p.Tensors {
			if tensor.Kind == spec.Ternary {
				matrices[tensor.Name] = p.Matrix(tensor.Name)
			} else {
				dense[tensor.Name] = p.Dense(tensor.Name)
			}
		}
		return dense, matrices
	}
	dense, matrices := parts()
	if _, err := pack.NewModel(c, dense, matrices); err != nil {
		t.Error(err)
	}
	for _, tensor := range p.Tensors {
		for _, missing := range []bool{true, false} {
			dense, matrices := parts()
			switch {
			case tensor.Kind == spec.Ternary && missing:
				delete(matrices, tensor.Name)
			case tensor.Kind == spec.Ternary:
				matrices[tensor.Name] = pack.New(tensor.Shape[0]+1, tensor.Shape[1])
			case missing:
				delete(dense, tensor.Name)
			default:
				dense[tensor.Name] = make([]float32, tensor.Elements()+1)
			}
			if _, err := pack.NewModel(c, dense, matrices); !errors.Is(err, pack.ErrPacked) || !strings.Contains(err.Error(), tensor.Name) {
				t.Errorf("%s, missing %v: error %v", tensor.Name, missing, err)
			}
		}
	}
	name := spec.Layer(0) + "mlp.gate_proj.weight"
	w.Get(name)[3] = float32(math.NaN())
	if _, err := pack.Build(w); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "value 3") {
		t.Errorf("NaN: error %v, want one that names %s and value 3", err, name)
	}
}

// BenchmarkEncode packs a matrix and its transpose, as every training step does; MB/s are million weights.
func BenchmarkEncode(b *testing.B) {
	const rows, cols = 1024, 256
	rng := rand.New(rand.NewPCG(1, 2))
	codes := make([]int8, rows*cols)
	for i := range codes {
		codes[i] = int8(rng.IntN(3) - 1)
	}
	m, t := pack.New(rows, cols), pack.New(cols, rows)
	for name, encode := range map[string]func(){
		"rows":       func() { m.Encode(codes, 0, m.Superblocks()) },
		"transposed": func() { t.EncodeTransposed(codes, 0, t.Superblocks()) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(rows * cols)
			for b.Loop() {
				encode()
			}
		})
	}
}
