package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes writes a size with one decimal in powers of 1000: "512 B", "12.3 MB".
func Bytes(n int64) string {
	text, unit := scaled(float64(n), []string{"", "k", "M", "G", "T", "P", "E"})
	return text + " " + unit + "B"
}

// ParseBytes reads a size as Bytes writes it, with or without the space, or as a plain number of bytes: 5GB, 500 MB, 100000.
func ParseBytes(text string) (int64, error) {
	number, unit := strings.TrimSpace(strings.TrimSuffix(strings.ToUpper(text), "B")), 1.0
	for i, prefix := range []string{"K", "M", "G", "T"} {
		if cut, ok := strings.CutSuffix(number, prefix); ok {
			number, unit = strings.TrimSpace(cut), math.Pow(1000, float64(i+1))
		}
	}
	x, err := strconv.ParseFloat(number, 64)
	if err == nil && !(x*unit >= 1 && x*unit < 1<<62) {
		err = strconv.ErrRange
	}
	return int64(x * unit), err
}

// Count writes a number with one decimal in powers of 1000: "950", "12.3k", "374.1M", "2.7B".
func Count(n float64) string {
	text, unit := scaled(n, []string{"", "k", "M", "B", "T"})
	return text + unit
}

// scaled divides x by 1000 until what is printed is below 1000 or the units are used up.
func scaled(x float64, units []string) (text, unit string) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return strconv.FormatFloat(x, 'f', 0, 64), ""
	}
	decimals := 0
	for i, unit := range units {
		text = strconv.FormatFloat(x, 'f', decimals, 64)
		// Judged as printed: 999,960 is "1.0M", not "1000.0k".
		if printed, _ := strconv.ParseFloat(text, 64); printed > -1000 && printed < 1000 || i == len(units)-1 {
			return text, unit
		}
		x, decimals = x/1000, 1
	}
	return text, ""
}

// Duration writes a time in its two largest units: "0.4s", "42s", "3m12s", "2h05m", "3d04h".
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-max(d, -time.Duration(1<<63-1)))
	}
	if d < 9950*time.Millisecond {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	// Rounded to what is shown, so that no 60 appears.
	switch s := int64(d.Round(time.Second) / time.Second); {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	switch m := int64(d.Round(time.Minute) / time.Minute); {
	case m < 24*60:
		return fmt.Sprintf("%dh%02dm", m/60, m%60)
	default:
		h := int64(d.Round(time.Hour) / time.Hour)
		return fmt.Sprintf("%dd%02dh", h/24, h%24)
	}
}

// thousands writes a whole number with separated groups: "12,345".
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
