package ui

import (
	"math"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for in, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 12_345_678: "12.3 MB", 999_949: "999.9 kB", 999_960: "1.0 MB",
		64 << 30: "68.7 GB", math.MaxInt64: "9.2 EB", -1500: "-1.5 kB",
	} {
		if got := Bytes(in); got != want {
			t.Errorf("%d: %s, want %s", in, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0", 7.6: "8", 950: "950", 999.6: "1.0k", 12_345: "12.3k", 374_100_000: "374.1M", 2.7e9: "2.7B", 1e18: "1000000.0T",
		-2500: "-2.5k", math.NaN(): "NaN", math.Inf(1): "+Inf",
	} {
		if got := Count(in); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0:                                     "0.0s",
		420 * time.Millisecond:                "0.4s",
		9949 * time.Millisecond:               "9.9s",
		9960 * time.Millisecond:               "10s",
		59*time.Second + 600*time.Millisecond: "1m00s",
		3*time.Minute + 12*time.Second:        "3m12s",
		59*time.Minute + 59*time.Second + 600*time.Millisecond: "1h00m",
		2*time.Hour + 5*time.Minute:                            "2h05m",
		23*time.Hour + 59*time.Minute + 40*time.Second:         "1d00h",
		76 * time.Hour:      "3d04h",
		-3 * time.Minute:    "-3m00s",
		math.MinInt64:       "-106751d23h",
		time.Duration(1e18): "11574d02h",
	} {
		if got := Duration(in); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}
