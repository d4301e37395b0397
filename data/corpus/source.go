package corpus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Stdin is the path of standard input.
const Stdin = "-"

// Source is one file of a corpus.
type Source struct {
	Path   string
	Bytes  int64   // as stored; 0 for standard input
	Weight float64 // how often each of its documents comes: see Resolve
	Given  int     // index of the path that stands for it, among those given
	Start  int64   // of its text in a Corpus
}

// Resolve lists the files that paths stand for, in the order given; a path given twice counts twice. A path is a file, a
// folder (the text, JSONL and Parquet files below it in sorted order), a pattern of filepath.Match, or Stdin. An
// ending =W gives the files a weight W, 1 where there is none: each document comes W times; of the fraction of W, those
// documents come once more that their own sums choose.
func Resolve(paths []string) ([]Source, error) {
	if len(paths) == 0 {
		return nil, &Error{Problem: "no text was named", Fix: "pass --corpus FILE, or set data.corpus"}
	}
	var sources []Source
	for g, given := range paths {
		path, weight, err := CutWeight(given)
		if err != nil {
			return nil, err
		}
		found, err := expand(path)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if s.Path == Stdin && weight > 1 {
				return nil, &Error{Path: Stdin, Problem: "standard input cannot be read more than once", Fix: "save it to a file, or give it a weight of at most 1"}
			}
			s.Weight, s.Given = weight, g
			sources = append(sources, s)
		}
	}
	stdin := 0
	for _, s := range sources {
		if s.Path == Stdin {
			stdin++
		}
	}
	if stdin > 1 {
		return nil, &Error{Path: Stdin, Problem: "standard input is named twice", Fix: "name it once"}
	}
	return sources, nil
}

// CutWeight takes PATH=W apart. A path that exists as it stands has no weight.
func CutWeight(given string) (path string, weight float64, err error) {
	at := strings.LastIndexByte(given, '=')
	if at <= 0 {
		return given, 1, nil
	}
	if _, err := os.Lstat(given); err == nil {
		return given, 1, nil
	}
	weight, err = strconv.ParseFloat(given[at+1:], 64)
	if err != nil {
		return given, 1, nil // an = in the name
	}
	if !validWeight(weight) {
		return "", 0, &Error{
			Path: given[:at], Problem: fmt.Sprintf("a weight of %s", given[at+1:]),
			Fix: fmt.Sprintf("choose a number above 0, at most %d", maxWeight),
		}
	}
	return given[:at], weight, nil
}

// expand lists the files that a path stands for, with their sizes.
func expand(path string) ([]Source, error) {
	if path == Stdin {
		return []Source{{Path: Stdin}}, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if strings.ContainsAny(path, "*?[") {
			return match(path)
		}
		return nil, &Error{Path: path, Problem: "no such file or folder", Fix: "check the path given as corpus"}
	case err != nil:
		return nil, unreadable(path, err)
	case info.IsDir():
		return textFiles(path)
	case !info.Mode().IsRegular():
		return nil, &Error{
			Path: path, Problem: "neither a file nor a folder",
			Fix: "save the text to a file first, or pipe it in and name - as corpus",
		}
	}
	return []Source{{Path: path, Bytes: info.Size()}}, nil
}

// match lists the files and folders that a pattern stands for, in sorted order.
func match(pattern string) ([]Source, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, &Error{Path: pattern, Problem: "the pattern is not well formed", Fix: "see to its brackets"}
	}
	var sources []Source
	for _, path := range paths {
		found, err := expand(path)
		if err != nil {
			return nil, err
		}
		sources = append(sources, found...)
	}
	if len(sources) == 0 {
		return nil, &Error{Path: pattern, Problem: "no file matches the pattern", Fix: "check the path given as corpus"}
	}
	return sources, nil
}
