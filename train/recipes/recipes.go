package recipes

import (
	"embed"
	"fmt"
	"os"
	"strings"

	"mmfree/train"
)

//go:embed *.yaml
var files embed.FS

// Default is the recipe of a training run that names none.
const Default = "quickstart"

// FineTune is the recipe of a run from weights that names none.
const FineTune = "finetune"

// Convert is the recipe of a conversion that names none.
const Convert = "convert"

// ConvertMatMulFree is that of one to matmulfree.
const ConvertMatMulFree = "convert-matmulfree"

// names lists the recipes as people see them: the first one first, its twins of other architectures behind it, then by size.
func names() []string {
	return []string{Default, "tiny", "tiny-transformer", "tiny-bitnet", "char-small", "char-transformer", "char-bitnet", "char-5min", "char-60min", FineTune, Convert, ConvertMatMulFree, "bench-s", "bench-m", "370m", "1.3b", "2.7b"}
}

// Recipe is one built-in configuration: its name, what it is for in one line, and its file.
type Recipe struct {
	Name, About string
	YAML        []byte
	FromModel   bool // it trains on from a model, whose shape counts in place of its own
}

// Config returns the configuration of the recipe: its file over train.Default.
func (r *Recipe) Config() (train.Config, error) { return train.ParseConfig(r.Name+".yaml", r.YAML) }

// List returns every recipe, the default one first.
func List() ([]Recipe, error) {
	var list []Recipe
	for _, name := range names() {
		r, err := read(name)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func read(name string) (Recipe, error) {
	text, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	about, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
	fromModel := name == FineTune || name == Convert || name == ConvertMatMulFree
	return Recipe{Name: name, About: about, YAML: text, FromModel: fromModel}, nil
}

// Get returns the recipe of that name. An unknown name is a *train.ConfigError that suggests the nearest.
func Get(name string) (Recipe, error) {
	for _, n := range names() {
		if n == name {
			return read(name)
		}
	}
	e := &train.ConfigError{Problem: fmt.Sprintf("no recipe %q", name)}
	e.Fix = "the recipes are " + strings.Join(names(), ", ")
	if near := train.Nearest(name, names()); near != "" {
		e.Fix = fmt.Sprintf("did you mean %s?", near)
	}
	return Recipe{}, e
}

// Open returns the configuration that a CONFIG argument means: the recipe of that name, else the YAML file at that path.
// A word that looks like no path and is no recipe gives Get's error. The values are not validated.
func Open(nameOrPath string) (train.Config, error) {
	r, err := Get(nameOrPath)
	if err == nil {
		return r.Config()
	}
	if _, missing := os.Stat(nameOrPath); missing != nil && !strings.ContainsRune(nameOrPath, os.PathSeparator) &&
		!strings.HasSuffix(nameOrPath, ".yaml") && !strings.HasSuffix(nameOrPath, ".yml") {
		return train.Config{}, err
	}
	return train.ReadConfig(nameOrPath)
}
