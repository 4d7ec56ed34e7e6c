package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tench/boards"
)

// A second run of the board leaves the disk of the first as it is.
func TestRunTwiceAtOnce(t *testing.T) {
	dir := t.TempDir()
	image, other, run := filepath.Join(dir, "image"), filepath.Join(dir, "other"), filepath.Join(dir, "run")
	for path, text := range map[string]string{image: "first", other: "second"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := runDisk(image, run, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{image, other} {
		if _, err := runDisk(again, run, true); !errors.Is(err, errRuns) {
			t.Errorf("runDisk(%s) while the board runs: %v, want %v", filepath.Base(again), err, errRuns)
		}
	}
	if got, err := os.ReadFile(disk); err != nil || string(got) != "first" {
		t.Errorf("the disk holds %q, %v, want what the first run put there", got, err)
	}
}

// Ctrl-C while the image is copied is not forgotten by the time QEMU starts.
func TestRunInterrupted(t *testing.T) {
	dir := t.TempDir()
	b, err := boards.Load("../../boards", defaultBoard)
	if err != nil {
		t.Fatal(err)
	}
	// It would take the place of the test.
	qemu, image := filepath.Join(dir, "qemu-system-"+b.QEMU.System), filepath.Join(dir, "image")
	if err := errors.Join(os.WriteFile(qemu, []byte("#!/bin/sh\nexit 1\n"), 0o755), os.WriteFile(image, []byte("image"), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = runQEMU(ctx, io.Discard, b, runOptions{products: filepath.Join(dir, "out", b.Name), image: image, firmware: "bios"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("runQEMU = %v, want context.Canceled", err)
	}
}
