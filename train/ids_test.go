package train

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseIDs(t *testing.T) {
	for _, tt := range []struct {
		in, fault string
		want      [][]int32
	}{
		{"[1,2,3]", "", [][]int32{{1, 2, 3}}},
		{" [ 1 , 2 ]\n", "", [][]int32{{1, 2}}},
		{"[[1,2],[3,4]]", "", [][]int32{{1, 2}, {3, 4}}},
		{"[[7]]", "", [][]int32{{7}}},
		{"[0,2147483647]", "", [][]int32{{0, 2147483647}}},
		{"", "the text ends", nil},
		{"7", "no list", nil},
		{"{}", "no list", nil},
		{"[[]]", "list 0 has 0 ids", nil},
		{"[[1],[]]", "list 1 has 0 ids, the first one 1", nil},
		{"[[1],[2,3]]", "list 1 has 2 ids, the first one 1", nil},
		{"[1,[2]]", "a list stands beside ids", nil},
		{"[[1],2]", "an id stands beside lists", nil},
		{"[[[1]]]", "[ is not a whole number", nil},
		{"[1.0]", `"1.0" is not a whole number`, nil},
		{"[-1]", `"-1" is not`, nil},
		{"[2147483648]", "is not a whole number", nil},
		{`["1"]`, "1 is not a whole number", nil},
		{"[null]", "is not a whole number", nil},
		{"[1,2", "ends inside", nil},
		{"[1,]", "invalid character", nil},
		{"[1] x", "something follows", nil},
		{"[1][2]", "something follows", nil},
	} {
		got, err := ParseIDs("f.json", []byte(tt.in))
		if tt.fault == "" {
			if err != nil || !slices.EqualFunc(got, tt.want, slices.Equal[[]int32]) {
				t.Errorf("%q: got %v, %v, want %v", tt.in, got, err, tt.want)
			}
			continue
		}
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.fault) || !strings.HasPrefix(err.Error(), "f.json: byte ") {
			t.Errorf("%q: error %v, want %q", tt.in, err, tt.fault)
		}
	}
}

func TestParseSequence(t *testing.T) {
	for _, tt := range []struct {
		in, fault string
		want      []int32
	}{
		{"", "", nil},
		{" [ ] ", "", nil},
		{`{"ids":[],"bytes":0}`, "", nil},
		{`{"ids":[3,4]}`, "", []int32{3, 4}},
		{"[5]", "", []int32{5}},
		{"1,2 3\n4", "", []int32{1, 2, 3, 4}},
		{"1,,2", `id 1: "" is not`, nil},
		{"1,-2", `id 1: "-2" is not`, nil},
		{"[[1],[2]]", "2 lists of ids", nil},
		{`{"id":[3,4]}`, "the text ends", nil},
		{`{"ids":3}`, "no list", nil},
		{"{", "unexpected end", nil},
	} {
		got, err := ParseSequence("f", []byte(tt.in))
		if tt.fault == "" && (err != nil || !slices.Equal(got, tt.want)) || tt.fault != "" && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%q: got %v, %v, want %v, %q", tt.in, got, err, tt.want, tt.fault)
		}
	}
	if _, err := ParseIDs("f", []byte("[]")); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "no ids") {
		t.Errorf("a file without ids: %v", err)
	}
}

func FuzzParseIDs(f *testing.F) {
	for _, seed := range []string{"[1,2]", "[[1],[2]]", "[[1],2]", "[1", "[1]]", `[{"a":1}]`, "[1e3]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := ParseIDs("f", text)
		if err != nil {
			if !errors.Is(err, ErrInput) {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		for _, row := range rows {
			if len(row) == 0 || len(row) != len(rows[0]) || slices.Min(row) < 0 {
				t.Fatalf("%q gave %v", text, rows)
			}
		}
	})
}

func TestRandomIDs(t *testing.T) {
	a, b, c := RandomIDs(1000, 7, 1), RandomIDs(1000, 7, 1), RandomIDs(1000, 7, 2)
	if !slices.Equal(a, b) || slices.Equal(a, c) || slices.Min(a) != 0 || slices.Max(a) != 6 {
		t.Error("ids must follow from the seed and fill the vocabulary")
	}
}
