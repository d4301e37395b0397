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
		value, unit := benchValue(x)
		row := []string{x.Name, x.Shape, value, unit}
		if x.Limit != "" && !math.IsNaN(x.OfLimit) {
			row = append(row, fmt.Sprintf("%.0f%%", 100*x.OfLimit), "of "+x.Limit)
		}
		rows = append(rows, row)
	}
	return ui.Table(w, strings.Fields("WHAT SHAPE VALUE UNIT SHARE LIMIT"), rows)
}

// benchValue writes a figure with as many digits as it is worth.
func benchValue(r bench.Result) (value, unit string) {
	switch v := r.Value; {
	case r.Unit == "bytes":
		value, unit, _ = strings.Cut(ui.Bytes(int64(v)), " ")
		return value, unit
	case r.Unit == "share":
		return fmt.Sprintf("%.1f", 100*v), "%"
	case v >= 100:
		return fmt.Sprintf("%.0f", v), r.Unit
	case v >= 10:
		return fmt.Sprintf("%.1f", v), r.Unit
	}
	return fmt.Sprintf("%.3f", r.Value), r.Unit
}
