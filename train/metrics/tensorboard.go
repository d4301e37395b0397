package metrics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"mmfree/checkpoints/durable"
)

// Board writes a run's curves for TensorBoard: an event file of TFRecords, each an Event message with scalar summaries
// (tensorflow/core/util/event.proto; only the few fields that scalars need are written).
type Board struct {
	log     *durable.Log
	record  []byte
	event   []byte
	summary []byte
	value   []byte
}

// Field numbers of the messages.
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	eventSessionLog  = 7
	sessionLogStatus = 1
	sessionLogStart  = 1
	summaryValue     = 1
	valueTag         = 1
	valueSimple      = 2
)

// NewBoard starts an event file in dir, which is made if it is missing. A run that goes on behind step > 0 gets a file of
// its own, which tells TensorBoard to forget what earlier files say of later steps.
func NewBoard(fsys durable.FS, dir string, step int64, now time.Time) (*Board, error) {
	if err := durable.MkdirAll(fsys, dir); err != nil {
		return nil, err
	}
	path := ""
	for n := 0; ; n++ { // several starts within a second
		path = filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.%d", now.Unix(), n))
		if _, err := fsys.Stat(path); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	log, err := durable.OpenLog(fsys, path)
	if err != nil {
		return nil, err
	}
	b := &Board{log: log}
	b.begin(now, 0)
	b.event = protowire.AppendTag(b.event, eventFileVersion, protowire.BytesType)
	b.event = protowire.AppendString(b.event, "brain.Event:2")
	err = b.write()
	if step > 0 && err == nil {
		b.begin(now, step+1)
		log := protowire.AppendVarint(protowire.AppendTag(nil, sessionLogStatus, protowire.VarintType), sessionLogStart)
		b.event = protowire.AppendTag(b.event, eventSessionLog, protowire.BytesType)
		b.event = protowire.AppendBytes(b.event, log)
		err = b.write()
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return b, nil
}

// Append writes a line's scalars, which on an error are kept for the next time. Values that are not finite are left out.
func (b *Board) Append(l Line, now time.Time) error {
	b.summary = b.summary[:0]
	b.scalar("loss/train", l.Loss)
	b.scalar("learning_rate", l.LR)
	b.scalar("gradient_norm", l.GradNorm)
	b.scalar("tokens_per_second", l.TokensPerSecond)
	if l.Evaluated {
		b.scalar("loss/validation", l.ValLoss)
		b.scalar("bits_per_byte/validation", l.ValBitsPerByte)
	}
	if l.TeacherLoss != 0 {
		b.scalar("loss/teacher", float64(l.TeacherLoss))
	}
	if h := l.Health; h != nil {
		b.scalar("ternary/flips", float64(h.Flips))
		b.scalar("ternary/dead_rows", float64(h.DeadRows))
		b.scalar("ternary/clipped", float64(h.Clipped))
		b.scalar("ternary/lambda_weights", float64(h.LambdaWeights))
		b.scalar("ternary/lambda_activations", float64(h.LambdaActivations))
	}
	b.begin(now, l.Step)
	b.event = protowire.AppendTag(b.event, eventSummary, protowire.BytesType)
	b.event = protowire.AppendBytes(b.event, b.summary)
	return b.write()
}

// Close closes the file.
func (b *Board) Close() error { return b.log.Close() }

func (b *Board) begin(now time.Time, step int64) {
	b.event = protowire.AppendTag(b.event[:0], eventWallTime, protowire.Fixed64Type)
	b.event = protowire.AppendFixed64(b.event, math.Float64bits(float64(now.UnixNano())/1e9))
	b.event = protowire.AppendTag(b.event, eventStep, protowire.VarintType)
	b.event = protowire.AppendVarint(b.event, uint64(step))
}

func (b *Board) scalar(tag string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	b.value = protowire.AppendTag(b.value[:0], valueTag, protowire.BytesType)
	b.value = protowire.AppendString(b.value, tag)
	b.value = protowire.AppendTag(b.value, valueSimple, protowire.Fixed32Type)
	b.value = protowire.AppendFixed32(b.value, math.Float32bits(float32(v)))
	b.summary = protowire.AppendTag(b.summary, summaryValue, protowire.BytesType)
	b.summary = protowire.AppendBytes(b.summary, b.value)
}

// write appends the event as a TFRecord: length, its checksum, data, its checksum.
func (b *Board) write() error {
	b.record = binary.LittleEndian.AppendUint64(b.record[:0], uint64(len(b.event)))
	b.record = binary.LittleEndian.AppendUint32(b.record, maskedCRC(b.record))
	b.record = append(b.record, b.event...)
	b.record = binary.LittleEndian.AppendUint32(b.record, maskedCRC(b.event))
	return b.log.Append(b.record)
}

// maskedCRC is CRC-32C, rotated and shifted so that a checksum of data that holds checksums stays strong (TFRecord).
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (crc>>15 | crc<<17) + 0xa282ead8
}
