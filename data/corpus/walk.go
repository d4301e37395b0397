package corpus

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// maxFiles bounds the list of files made before reading; at a path of a hundred bytes it is some 130 MB.
const maxFiles = 1_000_000

// textFiles lists the text files below a folder in sorted order: regular files that end in .txt, .text, .md, .jsonl,
// .ndjson or .parquet (in any case, perhaps with .gz or .zst behind), not empty, and neither hidden nor below a hidden
// folder. Other names are left out because a folder of texts often holds pictures, archives or markup beside them;
// whoever wants such a file names it. Links are not followed, so a loop of folders is no danger; the folder itself may be
// a link.
func textFiles(folder string) ([]Source, error) {
	return walk(folder, "no text files (*.txt, *.text, *.md, *.jsonl, *.ndjson, *.parquet) below this folder", func(name string) bool {
		switch extension(name) {
		case ".txt", ".text", ".md", ".jsonl", ".ndjson", ".parquet":
			return true
		}
		return false
	})
}

// walk lists the non-empty regular files below a folder that wanted says yes to, in the sorted order of
// filepath.WalkDir, by names below folder as it was given.
func walk(folder, ifNone string, wanted func(name string) bool) ([]Source, error) {
	root, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, unreadable(folder, err)
	}
	var found []Source
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return unreadable(path, err)
		}
		if path == root {
			return nil
		}
		if strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !wanted(entry.Name()) {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return unreadable(path, err)
		}
		if info.Size() == 0 {
			return nil
		}
		if len(found) == maxFiles {
			return &Error{Path: folder, Problem: "more than a million text files", Fix: "join them into fewer, larger files"}
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return unreadable(path, err)
		}
		found = append(found, Source{Path: filepath.Join(folder, below), Bytes: info.Size()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &Error{Path: folder, Problem: ifNone, Fix: "name a folder that holds some, or the files themselves"}
	}
	return slices.Clip(found), nil
}
