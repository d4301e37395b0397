// Package cmd is the room of programs; mmfree is the only one. Flags come in, one call goes into a room below, results
// go out: no arithmetic lives here, and nothing outside prints or chooses an exit code. Nothing imports it.
package cmd
