package main

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"
)

// Groups of flags in help.
const (
	groupOutput  = "Output"
	groupMachine = "Machine"
)

// The flags that verbs share are defined here, once. A list of files is a StringSliceFlag with TakesFile, which takes
// several values at a time.

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print exactly one JSON object on stdout", Category: groupOutput, DisableDefaultText: true}
}

func forceFlag() cli.Flag {
	return &cli.BoolFlag{Name: "force", Usage: "replace what already exists", Category: groupOutput, DisableDefaultText: true}
}

func seedFlag() cli.Flag {
	return &cli.Uint64Flag{Name: "seed", Value: 1, Usage: "whole `N` that all randomness follows from", Category: groupMachine}
}

func threadsFlag() cli.Flag {
	return &cli.IntFlag{Name: "threads", Usage: "use `N` threads; every N gives the same bits", DefaultText: "every core", Category: groupMachine}
}

// maxThreads refuses a number that can only be a slip.
const maxThreads = 4096

// threads returns what --threads asks for: by default every core that the process may use.
func threads(c *cli.Context) (int, error) {
	if !c.IsSet("threads") {
		return runtime.GOMAXPROCS(0), nil
	}
	n := c.Int("threads")
	if n < 1 || n > maxThreads {
		return 0, &usageError{problem: fmt.Sprintf("--threads is %d", n), fix: fmt.Sprintf("choose from 1 to %d", maxThreads)}
	}
	return n, nil
}
