package lab

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// logFile writes a log: each entry is where it goes (sector), what, and its flags.
func logFile(t *testing.T, entries ...logEntry) string {
	t.Helper()
	sector := func(values ...uint64) []byte {
		b := make([]byte, logSector)
		for i, v := range values {
			binary.LittleEndian.PutUint64(b[8*i:], v)
		}
		return b
	}
	data := sector(logMagic, 1, uint64(len(entries)), logSector)
	for _, e := range entries {
		data = append(data, sector(uint64(e.offset), uint64(len(e.data)/logSector), e.flags)...)
		if e.flags&logDiscard == 0 {
			data = append(data, e.data...)
		}
	}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func sectors(text string) []byte {
	var b []byte
	for _, r := range []byte(text) {
		b = append(b, bytes.Repeat([]byte{r}, logSector)...)
	}
	return b
}

// letters shows a disk as a letter for each sector.
func letters(disk []byte) string {
	var s strings.Builder
	for at := 0; at < len(disk); at += logSector {
		s.WriteByte(disk[at])
	}
	return s.String()
}

func TestWriteLogCut(t *testing.T) {
	path := logFile(t,
		logEntry{0, sectors("AB"), 0},
		logEntry{0, nil, logFlush},
		logEntry{2, sectors("C"), logFUA},
		logEntry{3, sectors("DEF"), 0},
		logEntry{1, sectors("-"), logDiscard},
	)
	if n, err := CountWrites(path); n != 5 || err != nil {
		t.Errorf("CountWrites = %d, %v; want 5", n, err)
	}
	l, err := ReadWriteLog(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := func(n int, fate Fate, seed uint64) string {
		disk := sectors("......")
		l.Cut(disk, 0, n, fate, rand.New(rand.NewPCG(seed, 0)))
		return letters(disk)
	}
	for _, tc := range []struct {
		n    int
		fate Fate
		want string
	}{
		{0, Arrived, "......"},
		{1, Arrived, "AB...."},
		{1, Lost, "......"},
		{2, Lost, "AB...."},
		{4, Arrived, "ABCDEF"},
		{4, Lost, "ABC..."},
		{5, Arrived, "A\x00CDEF"},
	} {
		if got := cut(tc.n, tc.fate, 0); got != tc.want {
			t.Errorf("after %d entries, %s: %q; want %q", tc.n, tc.fate, got, tc.want)
		}
	}
	// Torn keeps what was flushed, and each sector of the rest is old or new.
	seen := map[string]bool{}
	for seed := range uint64(200) {
		seen[cut(4, Torn, seed)] = true
	}
	want := map[string]bool{}
	for bits := range 8 {
		s := []byte("ABCDEF")
		for i := range 3 {
			if bits>>i&1 == 0 {
				s[3+i] = '.'
			}
		}
		want[string(s)] = true
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("disks after 4 entries, torn (-want +got):\n%s", diff)
	}
	lost := false
	for seed := range uint64(50) {
		lost = lost || strings.HasPrefix(cut(4, Lie, seed), ".")
	}
	if !lost {
		t.Error("a disk that obeys no flush never lost what was flushed")
	}
	disk := sectors("......")
	if !l.Touches(disk, 0, 2*logSector, 1) || l.Touches(disk, 3*logSector, 6*logSector, 3) {
		t.Error("Touches: entry 0 writes sectors 0 and 1, and nothing writes sector 3 before entry 3")
	}
	if w, f := l.Counts(0, 5); w != 4 || f != 1 {
		t.Errorf("Counts = %d writes, %d flushes; want 4 and 1", w, f)
	}
}

func TestWriteLogThatIsNone(t *testing.T) {
	path := logFile(t, logEntry{0, sectors("ABC"), 0})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"empty": nil, "garbage": sectors("x"), "cut short": whole[:3*logSector]} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadWriteLog(path); err == nil {
			t.Errorf("%s: read as a log", name)
		}
	}
}
