package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// startFlush asks the kernel to begin bringing part of a file to the disk. It promises nothing, so nothing is checked: Sync
// does both.
func startFlush(f *os.File, offset, length int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
}
