package checkpoints_test

import (
	"bufio"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/ternary/spec"
)

// BenchmarkSave saves a checkpoint and, in turns with it, writes as many bytes to one plain file that is synced: of_disk is
// the share of the plain writing's speed that saving reaches, checksums, several files and their syncs included.
func BenchmarkSave(b *testing.B) {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 4096, 512, 6, 1408
	if testing.Short() {
		c.VocabSize, c.HiddenSize, c.NumHiddenLayers = 256, 128, 1
	}
	w, err := spec.NewWeights(c)
	must(b, err)
	w.Init(1)
	m, v := w.Like(), w.Like()
	m.Init(2)
	v.Init(3)
	p := checkpoints.Parts{
		Weights: w, Optimizer: append(checkpoints.Moments("exp_avg", m), checkpoints.Moments("exp_avg_sq", v)...), State: []byte("{}\n"),
	}
	dir := b.TempDir()
	r, err := checkpoints.OpenRun(durable.OS{}, filepath.Join(dir, "run"))
	must(b, err)
	const forever = time.Duration(1<<63 - 1)
	saving, plain := forever, forever // the fastest of each: what else the machine does only ever adds
	b.SetBytes(int64(3 * 4 * len(w.Flat())))
	step := 0
	for b.Loop() {
		step++
		start := time.Now()
		_, err := r.Save(step, p)
		must(b, err)
		saving = min(saving, time.Since(start))
		b.StopTimer()
		must(b, r.Retain(1))
		must(b, durable.OS{}.SyncDir(dir)) // the removal is not to be paid for by the writing that follows
		start = time.Now()
		must(b, writePlain(filepath.Join(dir, "plain"), w.Flat(), m.Flat(), v.Flat()))
		plain = min(plain, time.Since(start))
		must(b, os.Remove(filepath.Join(dir, "plain")))
		must(b, durable.OS{}.SyncDir(dir))
		b.StartTimer()
	}
	size := float64(3 * 4 * len(w.Flat()))
	b.ReportMetric(size/saving.Seconds()/1e6, "best-MB/s")
	b.ReportMetric(size/plain.Seconds()/1e6, "plain-MB/s")
	b.ReportMetric(plain.Seconds()/saving.Seconds(), "of_disk")
}

// writePlain writes values to a file as fast as the system takes them, and brings them to the disk.
func writePlain(path string, values ...[]float32) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	for _, v := range values {
		if _, err := out.Write(unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
