package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/train"
)

// arrange turns a command line into one that urfave/cli reads, which stops at the first argument: flags first, then --,
// then arguments. It also resolves the verb ("help VERB" means "VERB --help"), refuses unknown verbs and flags with the
// nearest one as hint, and spreads "--corpus a b" to one flag a value. The verb is returned for messages, also with an
// error.
func arrange(app *cli.App, args []string) (verb string, ordered []string, err error) {
	ordered = []string{app.Name}
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	if len(args) == 0 || slices.Contains([]string{"--help", "-h", "--version", "-v"}, args[0]) {
		return "", append(ordered, args...), nil
	}
	if strings.HasPrefix(args[0], "-") {
		return args[0], nil, &usageError{problem: "no such flag before the verb", fix: "write mmfree VERB [arguments] [flags]"}
	}
	commands := app.Commands
	var command *cli.Command
	for len(args) > 0 && len(commands) > 0 && !strings.HasPrefix(args[0], "-") {
		command = find(commands, args[0])
		if command == nil {
			name := strings.Join(append(slices.Clone(ordered[1:]), args[0]), " ")
			return name, nil, unknownVerb(commands, args[0])
		}
		ordered = append(ordered, command.Name)
		commands, args = command.Subcommands, args[1:]
	}
	verb = strings.Join(ordered[1:], " ")
	flags, arguments, err := split(command.Flags, args)
	if err != nil {
		return verb, nil, err
	}
	if len(commands) > 0 && !slices.Contains(flags, "--help") {
		return verb, nil, &usageError{problem: "a verb of it is missing", fix: "the verbs are " + strings.Join(verbNames(commands), ", ")}
	}
	ordered = append(ordered, flags...)
	if len(arguments) > 0 {
		ordered = append(append(ordered, "--"), arguments...)
	}
	return verb, ordered, nil
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func verbNames(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return names
}

func unknownVerb(commands []*cli.Command, name string) error {
	fix := "the verbs are " + strings.Join(verbNames(commands), ", ")
	if near := train.Nearest(name, verbNames(commands)); near != "" {
		fix = fmt.Sprintf("did you mean %s? mmfree --help lists the verbs", near)
	}
	return &usageError{problem: "no such verb", fix: fix}
}

// split sorts a verb's command line into flags, each with its value, and arguments.
func split(defined []cli.Flag, args []string) (flags, arguments []string, err error) {
	for len(args) > 0 {
		token := args[0]
		args = args[1:]
		if token == "--" {
			return flags, append(arguments, args...), nil
		}
		if !strings.HasPrefix(token, "-") || token == "-" {
			arguments = append(arguments, token)
			continue
		}
		name, _, assigned := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(token, "-"), "-"), "=")
		if name == "help" || name == "h" {
			return []string{"--help"}, nil, nil // whatever else stands there
		}
		flag := findFlag(defined, name)
		if flag == nil {
			return nil, nil, unknownFlag(defined, token)
		}
		if _, ok := flag.(*cli.BoolFlag); ok || assigned {
			flags = append(flags, "--"+strings.TrimLeft(token, "-"))
			continue
		}
		if len(args) == 0 {
			return nil, nil, &usageError{problem: fmt.Sprintf("--%s needs a value", name), fix: "write --" + name + " VALUE"}
		}
		value := args[0]
		args = args[1:]
		if slice, ok := flag.(*cli.StringSliceFlag); ok {
			if strings.HasPrefix(value, "--") {
				return nil, nil, &usageError{problem: fmt.Sprintf("--%s needs a value, not %s", name, value), fix: "write --" + name + " VALUE"}
			}
			for ; len(args) > 0 && belongs(slice, args[0]); args = args[1:] {
				flags = append(flags, "--"+name+"="+value)
				value = args[0]
			}
		}
		flags = append(flags, "--"+name+"="+value)
	}
	return flags, arguments, nil
}

// belongs tells whether token is one more value of a flag that takes several: any word for a list of files, KEY=VALUE
// for other lists.
func belongs(flag *cli.StringSliceFlag, token string) bool {
	return !strings.HasPrefix(token, "-") && (flag.TakesFile || strings.Contains(token, "="))
}

func findFlag(defined []cli.Flag, name string) cli.Flag {
	for _, f := range defined {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func unknownFlag(defined []cli.Flag, token string) error {
	token, _, _ = strings.Cut(token, "=")
	names := []string{"--help"}
	for _, f := range defined {
		names = append(names, "--"+f.Names()[0])
	}
	fix := "the flags are " + strings.Join(names, ", ")
	if near := train.Nearest(token, names); near != "" {
		fix = fmt.Sprintf("did you mean %s?", near)
	}
	return &usageError{problem: "no such flag: " + token, fix: fix}
}

// arguments returns the command line's arguments, at least atLeast and at most len(names) of them; names are those of
// the usage line.
func arguments(c *cli.Context, atLeast int, names ...string) ([]string, error) {
	args := c.Args().Slice()
	switch {
	case len(args) < atLeast:
		return nil, &usageError{problem: names[len(args)] + " is missing", fix: "usage: " + c.Command.UsageText}
	case len(args) > len(names):
		return nil, &usageError{problem: fmt.Sprintf("unexpected argument %q", args[len(names)]), fix: "usage: " + c.Command.UsageText}
	}
	return args, nil
}
