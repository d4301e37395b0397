// Package faults is a file system for tests that fails when told to: one call or all from there on return an error, a
// write or a read is cut short or damaged in silence, the process "dies", or the power fails and an arbitrary part of what
// was not synced is lost, in any order.
//
// May not enter: anything but tests of packages that write through durable.FS. Start at faults.go.
package faults
