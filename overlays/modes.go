package overlays

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// applyModes reads the modes file, which may be missing, and sets the modes of
// entries. Lines are "PATH MODE" with an octal mode, comments after "#", or
// empty. All mistakes are reported together.
func applyModes(file string, entries map[string]Entry) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	seen := map[string]int{}
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		where := fmt.Sprintf("%s:%d", file, i+1)
		if err := applyMode(entries, fields, where); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
			continue
		}
		p := clean(fields[0])
		if seen[p] > 0 {
			errs = append(errs, fmt.Errorf("%s: %s is already in line %d", where, p, seen[p]))
		}
		seen[p] = i + 1
	}
	return errors.Join(errs...)
}

// applyMode carries out one line of a modes file.
func applyMode(entries map[string]Entry, fields []string, where string) error {
	if len(fields) != 2 {
		return fmt.Errorf("%q: a line is PATH MODE, e.g. \"tmp/ 1777\"", strings.Join(fields, " "))
	}
	p := clean(fields[0])
	if p == "" {
		return fmt.Errorf("%q: a path has no leading slash, no \"..\" and no empty parts", fields[0])
	}
	mode, err := parseMode(fields[1])
	if err != nil {
		return err
	}
	e, ok := entries[p]
	wantDir := strings.HasSuffix(fields[0], "/")
	switch {
	case !ok && !wantDir:
		return fmt.Errorf("%s is not in the overlay\nhint: write \"%s/\" for a folder to be made", p, p)
	case !ok:
		e = Entry{Path: p, Mode: fs.ModeDir, From: where}
		withParents(entries, p, where)
	case e.Mode.IsDir() != wantDir:
		return fmt.Errorf("%s: a path ends in \"/\" when it is a folder, and only then", fields[0])
	case e.Mode.Type() == fs.ModeSymlink:
		return fmt.Errorf("%s: a symbolic link has no mode of its own", p)
	}
	e.Mode = e.Mode.Type() | mode
	entries[p] = e
	return nil
}

// parseMode reads an octal mode of three or four digits: permissions and the
// sticky bit. No program of the box runs setuid.
func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || len(s) < 3 || len(s) > 4 || n&^0o1777 != 0 || n == 0 {
		return 0, fmt.Errorf("mode %q: a mode is octal, 001 to 1777, without setuid and setgid", s)
	}
	mode := fs.FileMode(n & 0o777)
	if n&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode, nil
}
