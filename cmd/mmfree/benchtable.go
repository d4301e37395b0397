package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/train/bench"
)

// printBench prints the machine's limits and the figures for people.
func printBench(w io.Writer, r *bench.Report) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, kernels %s, %d threads\nlimits: memory read %.1f GB/s, cache read %.0f GB/s, fused multiply-add %.0f GFLOP/s\n\n",
		m.CPU, m.Cores, m.ISA, m.Threads, m.MemoryReadGBs, m.CacheReadGBs, m.F32GFLOPS)
	var rows [][]string
	for _, x := range r.Results {
		row := []string{x.Name, x.Shape, benchValue(x), x.Unit}
		if x.Limit != "" && !math.IsNaN(x.OfLimit) {
			row = append(row, fmt.Sprintf("%.0f%%", 100*x.OfLimit), "of "+x.Limit)
		}
		rows = append(rows, row)
	}
	return ui.Table(w, strings.Fields("WHAT SHAPE VALUE UNIT SHARE LIMIT"), rows)
}

// benchValue writes a figure with as many digits as it is worth.
func benchValue(r bench.Result) string {
	switch {
	case r.Value >= 1000:
		return ui.Count(r.Value)
	case r.Value >= 100:
		return fmt.Sprintf("%.0f", r.Value)
	case r.Value >= 10:
		return fmt.Sprintf("%.1f", r.Value)
	}
	return fmt.Sprintf("%.3f", r.Value)
}
