package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"tench/release"
)

// Patch applies a series to tree with GNU patch, without fuzz: a hunk whose
// surroundings differ from what its author saw is an error that names patch,
// file and hunk. Hunks that moved are noted in log. Each patch is tried before
// it is applied, and on an error the ones before it are taken back: the tree
// has all of the series or nothing of it.
func Patch(ctx context.Context, patches []release.Patch, tree string, log io.Writer) error {
	for i, p := range patches {
		err := applyPatch(ctx, p, tree, log)
		if err == nil {
			continue
		}
		// Taking back must not be interrupted by what interrupted the series.
		for j := i - 1; j >= 0; j-- {
			out, undo := gnuPatch(context.WithoutCancel(ctx), patches[j], tree, "--reverse")
			if undo != nil {
				return errors.Join(err, fmt.Errorf("patch %s: take it back: %w: %s\nhint: unpack the source again", patches[j].Name, undo, out))
			}
		}
		return err
	}
	return nil
}

func applyPatch(ctx context.Context, p release.Patch, tree string, log io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	out, err := gnuPatch(ctx, p, tree, "--forward", "--dry-run")
	if err != nil {
		return patchError(p, out, err)
	}
	file := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if name, ok := patched(line); ok {
			file = name
		} else if strings.HasPrefix(line, "Hunk ") && log != nil {
			fmt.Fprintf(log, "patch %s: %s: %s\n", p.Name, file, line)
		}
	}
	// From here to its end a patch is not interrupted: it takes milliseconds.
	if out, err := gnuPatch(context.WithoutCancel(ctx), p, tree, "--forward"); err != nil {
		return patchError(p, out, err)
	}
	if log != nil {
		fmt.Fprintf(log, "patch %s: applied\n", p.Name)
	}
	return nil
}

// gnuPatch runs patch(1) so that it never asks, guesses or leaves files about.
func gnuPatch(ctx context.Context, p release.Patch, tree string, args ...string) ([]byte, error) {
	path, err := filepath.Abs(p.Path)
	if err != nil {
		return nil, err
	}
	args = append([]string{"-p1", "--fuzz=0", "--batch", "--no-backup-if-mismatch", "--reject-file=-",
		"--get=0", "--input=" + path}, args...)
	cmd := exec.CommandContext(ctx, "patch", args...)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	// Its own process group: ctrl-C on the terminal is for us to handle, patch
	// would stop between two files.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.Bytes(), err
}

// patched returns the file that a line of patch's output says is worked on.
func patched(line string) (string, bool) {
	for _, verb := range []string{"checking file ", "patching file "} {
		if name, ok := strings.CutPrefix(line, verb); ok {
			name, _, _ = strings.Cut(name, " (")
			return name, true
		}
	}
	return "", false
}

// patchError puts patch's output in our words.
func patchError(p release.Patch, out []byte, err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("patch %s: %w", p.Name, err)
	}
	if said := strings.TrimSpace(string(out)); strings.Contains(said, "No space left on device") {
		return fmt.Errorf("patch %s: %s: %w", p.Name, said, syscall.ENOSPC)
	}
	var faults []string
	file := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		name, isFile := patched(line)
		switch {
		case isFile:
			file = name
		case strings.Contains(line, "FAILED at"), strings.Contains(line, "previously applied"),
			strings.Contains(line, "hunk ignored"), strings.Contains(line, "hunks ignored"):
			faults = append(faults, strings.TrimSpace(file+": "+line))
		case strings.Contains(line, "can't find file"), strings.Contains(line, "garbage"), strings.HasPrefix(line, "patch: ****"):
			faults = append(faults, line)
		}
	}
	if len(faults) == 0 {
		faults = []string{strings.TrimSpace(string(out))}
	}
	return fmt.Errorf("patch %s: does not apply: %s\nhint: rebase %s on this version of the source", p.Name, strings.Join(faults, "; "), p.Path)
}
