package main

import (
	"github.com/urfave/cli/v2"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/train"
)

// machine returns the kernels that MMFREE_ISA asks for and workers for --threads. The pool is for the verb to close.
func machine(c *cli.Context) (train.Machine, error) {
	n, err := threads(c)
	if err != nil {
		return train.Machine{}, err
	}
	set, err := kernel.Choose()
	if err != nil {
		return train.Machine{}, err
	}
	return train.Machine{Set: set, Pool: par.New(n)}, nil
}
