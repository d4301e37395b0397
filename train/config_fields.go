package train

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field is one key of a configuration: a row of the table that strict YAML, --set and config.yaml's comments share.
type field struct {
	section, name string // "train", "lr"
	help          string
	value         reflect.Value // settable; bool, int, uint64, float64, string, []string or *int
}

func (f *field) key() string { return f.section + "." + f.name }

// section is one part of a configuration with its rows, in the order of the struct.
type section struct {
	name, help string
	fields     []field
}

// table lists every key of c in struct order; setting a row's value sets c.
func table(c *Config) []section {
	var list []section
	root := reflect.ValueOf(c).Elem()
	for i := range root.NumField() {
		tag := root.Type().Field(i).Tag
		s := section{name: tag.Get("yaml"), help: tag.Get("help")}
		part := root.Field(i)
		for j := range part.NumField() {
			tag := part.Type().Field(j).Tag
			name, _, _ := strings.Cut(tag.Get("yaml"), ",")
			if name == "-" {
				continue
			}
			s.fields = append(s.fields, field{section: s.name, name: name, help: tag.Get("help"), value: part.Field(j)})
		}
		list = append(list, s)
	}
	return list
}

// lookup returns the row of a dotted key, or nil.
func lookup(sections []section, key string) *field {
	for i := range sections {
		for j := range sections[i].fields {
			if f := &sections[i].fields[j]; f.key() == key {
				return f
			}
		}
	}
	return nil
}

// unknownKey is the fault of a key that no row has.
func unknownKey(sections []section, key string) *ConfigError {
	e := &ConfigError{Key: key, Problem: "no such key"}
	var keys []string
	_, name, dotted := strings.Cut(key, ".")
	if !dotted {
		name = key
	}
	for _, s := range sections {
		for _, f := range s.fields {
			if f.name == name { // the right name in the wrong part
				e.Fix = fmt.Sprintf("did you mean %s?", f.key())
				return e
			}
			keys = append(keys, f.key())
		}
	}
	if near := Nearest(key, keys); near != "" {
		e.Fix = fmt.Sprintf("did you mean %s?", near)
		return e
	}
	part, _, _ := strings.Cut(key, ".")
	for _, s := range sections {
		if s.name == part && dotted {
			names := make([]string, len(s.fields))
			for i, f := range s.fields {
				names[i] = f.name
			}
			e.Fix = fmt.Sprintf("the keys of %s are %s", s.name, strings.Join(names, ", "))
			return e
		}
	}
	e.Fix = "the parts are model, data, train, quant, finetune, distill and sample; a key is written train.lr"
	return e
}

// setText gives the row the value that text spells. Whole numbers are decimal; NaN and Inf are refused.
func (f *field) setText(text string) *ConfigError {
	wrong := func(want string) *ConfigError {
		return &ConfigError{Key: f.key(), Problem: fmt.Sprintf("%q is not %s", shorten(text), want), Fix: f.name + ": " + f.help}
	}
	switch f.value.Kind() {
	case reflect.String:
		f.value.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return wrong("true or false")
		}
		f.value.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, strconv.IntSize)
		if err != nil {
			return wrong("a whole number")
		}
		f.value.SetInt(n)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return wrong("a whole number from 0 to 18446744073709551615")
		}
		f.value.SetUint(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return wrong("a number")
		}
		f.value.SetFloat(x)
	case reflect.Pointer: // *int; null unsets
		if text == "null" || text == "" {
			f.value.SetZero()
			return nil
		}
		n, err := strconv.ParseInt(text, 10, strconv.IntSize)
		if err != nil {
			return wrong("a whole number or null")
		}
		v := int(n)
		f.value.Set(reflect.ValueOf(&v))
	case reflect.Slice: // []string of one entry; setNode reads longer lists
		f.value.Set(reflect.ValueOf([]string{text}))
	default:
		return &ConfigError{Key: f.key(), Problem: "has a type that no text can set", Fix: "this is a bug of mmfree"}
	}
	return nil
}

// shorten keeps an error line readable whatever the value was.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// Set applies assignments KEY=VALUE, later ones over earlier ones, as one layer: where it sets one of train.steps and
// train.minutes, the other is cleared, unless it sets both; where it sets another tokenizer than bpe, data.vocab_size is. Strings are taken as they stand; a list is one value or
// [a, b]. All faults are returned (errors.Join of *ConfigError), and then c holds the assignments that were right.
func (c *Config) Set(assignments ...string) error {
	sections := table(c)
	seen := map[string]int{}
	var faults []error
	for _, a := range assignments {
		key, text, ok := strings.Cut(a, "=")
		key = strings.TrimSpace(key)
		f := lookup(sections, key)
		switch {
		case !ok:
			faults = append(faults, &ConfigError{Problem: fmt.Sprintf("%q assigns nothing", shorten(a)), Fix: "write KEY=VALUE, as in train.lr=0.002"})
		case f == nil:
			faults = append(faults, unknownKey(sections, key))
		default:
			seen[key] = 0
			if err := f.setAssigned(text); err != nil {
				faults = append(faults, err)
			}
		}
	}
	c.settle(seen)
	return errors.Join(faults...)
}

// setAssigned is setText, but for a list in brackets.
func (f *field) setAssigned(text string) error {
	if f.value.Kind() == reflect.Slice && strings.HasPrefix(strings.TrimSpace(text), "[") {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) != 1 {
			return &ConfigError{Key: f.key(), Problem: fmt.Sprintf("%q is not a list", shorten(text)), Fix: "write [a, b]"}
		}
		if err := f.setNode(doc.Content[0]); err != nil {
			err.Line = 0 // of the assignment, which has only one
			return err
		}
		return nil
	}
	if f.value.Kind() != reflect.String && f.value.Kind() != reflect.Slice {
		text = strings.TrimSpace(text)
	}
	if err := f.setText(text); err != nil {
		return err
	}
	return nil
}

// settle clears what a lower layer said where this one says otherwise with another key: of the run's length, and of the size
// of a vocabulary that this layer's tokenizer does not learn. seen holds the keys that this layer set.
func (c *Config) settle(seen map[string]int) {
	_, steps := seen["train.steps"]
	_, minutes := seen["train.minutes"]
	switch {
	case steps && !minutes && c.Train.Steps != 0:
		c.Train.Minutes = 0
	case minutes && !steps && c.Train.Minutes != 0:
		c.Train.Steps = 0
	}
	_, tokenizer := seen["data.tokenizer"]
	_, size := seen["data.vocab_size"]
	if tokenizer && !size && c.Data.Tokenizer != TokenizerBPE {
		c.Data.VocabSize = 0
	}
}

// Nearest returns the word of words with the smallest edit distance to word, or "" when none is near: at most a third
// of its letters, and at least two, may differ. Of equals the first wins.
func Nearest(word string, words []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, w := range words {
		// The distance is at least the difference of the lengths; most of a long list falls here.
		if diff := len(w) - len(word); diff >= bestDistance || -diff >= bestDistance {
			continue
		}
		if d := editDistance(word, w); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	return best
}

// editDistance counts insertions, deletions and replacements of bytes, two rows of the usual table at a time.
func editDistance(a, b string) int {
	above := make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	row := make([]int, len(b)+1)
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j]+cost, above[j+1]+1, row[j]+1)
		}
		above, row = row, above
	}
	return above[len(b)]
}
