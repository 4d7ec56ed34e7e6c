// Package crash keeps why the box crashed: what the kernel left in a place that
// outlives the reset is carried to the data partition at the next boot.
//
//	crash.go   Collect, Last: pstore to data:/state/crash
//	reason.go  the line of a kernel's last words that says why
//
// The place is what pstore(5) finds: memory that a warm reset does not clear
// (ramoops), or the variables of UEFI firmware. It is small, and a record stays
// in it until it is removed, so that it must be emptied for the next crash.
package crash

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tench/supervisor/system"
)

// Pstore is where the kernel shows its records on a box.
const Pstore = "/sys/fs/pstore"

const (
	keep    = 4        // crashes that are kept, the newest
	maxSize = 64 << 10 // bytes of each; a kernel's last words are its most telling
	suffix  = ".txt"
)

// Record is a crash that was kept. The zero value is none.
type Record struct {
	Number int    // from 1; a later one has a larger one
	Reason string // one line, e.g. "Kernel panic - not syncing: Fatal exception"
	Path   string // the file: the reason, then the records
}

// Collect moves what is in the folder pstore into a new file of the folder dir,
// and returns it. There is nothing to keep of a boot that ended in order; its
// records are only removed. They are removed last: a power cut leaves them, or
// a second copy.
func Collect(pstore, dir string) (Record, error) {
	names, text, err := read(pstore)
	if err != nil || len(names) == 0 {
		return Record{}, err
	}
	var r Record
	if reason := reason(text); reason != "" {
		if r, err = add(dir, reason, text); err != nil {
			return Record{}, err
		}
	}
	for _, name := range names {
		if rerr := os.Remove(filepath.Join(pstore, name)); rerr != nil && err == nil {
			err = fmt.Errorf("crash: clear pstore: %w", rerr)
		}
	}
	return r, err
}

// read returns the names of all records and their text, oldest part first. A
// kernel without pstore has no such folder.
func read(pstore string) (names []string, text string, err error) {
	entries, err := os.ReadDir(pstore)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("crash: list pstore: %w", err)
	}
	var parts []part
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(pstore, e.Name()))
		if err != nil {
			return nil, "", fmt.Errorf("crash: read pstore: %w", err)
		}
		names = append(names, e.Name())
		parts = append(parts, newPart(e.Name(), string(data)))
	}
	slices.SortStableFunc(parts, compareParts)
	for _, p := range parts {
		text += "== " + p.name + "\n" + strings.TrimRight(printable(p.text), "\n") + "\n"
	}
	return names, text, nil
}

// add writes a crash to a file of its own, and removes the oldest ones.
func add(dir, reason, text string) (Record, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Record{}, fmt.Errorf("crash: %w", err)
	}
	numbers, err := list(dir)
	if err != nil {
		return Record{}, err
	}
	r := Record{Number: 1, Reason: reason}
	if len(numbers) > 0 {
		r.Number = numbers[len(numbers)-1] + 1
	}
	r.Path = path(dir, r.Number)
	if len(text) > maxSize {
		text = "...\n" + text[len(text)-maxSize:]
	}
	if err := system.WriteSynced(r.Path, []byte(reason+"\n"+text), 0o600); err != nil {
		return Record{}, fmt.Errorf("crash: %w", err)
	}
	for _, old := range numbers[:max(0, len(numbers)+1-keep)] {
		_ = os.Remove(path(dir, old)) // what stays costs some space until the next one
	}
	return r, nil
}

func path(dir string, n int) string { return filepath.Join(dir, strconv.Itoa(n)+suffix) }

// list returns the numbers of the crashes in dir, oldest first.
func list(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("crash: list: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.SortFunc(numbers, cmp.Compare)
	return numbers, nil
}

// Last returns the newest crash in dir and its file's text; a zero Record where
// there was none.
func Last(dir string) (Record, string, error) {
	numbers, err := list(dir)
	if err != nil || len(numbers) == 0 {
		return Record{}, "", err
	}
	r := Record{Number: numbers[len(numbers)-1]}
	r.Path = path(dir, r.Number)
	data, err := os.ReadFile(r.Path)
	if err != nil {
		return Record{}, "", fmt.Errorf("crash: %w", err)
	}
	r.Reason, _, _ = strings.Cut(string(data), "\n")
	return r, string(data), nil
}
