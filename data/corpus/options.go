package corpus

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Policy is what is done where a text is not as a reader would have it.
type Policy string

// Policies. Not every case knows every one: see Options.
const (
	Keep    Policy = "keep"    // as it is, and counted
	Replace Policy = "replace" // mended, and counted
	Skip    Policy = "skip"    // the document (of one longer than PieceBytes: the piece) is left out, and counted
	Fail    Policy = "fail"    // an error that names the place
)

// Formats of files. Auto goes by the name, a .gz or .zst aside: .jsonl and .ndjson, .parquet, and text for all others.
const (
	Auto    = "auto"
	Text    = "text"
	JSONL   = "jsonl"
	Parquet = "parquet"
)

// PieceBytes bounds the text of one Doc. A longer document comes in pieces, cut behind the last line end that leaves a
// piece no longer, else between two characters; where it is cut depends on its text alone.
const PieceBytes = 4 << 20

const (
	maxLine      = 1 << 30
	maxSeparator = 4096
)

// Options says how files become documents.
type Options struct {
	Format    string // Auto, Text, JSONL or Parquet; gzip and zstd are seen in the bytes, whatever the name
	Field     string // of a JSONL object, that holds the text
	Column    string // of a Parquet file, that holds the text; a.b is b in group a
	Separator string // between the documents of a text file, and part of none; empty: a file is one document
	MaxLine   int    // bytes of a JSONL line

	InvalidUTF8 Policy // bytes that are not UTF-8, in text; Replace: U+FFFD for each maximal part of a character (Unicode 3.9)
	NUL         Policy // characters of value 0; Replace: U+FFFD
	CRLF        Policy // Replace: a line feed alone
	BOM         Policy // the mark EF BB BF at the start of a file; Replace: without it
	BadLine     Policy // Skip or Fail: JSONL lines and Parquet rows without a text
	GiantLine   Policy // Skip or Fail: JSONL lines above MaxLine
	Empty       Policy // Skip or Fail: files and documents without a byte
}

// DefaultOptions keeps every character of the text, and mends what is none.
func DefaultOptions() Options {
	return Options{
		Format: Auto, Field: "text", Column: "text", MaxLine: 64 << 20,
		InvalidUTF8: Replace, NUL: Keep, CRLF: Keep, BOM: Replace, BadLine: Skip, GiantLine: Skip, Empty: Skip,
	}
}

// Case is a way for a text not to be as a reader would have it.
type Case int

// The cases, in the order of a report.
const (
	CaseInvalidUTF8 Case = iota
	CaseNUL
	CaseCRLF
	CaseBOM
	CaseBadLine
	CaseGiantLine
	CaseEmpty
	cases
)

// Cases returns all of them.
func Cases() []Case {
	all := make([]Case, cases)
	for c := range all {
		all[c] = Case(c)
	}
	return all
}

// String returns the case's name, which is its key in a report and a configuration.
func (c Case) String() string {
	return [...]string{"invalid_utf8", "nul", "crlf", "bom", "bad_line", "giant_line", "empty"}[c]
}

// About says in some words what the case is.
func (c Case) About() string {
	return [...]string{
		"bytes that are not UTF-8 (replace: U+FFFD)", "NUL characters (replace: U+FFFD)", "lines that end in CRLF (replace: LF)",
		"a byte order mark (replace: without it)", "JSONL lines and Parquet rows without a text", "JSONL lines that are too long",
		"empty files and documents",
	}[c]
}

// Policy returns what is done in a case.
func (o *Options) Policy(c Case) Policy { return *o.policy(c) }

// SetPolicy says what is done in a case. Validate judges it.
func (o *Options) SetPolicy(c Case, p Policy) { *o.policy(c) = p }

func (o *Options) policy(c Case) *Policy {
	return [...]*Policy{&o.InvalidUTF8, &o.NUL, &o.CRLF, &o.BOM, &o.BadLine, &o.GiantLine, &o.Empty}[c]
}

// Policies returns those that a case knows.
func (c Case) Policies() []Policy {
	if c >= CaseBadLine {
		return []Policy{Skip, Fail}
	}
	return []Policy{Keep, Replace, Skip, Fail}
}

// Validate names the first impossible value.
func (o *Options) Validate() error {
	bad := func(name, problem, fix string) error {
		return &Error{Problem: fmt.Sprintf("%s %s", name, problem), Fix: fix}
	}
	if !slices.Contains([]string{Auto, Text, JSONL, Parquet}, o.Format) {
		return bad("format", fmt.Sprintf("%q is not known", o.Format), "choose auto, text, jsonl or parquet")
	}
	if o.Field == "" || o.Column == "" {
		return bad("field or column", "is empty", "name what holds the text")
	}
	if len(o.Separator) > maxSeparator {
		return bad("separator", fmt.Sprintf("has %d bytes", len(o.Separator)), fmt.Sprintf("use at most %d", maxSeparator))
	}
	if o.MaxLine < 2 || o.MaxLine > maxLine {
		return bad("longest line", fmt.Sprintf("of %d bytes", o.MaxLine), fmt.Sprintf("choose 2 to %d", maxLine))
	}
	for c := range cases {
		if p := o.Policy(c); !slices.Contains(c.Policies(), p) {
			return bad(c.String(), fmt.Sprintf("policy %q is not known", p), "choose "+list(c.Policies()))
		}
	}
	return nil
}

func list(policies []Policy) string {
	words := make([]string, len(policies))
	for i, p := range policies {
		words[i] = string(p)
	}
	return strings.Join(words, ", ")
}

// Report counts what a Reader met on a path's first reading.
type Report struct {
	Files     int64   `json:"files"`
	Documents int64   `json:"documents"`     // given out
	Bytes     int64   `json:"text_bytes"`    // of their text, as given out
	Skipped   int64   `json:"skipped"`       // documents, lines and files left out, all cases together
	Cases     []Count `json:"cases"`         // one for each case, met or not
	Blank     int64   `json:"blank_lines"`   // of JSONL files: no fault, and no document
	Repeated  int64   `json:"repeat_passes"` // readings of files beyond the first, for weights above 1
}

// Count is how often a case was met, and what was done.
type Count struct {
	Case   string `json:"case"`
	Policy Policy `json:"policy"`
	Places int64  `json:"places"` // characters, lines or files
	Docs   int64  `json:"documents"`
}

func newReport(o *Options) Report {
	var r Report
	for c := range cases {
		r.Cases = append(r.Cases, Count{Case: c.String(), Policy: o.Policy(c)})
	}
	return r
}

// maxWeight bounds how often a path may be read.
const maxWeight = 1000

func validWeight(w float64) bool { return w > 0 && w <= maxWeight && !math.IsNaN(w) }
