package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path of our module; a package below it is named by its folder from here on.
const module = "mmfree"

// mayImport is policy: house -> the houses it may see besides itself. The longest row that holds a package decides. Do
// not relax it to make a build pass.
func mayImport() map[string]string {
	return map[string]string{
		"ternary":             "",                            // numbers: no files, no graph, no policy of training
		"checkpoints/durable": "",                            // a leaf, so that every format and data can write safely
		"data":                "checkpoints/durable",         // text to batches; knows no model
		"checkpoints":         "ternary checkpoints/durable", // bytes on disk; knows no graph
		"autograd":            "ternary",                     // the graph; knows no file
		"train":               "ternary data checkpoints autograd",
		"cmd":                 "*", // a front end sees every room
		"scripts":             "",
	}
}

// ternaryFloors orders the packages inside ternary: one may import those of lower floors. spec alone may see f32 on its
// own floor. A package that is not named may import all, and be imported by none that is named.
func ternaryFloors() map[string]int {
	return map[string]int{
		"ternary/f32": 0, "ternary/par": 0, "ternary/spec": 1, "ternary/quant": 2, "ternary/pack": 3,
		"ternary/kernel": 4, "ternary/layer": 5, "ternary/infer": 6,
	}
}

// doors lets each third party in at one place: import prefix -> house. The list is complete: what it lacks is refused.
func doors() map[string]string {
	return map[string]string{
		"gorgonia.org":                       "autograd",    // panics, merges nodes by hash, adds gradients up: one place knows
		"github.com/chewxy/hm":               "autograd",    // types in gorgonia's Op interface
		"go4.org/unsafe/assume-no-moving-gc": "autograd",    // gorgonia does not start without it
		"golang.org/x/sys/cpu":               "ternary",     // detection of instruction sets
		"golang.org/x/sys/unix":              "checkpoints", // files used in place, by mmap
		"github.com/cespare/xxhash":          "checkpoints", // a checksum that is faster than disks
		"github.com/sugarme/tokenizer":       "data/tokenizer",
		"github.com/parquet-go/parquet-go":   "data/corpus",
		"github.com/klauspost/compress":      "data/corpus", // zstd
		"go.yaml.in/yaml":                    "train",
		"gonum.org/v1/plot":                  "train/metrics",
		"google.golang.org/protobuf":         "train/metrics", // the wire format of TensorBoard events
		"github.com/urfave/cli":              "cmd",
		"github.com/guptarohit/asciigraph":   "cmd/mmfree/internal/ui",
		"golang.org/x/term":                  "cmd/mmfree/internal/ui",
		"golang.org/x/text":                  "data/tokenizer", // Unicode normalization
		"github.com/rivo/uniseg":             "data/tokenizer", // graphemes, by which tokenizer.json's Precompiled replaces
	}
}

// testDoors are third parties that any test, and no program, may import.
func testDoors() []string {
	return []string{"pgregory.net/rapid", "github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "github.com/dlclark/regexp2"}
}

// goPackage is what go list says about one package.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func (p *goPackage) folder() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func TestArrows(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages; is this the repository?", len(packages))
	}
	for _, fault := range arrowFaults(packages) {
		t.Error(fault)
	}
}

// Every house of a table exists, so that a renamed folder does not leave its rule behind.
func TestArrowRowsExist(t *testing.T) {
	var rows []string
	for house, seen := range mayImport() {
		rows = append(append(rows, house), strings.Fields(strings.ReplaceAll(seen, "*", ""))...)
	}
	for house := range ternaryFloors() {
		rows = append(rows, house)
	}
	for _, house := range doors() {
		rows = append(rows, house)
	}
	for _, fault := range missingFolders(root(t), rows) {
		t.Error(fault)
	}
	if len(missingFolders(root(t), []string{"ternary/nowhere"})) != 1 {
		t.Error("a folder that is gone was not noticed")
	}
}

func missingFolders(top string, rows []string) []string {
	var faults []string
	for _, row := range rows {
		if info, err := os.Stat(filepath.Join(top, row)); err != nil || !info.IsDir() {
			faults = append(faults, fmt.Sprintf("a table of arrows names %s, which is no folder", row))
		}
	}
	return faults
}

// The rules on samples: each line is a package and one import, and whether the rules refuse it.
func TestArrowRules(t *testing.T) {
	tests := []struct {
		from, to string
		refused  bool
	}{
		{"ternary/spec", "math", false},
		{"ternary/spec", "mmfree/ternary/f32", false},
		{"ternary/f32", "mmfree/ternary/par", false},
		{"ternary/f32", "mmfree/ternary/spec", true},
		{"ternary/pack", "mmfree/ternary/spec", false},
		{"ternary/quant", "mmfree/ternary/pack", true},
		{"ternary/kernel/generic", "mmfree/ternary/kernel", false},
		{"ternary/kernel/generic", "mmfree/ternary/layer", true},
		{"ternary/infer", "mmfree/ternary/layer", false},
		{"ternary/infer", "mmfree/ternary/rtl", true},
		{"ternary/rtl", "mmfree/ternary/infer", false},
		{"ternary/kernel", "golang.org/x/sys/cpu", false},
		{"ternary/kernel", "golang.org/x/sys/unix", true},
		{"ternary/infer", "mmfree/train", true},
		{"ternary/infer", "mmfree/checkpoints/durable", true},
		{"checkpoints", "mmfree/ternary/spec", false},
		{"checkpoints", "mmfree/checkpoints/durable", false},
		{"checkpoints", "mmfree/data", true},
		{"checkpoints/durable", "mmfree/ternary/spec", true},
		{"checkpoints/durable/faults", "mmfree/checkpoints/durable", false},
		{"checkpoints/durable", "mmfree/checkpoints", true},
		{"data/shard", "mmfree/checkpoints/durable", false},
		{"data/shard", "mmfree/checkpoints/packed", true},
		{"data", "mmfree/autograd", true},
		{"autograd", "mmfree/ternary/layer", false},
		{"autograd", "mmfree/checkpoints", true},
		{"autograd/op", "gorgonia.org/gorgonia", false},
		{"train", "gorgonia.org/gorgonia", true},
		{"train", "gorgonia.org/tensor", true},
		{"train/eval", "mmfree/autograd", false},
		{"train", "mmfree/cmd/mmfree", true},
		{"train", "go.yaml.in/yaml/v3", false},
		{"cmd/mmfree", "go.yaml.in/yaml/v3", true},
		{"train", "github.com/urfave/cli/v2", true},
		{"cmd/mmfree", "github.com/urfave/cli/v2", false},
		{"cmd/mmfree", "mmfree/train", false},
		{"cmd/mmfree", "github.com/guptarohit/asciigraph", true},
		{"cmd/mmfree/internal/ui", "github.com/guptarohit/asciigraph", false},
		{"data/corpus", "github.com/sugarme/tokenizer", true},
		{"data/tokenizer", "github.com/sugarme/tokenizer/pretrained", false},
		{"train", "example.org/new", true},
		{"train", "pgregory.net/rapid", true},
		{"nowhere", "fmt", true},
	}
	for _, tt := range tests {
		p := goPackage{ImportPath: module + "/" + tt.from, Imports: []string{tt.to}}
		if got := arrowFaults([]goPackage{p}); (len(got) > 0) != tt.refused {
			t.Errorf("%s -> %s: faults %q, want refused = %t", tt.from, tt.to, got, tt.refused)
		}
	}
	test := goPackage{ImportPath: module + "/train", XTestImports: []string{"pgregory.net/rapid"}}
	if got := arrowFaults([]goPackage{test}); len(got) > 0 {
		t.Errorf("rapid in a test: %q", got)
	}
	test.TestImports = []string{"mmfree/cmd/mmfree", "example.org/new"}
	if got := arrowFaults([]goPackage{test}); len(got) != 2 {
		t.Errorf("two wrong imports of a test gave %q", got)
	}
}

// arrowFaults judges every import of every package.
func arrowFaults(packages []goPackage) []string {
	var faults []string
	for i := range packages {
		p := &packages[i]
		if house(p.folder()) == "" {
			faults = append(faults, fmt.Sprintf("%s stands in no house: the rooms are fixed", p.ImportPath))
		}
		for _, path := range p.Imports {
			if why := refused(p.folder(), path, false); why != "" {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", p.ImportPath, path, why))
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if why := refused(p.folder(), path, true); why != "" {
				faults = append(faults, fmt.Sprintf("a test of %s imports %s: %s", p.ImportPath, path, why))
			}
		}
	}
	return faults
}

// refused says why the package in folder may not import path, or "".
func refused(folder, path string, test bool) string {
	if target, ours := strings.CutPrefix(path, module+"/"); ours {
		return refusedOurs(folder, target, test)
	}
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	if test && slices.ContainsFunc(testDoors(), func(door string) bool { return within(path, door) }) {
		return ""
	}
	for door, at := range doors() {
		if within(path, door) {
			if within(folder, at) {
				return ""
			}
			return "only " + at + " may"
		}
	}
	return "no door is open for this third party"
}

func refusedOurs(folder, target string, test bool) string {
	from, to := house(folder), house(target)
	if from != to && mayImport()[from] != "*" &&
		!slices.ContainsFunc(strings.Fields(mayImport()[from]), func(seen string) bool { return within(target, seen) }) {
		return fmt.Sprintf("%s may see: %q", from, mayImport()[from])
	}
	if from != "ternary" || test { // a test may use goldentest, or a higher floor that checks this one
		return ""
	}
	mine, named := floor(folder)
	theirs, known := floor(target)
	if named && (!known || theirs > mine) {
		return "inside ternary the order is f32 par < spec < quant < pack < kernel < layer < infer"
	}
	return ""
}

// floor returns the floor of a package inside ternary and whether the table names it.
func floor(folder string) (int, bool) {
	for row, n := range ternaryFloors() {
		if within(folder, row) {
			return n, true
		}
	}
	return 0, false
}

// house returns the longest row of mayImport that holds the folder.
func house(folder string) string {
	best := ""
	for row := range mayImport() {
		if within(folder, row) && len(row) > len(best) {
			best = row
		}
	}
	return best
}

// within tells whether path is prefix or lies below it. A major version suffix, yaml/v3, lies below.
func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// root returns the repository's top folder: two above this one.
func root(t *testing.T) string {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return top
}
