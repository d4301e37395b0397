package ui

import (
	"os"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var b strings.Builder
	err := Table(&b, []string{"name", "bytes", "note"}, [][]string{
		{"embedding", "1,024", "ternär"},
		{"head", "7"},
		{"é", "", "x"},
	})
	want := "" +
		"name       bytes  note\n" +
		"embedding  1,024  ternär\n" +
		"head           7\n" +
		"é                 x\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%swant\n%s", err, b.String(), want)
	}
	b.Reset()
	if err := Table(&b, nil, [][]string{{"a", "-1.5"}, {"bb", "+10"}, {"ccc", "-"}}); err != nil || b.String() != "a    -1.5\nbb   +10\nccc  -\n" {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	if err := Table(&b, nil, nil); err != nil || b.Len() > 0 {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestWidthOfAFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Width(f) != 0 || Color(f) {
		t.Error("a file is taken for a terminal")
	}
}
