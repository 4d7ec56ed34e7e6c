package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Ctrl-C asks apt-get to end, which has dpkg end what it is in the middle of.
func TestAptGetEndsByItself(t *testing.T) {
	dir := t.TempDir()
	begun, ended := filepath.Join(dir, "begun"), filepath.Join(dir, "ended")
	script := "#!/bin/sh\ntrap 'echo > " + ended + "; exit 100' INT\necho > " + begun + "\nwhile :; do sleep 0.1; done\n"
	apt := filepath.Join(dir, "apt-get")
	if err := os.WriteFile(apt, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if _, err := os.Stat(begun); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if _, err := aptGet(ctx, []string{apt}, "update"); err == nil {
		t.Error("aptGet that was interrupted = nil")
	}
	if _, err := os.Stat(ended); err != nil {
		t.Errorf("apt-get did not end by itself: %v", err)
	}
}
