//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreWriteSignals makes failed writes errors: a closed stdout shows as EPIPE, which is success, and a limit on file
// size as EFBIG, where the default of both is death.
func ignoreWriteSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }
