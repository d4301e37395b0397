package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/ternary/kernel"
	"mmfree/train"
)

// errUnwell is the class of a doctor's findings.
var errUnwell = errors.New("something is wrong")

func doctorVerb() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "look for what commonly goes wrong with a machine, a model, a run or a prepared corpus",
		UsageText:   "mmfree doctor [PATH]",
		Description: "mmfree doctor runs/example",
		Flags:       []cli.Flag{jsonFlag(), threadsFlag()},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 0, "PATH")
			if err != nil {
				return err
			}
			if _, err := threads(c); err != nil {
				return err
			}
			var checks []train.Check
			if len(args) > 0 {
				checks, err = train.Doctor(args[0])
			} else {
				var set *kernel.Set
				if set, err = kernel.Choose(); err == nil {
					checks = train.DoctorMachine(set)
				}
			}
			if err != nil {
				return err
			}
			return printChecks(c, checks)
		},
	}
}

// printChecks prints a line a check, and below one that failed what to do.
func printChecks(c *cli.Context, checks []train.Check) error {
	var rows [][]string
	unwell := &unwellError{}
	for _, check := range checks {
		verdict := "ok"
		if !check.OK {
			verdict = "WRONG"
			unwell.count++
			if unwell.first.Name == "" {
				unwell.first = check
			}
		}
		rows = append(rows, []string{verdict, check.Name, printable(oneLine(check.Detail))})
		if !check.OK {
			rows = append(rows, []string{"", "", "to do: " + printable(oneLine(check.Fix))})
		}
	}
	var err error
	if c.Bool("json") {
		err = printJSON(c.App.Writer, struct {
			Checks []train.Check `json:"checks"`
		}{checks})
	} else {
		err = ui.Table(c.App.Writer, nil, rows)
	}
	if err != nil || unwell.count == 0 {
		return err
	}
	return unwell
}

// unwellError is a doctor's verdict.
type unwellError struct {
	count int
	first train.Check
}

func (e *unwellError) Error() string {
	if e.count == 1 {
		return e.first.Name + ": " + e.first.Detail
	}
	return fmt.Sprintf("%d checks failed, the first: %s: %s", e.count, e.first.Name, e.first.Detail)
}

func (e *unwellError) Unwrap() error { return errUnwell }

func (e *unwellError) Hint() string { return e.first.Fix }
