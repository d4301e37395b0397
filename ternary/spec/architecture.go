package spec

import "strings"

// architecture is one row of the table of architectures: all that the specification of a model's family states. Adding
// one means adding a row here and a block (docs/ARCHITECTURES.md); nothing that walks configurations or tensors changes.
type architecture struct {
	name             string // Config.Arch
	modelType, class string // config.json: model_type, and the one entry of architectures
	embeddings       string // name of the embedding table

	// read sets what absent fields of config.json mean, over Default.
	read func(c *Config)
	// fields lists the keys of config.json with the fields of c that they stand for, beside those of every architecture.
	fields func(c *Config) []jsonField
	// resolve fills in, before c is written, what readers of config.json want spelled out; nil: nothing.
	resolve func(c *Config)
	// refuse returns the fault of an option in config.json that the architecture does not define, or nil. It may set fields
	// of c that are nested in others.
	refuse func(c *Config, r *fieldReader) error
	// validate adds the faults of the architecture's own fields.
	validate func(c *Config, v *validator)
	// positions returns the most tokens of a text that a model can look back on; nil: any number.
	positions func(c *Config) int
	// ternaryHead reports whether the head is ternary: a tied one is then packed beside the embeddings it is made from.
	ternaryHead func(c *Config) bool
	// tensors is Tensors of the architecture.
	tensors func(c *Config) []Tensor
}

// architectures is the table, in the order in which they are named to people.
func architectures() []*architecture {
	return []*architecture{matMulFree(), transformer(), bitNet(), rwkv4()}
}

// architecture returns the configuration's row, or nil when Arch names none.
func (c *Config) architecture() *architecture {
	for _, a := range architectures() {
		if a.name == c.Arch {
			return a
		}
	}
	return nil
}

// listed joins one text of each architecture.
func listed(text func(a *architecture) string) string {
	var names []string
	for _, a := range architectures() {
		names = append(names, text(a))
	}
	return strings.Join(names, ", ")
}

// Architectures returns the names that Config.Arch may have.
func Architectures() []string {
	return strings.Split(listed(func(a *architecture) string { return a.name }), ", ")
}

// EmbeddingName returns the name of the embedding table of a valid configuration.
func EmbeddingName(c Config) string { return c.architecture().embeddings }

// MaxPositions returns the most tokens of a text that the model can look back on, or 0 when there is no limit. c is valid.
func (c *Config) MaxPositions() int {
	if a := c.architecture(); a.positions != nil {
		return a.positions(c)
	}
	return 0
}
