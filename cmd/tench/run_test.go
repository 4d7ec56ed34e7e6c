package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/boards"
	"tench/release"
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
	b, image := boardWithoutQEMU(t), filepath.Join(dir, "image")
	if err := os.WriteFile(image, []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := runQEMU(ctx, io.Discard, b, runOptions{products: filepath.Join(dir, "out", b.Name), image: image, firmware: "bios"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("runQEMU = %v, want context.Canceled", err)
	}
}

func TestRunOfWhatWasNotBuilt(t *testing.T) {
	o := runOptions{products: t.TempDir(), release: release.Release{Name: "2026.12"}}
	err := runQEMU(t.Context(), io.Discard, boardWithoutQEMU(t), o)
	if want := "hint: tench image qemu-amd64 --release 2026.12 builds it"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("runQEMU = %v, want an error that ends with %q", err, want)
	}
}

// boardWithoutQEMU is the default board. Its QEMU, which would take the place of
// the test, is a program that fails.
func boardWithoutQEMU(t *testing.T) boards.Board {
	t.Helper()
	b, err := boards.Load("../../boards", defaultBoard)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "qemu-system-"+b.QEMU.System), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	return b
}

// A network with a forwarded port is given to one card: QEMU forwards it once.
func TestRunGivesTheLANToOnePort(t *testing.T) {
	b, err := boards.Load("../../boards", "alix2d3") // which has three
	if err != nil {
		t.Fatal(err)
	}
	args, err := netArgs(b, runOptions{lan: "user,hostfwd=tcp:127.0.0.1:2222-:22"})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(args, " ")
	if strings.Count(text, "hostfwd=") != 1 || !strings.Contains(text, "hostfwd=tcp:127.0.0.1:2222-:22,id=port1") {
		t.Errorf("QEMU is given %s", text)
	}
}

// The hint looks at what this board calls for.
func TestRunWithoutQEMU(t *testing.T) {
	b := boardWithoutQEMU(t)
	t.Setenv("PATH", t.TempDir())
	err := runQEMU(t.Context(), io.Discard, b, runOptions{products: t.TempDir()})
	if want := "hint: tench doctor qemu-amd64 --for run"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("runQEMU = %v, want an error that ends with %q", err, want)
	}
}
