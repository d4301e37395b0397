// Package durable writes files and folders so that they appear whole or not at all, even when the process is killed or
// the power fails: temporary name, write, fsync, rename, fsync of the folder.
//
// FS is the file system as the writers see it; OS is the real one, and the package faults has one that fails on
// request. Ways back: Map, a file used in place; ReadBounded, a small file; Open, what may be a pipe and is read once. May not
// enter: any file format, any package of this module. Start at write.go.
package durable
