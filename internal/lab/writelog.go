package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// WriteLog is everything that a machine did to its disk, in order: the file of
// `tench run --log-writes`. From one run it gives the disk at any moment at which
// the power might have failed.
//
// The format is that of dm-log-writes (Linux,
// Documentation/admin-guide/device-mapper/log-writes.rst), which QEMU's
// blklogwrites writes: little-endian, a superblock in the first sector, then
// entries of one sector with their data behind them.
type WriteLog struct {
	entries []logEntry
}

type logEntry struct {
	offset int64  // bytes from the start of the disk
	data   []byte // nil for a flush
	flags  uint64
}

const (
	logMagic  = 0x6a736677736872
	logSector = 512

	logFlush   = 1 << 0
	logFUA     = 1 << 1 // on the medium when it is done
	logDiscard = 1 << 2
)

// ReadWriteLog reads the log of a machine that has ended.
func ReadWriteLog(path string) (WriteLog, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return WriteLog{}, fmt.Errorf("lab: read write log: %w", err)
	}
	n, err := logCount(data)
	if err != nil {
		return WriteLog{}, err
	}
	var l WriteLog
	at := logSector
	for i := range n {
		if at+logSector > len(data) {
			return WriteLog{}, fmt.Errorf("lab: write log: entry %d of %d is cut short", i, n)
		}
		head := data[at:]
		e := logEntry{offset: int64(binary.LittleEndian.Uint64(head)) * logSector, flags: binary.LittleEndian.Uint64(head[16:])}
		size := int(binary.LittleEndian.Uint64(head[8:])) * logSector
		at += logSector
		switch {
		case e.flags&logDiscard != 0:
			e.data = make([]byte, size)
		case at+size > len(data):
			return WriteLog{}, fmt.Errorf("lab: write log: data of entry %d of %d are cut short", i, n)
		case size > 0:
			e.data = data[at : at+size]
			at += size
		}
		l.entries = append(l.entries, e)
	}
	return l, nil
}

// CountWrites is how many entries the log has by now, of a machine that runs.
func CountWrites(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("lab: read write log: %w", err)
	}
	defer f.Close()
	head := make([]byte, logSector)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, fmt.Errorf("lab: read write log: %w", err)
	}
	return logCount(head)
}

func logCount(head []byte) (int, error) {
	if len(head) < logSector || binary.LittleEndian.Uint64(head) != logMagic || binary.LittleEndian.Uint32(head[24:]) != logSector {
		return 0, errors.New("lab: this is no write log with sectors of 512 bytes")
	}
	return int(binary.LittleEndian.Uint64(head[16:])), nil
}

// Fate is what becomes of writes that no flush came behind.
type Fate string

// The fates. Flush and FUA are kept in all of them but Lie.
const (
	Arrived Fate = "all arrived" // as if QEMU were killed
	Lost    Fate = "unflushed lost"
	Torn    Fate = "unflushed torn"    // each arrives, or not, or some of its sectors
	Lie     Fate = "flushes disobeyed" // a disk that flushes nothing: Torn from the start on
)

// Cut makes disk, which must be as before the run, what it is when the power
// fails after n entries. from is the entry before which even a lying disk has
// everything.
func (l WriteLog) Cut(disk []byte, from, n int, fate Fate, random *rand.Rand) {
	safe := from
	if fate != Lie {
		safe = l.flushed(n)
	}
	for i, e := range l.entries[:n] {
		switch {
		case i < safe || fate == Arrived || fate != Lie && e.flags&logFUA != 0:
			copy(disk[e.offset:], e.data)
		case fate != Lost:
			tear(disk, e, random)
		}
	}
}

// flushed is how many of the first n entries a flush came behind.
func (l WriteLog) flushed(n int) int {
	for ; n > 0; n-- {
		if l.entries[n-1].flags&logFlush != 0 {
			break
		}
	}
	return n
}

// tear writes all of an entry, nothing, or some of its sectors.
func tear(disk []byte, e logEntry, random *rand.Rand) {
	whole := random.IntN(3)
	for at := 0; at < len(e.data); at += logSector {
		if whole == 0 || whole == 1 && random.IntN(2) == 0 {
			copy(disk[e.offset+int64(at):], e.data[at:at+logSector])
		}
	}
}

// Touches reports whether one of the first n entries changed a byte of the disk
// between start and end, which was as in before.
func (l WriteLog) Touches(before []byte, start, end int64, n int) bool {
	for _, e := range l.entries[:n] {
		last := e.offset + int64(len(e.data))
		if e.offset < end && last > start && !bytes.Equal(before[e.offset:last], e.data) {
			return true
		}
	}
	return false
}

// Counts are the writes and the flushes among the entries between two.
func (l WriteLog) Counts(from, to int) (writes, flushes int) {
	for _, e := range l.entries[from:to] {
		if e.data != nil {
			writes++
		}
		if e.flags&logFlush != 0 {
			flushes++
		}
	}
	return writes, flushes
}
