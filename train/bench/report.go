package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
)

// Report is what a benchmark found.
type Report struct {
	Machine Machine  `json:"machine"`
	Results []Result `json:"results"`
}

// Machine is what the figures were taken on: all of its limits are those of the threads that were used, together.
type Machine struct {
	CPU             string  `json:"cpu"`
	ISA             string  `json:"isa"`   // of the kernels
	Cores           int     `json:"cores"` // that the process may use
	Threads         int     `json:"threads"`
	MemoryReadGBs   float64 `json:"memory_read_gb_s"`
	MemoryReadBytes int64   `json:"memory_read_bytes"` // how much memory the reading went through
	CacheReadGBs    float64 `json:"cache_read_gb_s"`   // from second-level caches
	F32GFLOPS       float64 `json:"f32_gflops"`        // of fused multiply-adds
	Probe           string  `json:"probe"`             // instructions that the limits were measured with
}

// Result is one figure.
type Result struct {
	Name    string  `json:"name"`
	Shape   string  `json:"shape"`
	ISA     string  `json:"isa"`
	Threads int     `json:"threads"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	OfLimit float64 `json:"of_limit"` // value as a share of the limit; NaN where there is none
	Limit   string  `json:"limit"`    // which limit; "" where there is none
}

// Setting is what a benchmark runs with.
type Setting struct {
	Set    *kernel.Set
	Pool   *par.Pool
	Budget time.Duration // about how long it may take
	// Start runs the program anew, to decode one token of the packed model at path. nil: how long that takes is not measured.
	Start func(ctx context.Context, path string) error
}

// Limits that results are held against.
const (
	limitMemory  = "memory read"
	limitWeights = "the same read alone" // a model's packed weights, wherever they lie
	limitCache   = "cache read"
	limitFused   = "fma peak"
	limitMatMul  = "MatMul"
	limitGEMMs   = "three GEMMs at fma peak"
)

// ErrMemory is the class of benchmarks that need more memory than is free.
var ErrMemory = errors.New("not enough memory")

func (s *Setting) result(name, shape, unit string, value float64) Result {
	return Result{Name: name, Shape: shape, ISA: s.Set.Name, Threads: s.Pool.Threads(), Value: value, Unit: unit, OfLimit: math.NaN()}
}

// of returns the result with its share of a limit.
func (r Result) of(limit string, share float64) Result {
	r.Limit, r.OfLimit = limit, share
	return r
}

// typical returns the rate that the best tenth of the rounds reached or passed: on a shared machine slower ones tell of
// the neighbours, and the very fastest of a lucky moment. NaN without rounds.
func typical(rates []float64) float64 { return quantile(rates, 9) }

// quantile returns the value that so many tenths of all are below. NaN without any.
func quantile(values []float64, tenths int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)*tenths/10]
}

// median returns the middle one of ratios whose two sides were measured one beside the other. NaN without any.
func median(ratios []float64) float64 { return quantile(ratios, 5) }

// against returns the median of as many pairs' ratios.
func against(rates, others []float64) float64 {
	ratios := make([]float64, len(rates))
	for i, rate := range rates {
		ratios[i] = rate / others[i]
	}
	return median(ratios)
}

// meanRate returns the rate of rounds of the same work, all together: their harmonic mean.
func meanRate(rates ...float64) float64 {
	seconds := 0.0
	for _, rate := range rates {
		seconds += 1 / rate
	}
	return float64(len(rates)) / seconds
}
