package faults

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// disk is what of a folder would outlast a power cut, beside what processes see of it. It holds the files' bytes: tests
// are small.
type disk struct {
	root string // everything above it is not ours
	top  *node
	ops  []op // changes of names that are not durable yet, oldest first
}

// node is a file or a folder.
type node struct {
	seen, kept map[string]*node // a folder's names: as processes see them, and as they are on the disk; nil for a file
	safe       []byte           // a file's synced bytes
	writes     [][]byte         // those written behind them since, in order
}

// op is one change of names, done as a whole or not at all.
type op []change

type change struct {
	dir  *node
	name string
	to   *node // nil: the name is gone
}

// newDisk takes everything below the deepest folder that exists above path as durable.
func newDisk(path string) *disk {
	root := filepath.Dir(filepath.Clean(path))
	for {
		if info, err := os.Stat(root); err == nil && info.IsDir() {
			return &disk{root: root, top: read(root)}
		}
		root = filepath.Dir(root)
	}
}

func read(path string) *node {
	entries, err := os.ReadDir(path)
	if err != nil { // a file, or gone since
		b, _ := os.ReadFile(path)
		return &node{safe: b}
	}
	n := newFolder()
	for _, e := range entries {
		child := read(filepath.Join(path, e.Name()))
		n.seen[e.Name()], n.kept[e.Name()] = child, child
	}
	return n
}

func newFolder() *node { return &node{seen: map[string]*node{}, kept: map[string]*node{}} }

// at returns the folder that holds path, nil for what lies outside, and the name in it.
func (d *disk) at(path string) (dir *node, name string) {
	rel, err := filepath.Rel(d.root, filepath.Clean(path))
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return nil, ""
	}
	dir = d.top
	parts := strings.Split(rel, string(filepath.Separator))
	for _, p := range parts[:len(parts)-1] {
		if dir = dir.seen[p]; dir == nil {
			return nil, ""
		}
	}
	return dir, parts[len(parts)-1]
}

func (d *disk) do(o op) {
	for _, c := range o {
		set(c.dir.seen, c)
	}
	d.ops = append(d.ops, o)
}

func set(names map[string]*node, c change) {
	if c.to == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.to
	}
}

func (d *disk) open(path string) *node {
	dir, name := d.at(path)
	if dir == nil {
		return &node{}
	}
	if dir.seen[name] == nil {
		d.do(op{{dir, name, &node{}}})
	}
	return dir.seen[name]
}

func (d *disk) rename(old, new string) {
	from, a := d.at(old)
	to, b := d.at(new)
	if from != nil && to != nil {
		d.do(op{{from, a, nil}, {to, b, from.seen[a]}})
	}
}

func (d *disk) remove(path string) {
	dir, name := d.at(path)
	if dir == nil || dir.seen[name] == nil {
		return
	}
	for _, child := range slices.Sorted(maps.Keys(dir.seen[name].seen)) {
		d.remove(filepath.Join(path, child))
	}
	d.do(op{{dir, name, nil}})
}

func (d *disk) mkdir(path string) {
	if path = filepath.Clean(path); path == d.root {
		return
	}
	if dir, _ := d.at(path); dir == nil && len(path) > len(d.root) {
		d.mkdir(filepath.Dir(path))
	}
	if dir, name := d.at(path); dir != nil && dir.seen[name] == nil {
		d.do(op{{dir, name, newFolder()}})
	}
}

// syncDir makes the changes that touch a folder durable, in their order.
func (d *disk) syncDir(path string) {
	folder := d.top
	if filepath.Clean(path) != d.root {
		dir, name := d.at(path)
		if dir == nil {
			return // outside
		}
		folder = dir.seen[name]
	}
	var left []op
	for _, o := range d.ops {
		touches := false
		for _, c := range o {
			touches = touches || c.dir == folder
		}
		if !touches {
			left = append(left, o)
			continue
		}
		for _, c := range o {
			set(c.dir.kept, c)
		}
	}
	d.ops = left
}

func (n *node) write(p []byte) { n.writes = append(n.writes, append([]byte(nil), p...)) }

func (n *node) sync() {
	for _, w := range n.writes {
		n.safe = append(n.safe, w...)
	}
	n.writes = nil
}

// lose writes to the real disk what may be left: without rng none of the unsynced names and half of the unsynced bytes.
func (d *disk) lose(rng *rand.Rand) error {
	for _, o := range d.ops {
		if rng != nil && rng.IntN(2) == 0 {
			for _, c := range o {
				set(c.dir.kept, c)
			}
		}
	}
	return d.top.settle(d.root, rng)
}

// settle makes what lies at path, which is what processes saw, into what is left of it.
func (n *node) settle(path string, rng *rand.Rand) error {
	if n.kept == nil {
		if len(n.writes) == 0 {
			return nil
		}
		return n.leave(path, rng)
	}
	all := maps.Clone(n.kept)
	maps.Copy(all, n.seen)
	for _, name := range slices.Sorted(maps.Keys(all)) { // in order, so that a seed always decides the same
		at := filepath.Join(path, name)
		saw, left := n.seen[name], n.kept[name]
		var err error
		if saw != nil && saw != left {
			err = os.RemoveAll(at)
		}
		switch {
		case err != nil || left == nil:
		case saw == left:
			err = left.settle(at, rng)
		default:
			err = left.leave(at, rng)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leave writes what is left to a path that is free, or over the file as it was seen.
func (n *node) leave(path string, rng *rand.Rand) error {
	if n.kept == nil {
		return os.WriteFile(path, n.remains(rng), 0o644)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(n.kept)) {
		if err := n.kept[name].leave(filepath.Join(path, name), rng); err != nil {
			return err
		}
	}
	return nil
}

// remains are the bytes of a file after a power cut.
func (n *node) remains(rng *rand.Rand) []byte {
	if len(n.writes) == 0 {
		return n.safe
	}
	b := append([]byte(nil), n.safe...)
	end := len(b)
	for _, w := range n.writes {
		b = append(b, w...)
	}
	if rng == nil {
		return b[:len(b)/2]
	}
	at := end
	for _, w := range n.writes {
		arrived := 0
		switch rng.IntN(3) {
		case 1:
			arrived = len(w)
		case 2:
			arrived = rng.IntN(len(w) + 1)
		}
		clear(b[at+arrived : at+len(w)])
		if arrived > 0 {
			end = at + arrived
		}
		at += len(w)
	}
	if rng.IntN(4) == 0 {
		end = at // the length arrived, the bytes did not
	}
	return b[:end]
}
