package repro

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"mmfree/checkpoints/durable"
)

// write saves the report, in JSON and for people.
func (r *Report) write() error {
	return errors.Join(
		writeJSON(filepath.Join(r.Dir, reportJSON), r),
		durable.WriteFile(durable.OS{}, filepath.Join(r.Dir, ReportFile), r.markdown))
}

// writeRules states what will count as what, before anything has run.
func writeRules(path string) error {
	return durable.WriteFile(durable.OS{}, path, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		fmt.Fprintf(b, "# Claims and rules\n\nWritten before the first run. %s\n", noise)
		for _, e := range Experiments() {
			fmt.Fprintf(b, "\n## %s. %s\n\n- Claim: %s\n- Rule: %s\n", e.ID, e.Title, e.Claim, e.Rule)
		}
		return b.Flush()
	})
}

// noise is what every rule means by a difference.
const noise = "A difference of losses counts only beyond twice the pooled standard error of its means over seeds; the standard deviation of " +
	"losses over seeds is taken for at least 0.01 nats, and for 0.02 where there is one seed."

func (r *Report) markdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# The paper's claims in miniature\n\n")
	fmt.Fprintf(b, "Budget %s, text %s (SHA-256 %.12s…), seeds from %d; %s, %d cores, %d threads, kernels %s; %s in all.\n",
		r.Budget, r.CorpusName, r.CorpusSHA256, r.Seed, r.CPU, r.Cores, r.Threads, r.ISA, duration(r.Seconds))
	fmt.Fprintf(b, "Rules were stated in [%s](%s) before the first run. %s\n", RulesFile, RulesFile, noise)
	fmt.Fprintf(b, "Every run's configuration, metrics and seed lie in `%s/`. Losses are nats a token on the held-out tenth of the text.\n\n", runsFolder)
	fmt.Fprintf(b, "| | experiment | verdict | because | took |\n|---|---|---|---|---|\n")
	for _, t := range r.Tables {
		fmt.Fprintf(b, "| [%s](#%s) | %s | **%s** | %s | %s |\n", t.ID, strings.ToLower(t.ID), cell(t.Title), t.Verdict, cell(t.Because), duration(t.Seconds))
	}
	for i := range r.Tables {
		r.Tables[i].markdown(b)
	}
	return b.Flush()
}

func (t *Table) markdown(b *bufio.Writer) {
	fmt.Fprintf(b, "\n<a id=\"%s\"></a>\n## %s. %s\n\n", strings.ToLower(t.ID), t.ID, t.Title)
	fmt.Fprintf(b, "Claim: %s\n\nRule: %s\n\nVerdict: **%s**: %s\n\n", t.Claim, t.Rule, t.Verdict, t.Because)
	fmt.Fprintf(b, "| setting | metric | paper | ours | ± | seeds | unit |\n|---|---|---|---|---|---|---|\n")
	for _, row := range t.Rows {
		seeds := ""
		if row.Seeds > 0 {
			seeds = fmt.Sprint(row.Seeds)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n",
			cell(row.Setting), cell(row.Metric), row.Paper, row.Ours, row.Spread, seeds, cell(row.Unit))
	}
	for _, name := range t.Plots {
		fmt.Fprintf(b, "\n![%s](%s)\n", cell(t.Title), name)
	}
	for i, note := range t.Notes {
		if i == 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintf(b, "- %s\n", note)
	}
	if len(t.Runs) > 0 {
		fmt.Fprintf(b, "\n<details><summary>%d runs</summary>\n\n", len(t.Runs))
		for _, run := range t.Runs {
			fmt.Fprintf(b, "- `%s`\n", run)
		}
		fmt.Fprintf(b, "\n</details>\n")
	}
}

// cell keeps a text inside its cell of a table.
func cell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ") }

// String writes a figure with four digits, or nothing where there is none.
func (n Number) String() string {
	x := float64(n)
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return ""
	case a != 0 && (a < 1e-3 || a >= 1e7):
		return fmt.Sprintf("%.3g", x)
	case a >= 1000:
		return fmt.Sprintf("%.0f", x)
	case a >= 100:
		return fmt.Sprintf("%.1f", x)
	case a >= 10:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.4f", x)
}

func duration(seconds float64) string {
	switch {
	case seconds < 100:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 100*60:
		return fmt.Sprintf("%.0f min", seconds/60)
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}
