// Package faults is a file system for tests that fails when told to: the n-th changing call returns an error, the
// process "dies" there, or the power fails and everything unsynced is lost.
//
// May not enter: anything but tests of packages that write through durable.FS. Start at faults.go.
package faults
