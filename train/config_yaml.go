package train

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"mmfree/checkpoints/durable"
)

// maxConfigBytes bounds a configuration file: read no further, parse nothing longer.
const maxConfigBytes = 1 << 20

// maxFaults ends the reading of a file that is no configuration at all.
const maxFaults = 20

// ReadConfig reads the YAML file at path over Default. Errors are those of ParseConfig, and a *ConfigError for a file
// that cannot be read. The values are not validated.
func ReadConfig(path string) (Config, error) {
	fault := func(problem, fix string) error { return &ConfigError{File: path, Problem: problem, Fix: fix} }
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fault("no such file", "check the path; mmfree recipes lists the built-in configurations")
	}
	if err != nil {
		return Config{}, fault(durable.Cause(err).Error(), "check that the file can be read")
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return Config{}, fault(durable.Cause(err).Error(), "name a YAML file")
	}
	return ParseConfig(path, text)
}

// ParseConfig reads YAML over Default; name stands for the text in errors. It is strict: an unknown or repeated key, a
// value of another type, an anchor, an alias, a tag or a second document is a fault. All faults that can be told are
// returned (errors.Join of *ConfigError, each with its line). The values are not validated.
func ParseConfig(name string, text []byte) (Config, error) {
	c := Default()
	if len(text) > maxConfigBytes {
		return c, &ConfigError{
			File: name, Problem: fmt.Sprintf("is longer than %d bytes", maxConfigBytes),
			Fix: "a configuration is a page of YAML: is this the right file?",
		}
	}
	r := reader{file: name, sections: table(&c), seen: map[string]int{}}
	// Nodes, not values: an alias is then never expanded, so that a bomb costs its own few bytes.
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF): // nothing but comments: all defaults
		return c, nil
	case err != nil:
		return c, r.syntax(err)
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return c, r.syntax(err)
		}
		r.bad(&second, "", "a second document begins here", "keep one document in the file")
		return c, errors.Join(r.faults...)
	}
	r.root(doc.Content[0])
	c.settle(r.seen)
	return c, errors.Join(r.faults...)
}

// reader walks one document.
type reader struct {
	file     string
	sections []section
	seen     map[string]int // key -> line
	faults   []error
}

func (r *reader) bad(n *yaml.Node, key, problem, fix string) {
	r.faults = append(r.faults, &ConfigError{File: r.file, Line: n.Line, Key: key, Problem: problem, Fix: fix})
}

// yamlLine finds the line in the YAML package's messages: "yaml: line 3: did not find …".
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?((?s:.*))$`)

func (r *reader) syntax(err error) error {
	e := &ConfigError{File: r.file, Problem: "is not YAML: " + err.Error(), Fix: "mend the syntax; mmfree recipes quickstart prints an example"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Problem = "is not YAML: " + m[2]
	}
	return e
}

func (r *reader) root(n *yaml.Node) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.bad(n, "", "is "+describe(n)+", not a configuration", "write parts and keys, as mmfree recipes quickstart prints them")
		return
	}
	for i := 0; i+1 < len(n.Content) && len(r.faults) < maxFaults; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		s := r.section(key.Value)
		switch {
		case !r.plainKey(key):
		case s == nil && value.Kind == yaml.MappingNode:
			r.unknownPart(key)
		case s == nil:
			r.unknown(key, key.Value)
		case r.repeated(key, key.Value) || isNull(value):
		case !isPlain(value) || value.Kind != yaml.MappingNode:
			r.bad(value, s.name, "is "+describe(value)+", not a part with keys", "write its keys below it, indented")
		default:
			r.part(s, value)
		}
	}
}

func (r *reader) section(name string) *section {
	for i := range r.sections {
		if r.sections[i].name == name {
			return &r.sections[i]
		}
	}
	return nil
}

func (r *reader) part(s *section, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content) && len(r.faults) < maxFaults; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !r.plainKey(key) {
			continue
		}
		name := s.name + "." + key.Value
		f := lookup(r.sections, name)
		switch {
		case f == nil:
			r.unknown(key, name)
		case !r.repeated(key, name):
			if err := f.setNode(value); err != nil {
				err.File = r.file
				r.faults = append(r.faults, err)
			}
		}
	}
}

func (r *reader) plainKey(key *yaml.Node) bool {
	if key.Kind != yaml.ScalarNode || !isPlain(key) {
		r.bad(key, "", "a key is "+describe(key), "write keys as plain words")
		return false
	}
	return true
}

func (r *reader) repeated(key *yaml.Node, name string) bool {
	if line, ok := r.seen[name]; ok {
		r.bad(key, name, fmt.Sprintf("stands here and on line %d", line), "keep one of them")
		return true
	}
	r.seen[name] = key.Line
	return false
}

func (r *reader) unknown(key *yaml.Node, name string) {
	e := unknownKey(r.sections, shorten(name))
	e.File, e.Line = r.file, key.Line
	r.faults = append(r.faults, e)
}

func (r *reader) unknownPart(key *yaml.Node) {
	names := make([]string, len(r.sections))
	for i, s := range r.sections {
		names[i] = s.name
	}
	fix := "the parts are " + strings.Join(names, ", ")
	if near := Nearest(key.Value, names); near != "" {
		fix = "did you mean " + near + "?"
	}
	r.bad(key, shorten(key.Value), "no such key", fix)
}

// setNode gives the row a YAML value; the fault, if any, has the value's line.
func (f *field) setNode(n *yaml.Node) *ConfigError {
	wrong := func(at *yaml.Node, want string) *ConfigError {
		return &ConfigError{Line: at.Line, Key: f.key(), Problem: "is " + describe(at) + ", not " + want, Fix: f.name + ": " + f.help}
	}
	kind := f.value.Kind()
	switch {
	case !isPlain(n):
		return wrong(n, "a plain value")
	case kind == reflect.Slice && n.Kind == yaml.SequenceNode:
		var list []string // [] and an absent key are the same nil
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || !isPlain(item) || isNull(item) {
				return wrong(item, "a path")
			}
			list = append(list, item.Value)
		}
		f.value.Set(reflect.ValueOf(list))
		return nil
	case n.Kind != yaml.ScalarNode:
		return wrong(n, typeName(kind))
	case isNull(n):
		if kind != reflect.Pointer {
			return wrong(n, typeName(kind))
		}
		f.value.SetZero()
		return nil
	case kind != reflect.String && kind != reflect.Slice && n.Style != 0:
		return wrong(n, typeName(kind))
	}
	if err := f.setText(n.Value); err != nil {
		err.Line = n.Line
		return err
	}
	return nil
}

// isPlain refuses what a configuration has no use for and an attacker has: anchors, aliases, explicit tags.
func isPlain(n *yaml.Node) bool {
	return n.Kind != yaml.AliasNode && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.ShortTag() == "!!null"
}

func typeName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint64:
		return "a whole number"
	case reflect.Pointer:
		return "a whole number or null"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a path or a list of paths"
	}
	return "a text"
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode:
		return "an alias (*)"
	case n.Anchor != "":
		return "an anchor (&)"
	case n.Style&yaml.TaggedStyle != 0:
		return "a tagged value (!)"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	case n.Style != 0:
		return fmt.Sprintf("the text %q", shorten(n.Value))
	}
	return fmt.Sprintf("%q", shorten(n.Value))
}

// commentColumn is where help begins in config.yaml, wide enough for most values.
const commentColumn = 34

// YAML returns the whole configuration, every key with its help as comment; ParseConfig of it gives c again.
func (c *Config) YAML() []byte {
	var b bytes.Buffer
	b.WriteString("# The whole configuration of a run. To repeat the run: mmfree train config.yaml\n")
	copied := *c // table hands out settable fields
	for _, s := range table(&copied) {
		fmt.Fprintf(&b, "\n%s: # %s\n", s.name, s.help)
		for _, f := range s.fields {
			fmt.Fprintf(&b, "%-*s # %s\n", commentColumn, "  "+f.name+": "+f.text(), f.help)
		}
	}
	return b.Bytes()
}

// Changes returns the keys whose values are not Default's, a line each: what a run does, the same whatever keys are added later
// and however they are explained.
func (c *Config) Changes() []byte {
	var b bytes.Buffer
	copied, standard := *c, Default() // table hands out settable fields
	usual := table(&standard)
	for i, s := range table(&copied) {
		for j, f := range s.fields {
			if text := f.text(); text != usual[i].fields[j].text() {
				fmt.Fprintf(&b, "%s: %s\n", f.key(), text)
			}
		}
	}
	return b.Bytes()
}

// text spells the row's value in YAML, on one line.
func (f *field) text() string {
	switch v := f.value.Interface().(type) {
	case string:
		return quote(v)
	case []string:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = quote(s)
		}
		return "[" + strings.Join(list, ", ") + "]"
	case float64:
		return strings.Replace(strconv.FormatFloat(v, 'g', -1, 64), "e-0", "e-", 1)
	case *int:
		if v == nil {
			return "null"
		}
		return strconv.Itoa(*v)
	default: // bool, int, uint64
		return fmt.Sprint(v)
	}
}

// plainText matches what YAML takes for a text without quotes, wherever it stands, of those worth leaving bare.
var plainText = regexp.MustCompile(`^[A-Za-z0-9_./-]*[A-Za-z_/][A-Za-z0-9_./-]*$`)

// quote spells s so that YAML reads the same text. Words that YAML takes for something else are quoted.
func quote(s string) string {
	n := yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if plainText.MatchString(s) && n.ShortTag() == "!!str" && s[0] != '-' && s[0] != '.' {
		return s
	}
	// The double-quoted style escapes everything that is not printable, and the emitter does not fold lines.
	n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	text, err := yaml.Marshal(&n)
	if err != nil { // the emitter has no fault for a scalar; Validate refuses what is not UTF-8
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(string(text), "\n")
}
