package metrics

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"mmfree/checkpoints/durable"
)

// fields takes a message apart: values by field number, in order.
func fields(t *testing.T, message []byte) map[protowire.Number][][]byte {
	t.Helper()
	out := map[protowire.Number][][]byte{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		value := message[:size]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		out[number] = append(out[number], value)
		message = message[size:]
	}
	return out
}

// events reads a file's records and checks their lengths and checksums.
func events(t *testing.T, path string) (list []map[protowire.Number][][]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		n := binary.LittleEndian.Uint64(data)
		if binary.LittleEndian.Uint32(data[8:]) != maskedCRC(data[:8]) {
			t.Fatal("checksum of a length")
		}
		event := data[12 : 12+n]
		if binary.LittleEndian.Uint32(data[12+n:]) != maskedCRC(event) {
			t.Fatal("checksum of an event")
		}
		list = append(list, fields(t, event))
		data = data[16+n:]
	}
	return list
}

func stepOf(t *testing.T, event map[protowire.Number][][]byte) uint64 {
	t.Helper()
	step, n := protowire.ConsumeVarint(event[eventStep][0])
	if n < 0 {
		t.Fatal(protowire.ParseError(n))
	}
	return step
}

func TestBoard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tensorboard")
	now := time.Unix(1_700_000_000, 500_000_000)
	for _, start := range []int64{0, 7} {
		b, err := NewBoard(durable.OS{}, dir, start, now)
		if err != nil {
			t.Fatal(err)
		}
		line := Line{Step: start + 1, Loss: 1.5, LR: 0.25, GradNorm: math.Inf(1), TokensPerSecond: 8, Evaluated: true, ValLoss: 2, ValBitsPerByte: 3}
		if err := b.Append(line, now); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	for i, path := range files {
		list := events(t, path)
		if string(list[0][eventFileVersion][0]) != "brain.Event:2" {
			t.Errorf("%s begins with %q", path, list[0])
		}
		if wall := math.Float64frombits(binary.LittleEndian.Uint64(list[0][eventWallTime][0])); wall != 1_700_000_000.5 {
			t.Errorf("wall time %v", wall)
		}
		if resumed := i == 1; resumed {
			if list[1][eventSessionLog] == nil || stepOf(t, list[1]) != 8 {
				t.Errorf("a resumed run does not say where it starts: %v", list[1])
			}
			list = list[1:]
		}
		if len(list) != 2 || stepOf(t, list[1]) != uint64(1+7*i) {
			t.Fatalf("%s: %d events", path, len(list))
		}
		got := map[string]float32{}
		for _, v := range fields(t, list[1][eventSummary][0])[summaryValue] {
			f := fields(t, v)
			got[string(f[valueTag][0])] = math.Float32frombits(binary.LittleEndian.Uint32(f[valueSimple][0]))
		}
		want := map[string]float32{"loss/train": 1.5, "learning_rate": 0.25, "tokens_per_second": 8, "loss/validation": 2, "bits_per_byte/validation": 3}
		if len(got) != len(want) {
			t.Errorf("scalars %v, want %v", got, want)
		}
		for tag, v := range want {
			if got[tag] != v {
				t.Errorf("%s = %v, want %v", tag, got[tag], v)
			}
		}
	}
}

// TestMaskedCRC: the checksum of nine digits is the one that CRC-32C's authors publish, masked as TFRecord says.
func TestMaskedCRC(t *testing.T) {
	const published = 0xe3069283
	want := uint32(published>>15|published<<17&0xffffffff) + 0xa282ead8
	if got := maskedCRC([]byte("123456789")); got != want {
		t.Errorf("got %#x, want %#x", got, want)
	}
}
