package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/durable"
)

func main() {
	ignoreWriteSignals()
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop() // asks the verb to save and end
		<-signals
		verb, _, _ := arrange(newApp(io.Discard, io.Discard), os.Args[1:])
		os.Exit(report(os.Stderr, verb, errHurried))
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// verbs lists every verb, in the order that help shows them.
func verbs() []*cli.Command {
	return []*cli.Command{
		trainVerb(), finetuneVerb(), recipesVerb(),
		verifyVerb(), logitsVerb(), generateVerb(), inspectVerb(), exportVerb(), importVerb(),
		tokenizerVerb(), prepareVerb(), evalVerb(), reproVerb(), benchVerb(), doctorVerb(),
	}
}

// run executes one command line and returns the exit code. Nothing is printed and nothing exits below it but through
// stdout, stderr and this code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	out := &outWriter{w: stdout}
	verb := ""
	debug.SetPanicOnFault(true) // a mapped file that is cut short under us
	defer func() {
		if r := recover(); r != nil {
			err := durable.Gone(r)
			if err == nil {
				err = &internalError{cause: fmt.Sprint(r)}
			}
			code = report(stderr, verb, err)
		}
	}()
	app := newApp(out, stderr)
	verb, ordered, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, ordered)
	}
	if gone := durable.Gone(err); gone != nil { // in an op, whose graph made an error of it
		err = gone
	}
	if err == nil {
		err = out.err
	}
	if errors.Is(err, syscall.EPIPE) && out.err != nil {
		return 0 // the reader has what it wanted: mmfree … | head
	}
	return report(stderr, verb, err)
}

func newApp(stdout, stderr io.Writer) *cli.App {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	app := &cli.App{
		Name:    "mmfree",
		Usage:   "trains MatMul-free ternary language models, runs them with additions only, and checks that both agree",
		Version: version, Writer: stdout, ErrWriter: stderr, Commands: verbs(),
		HideHelpCommand: true, CustomAppHelpTemplate: appHelp,
		DisableSliceFlagSeparator: true, // paths and prompts may hold commas
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageFault,
	}
	equip(app.Commands)
	return app
}

// equip gives every verb, and the verbs below it, the shared help and error handling.
func equip(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelpCommand, c.CustomHelpTemplate, c.OnUsageError = true, verbHelp, usageFault
		equip(c.Subcommands)
	}
}

// outWriter remembers the first error of stdout, so that a verb may print without asking and none is lost.
type outWriter struct {
	w   io.Writer
	err error
}

func (o *outWriter) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("writing the result: %w", err)
	}
	return n, o.err
}

// Description holds a verb's example; it works as printed, and a script runs it.
const (
	appHelp = `{{.Usage}}

Usage:
   mmfree VERB [arguments] [flags]

Verbs:{{range .VisibleCommands}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}

Example:
   mmfree recipes

mmfree VERB --help shows a verb's flags.
`
	verbHelp = `{{.HelpName}}: {{.Usage}}

Usage:
   {{.UsageText}}
{{if .Description}}
Example:
   {{.Description}}
{{end}}{{if .Subcommands}}
Verbs:{{range .VisibleCommands}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}
{{end}}{{range .VisibleFlagCategories}}
{{if .Name}}{{.Name}}{{else}}Help{{end}}:{{range .Flags}}
   {{.}}{{end}}
{{end}}`
)
