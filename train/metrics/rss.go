package metrics

// PeakRSS returns the most memory, in bytes, that this process has had in RAM so far; 0 where the system does not say.
func PeakRSS() int64 { return peakRSS() }

// CurrentRSS returns the bytes that this process has in RAM now; 0 where the system does not say.
func CurrentRSS() int64 { return currentRSS() }
