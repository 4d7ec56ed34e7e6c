package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// An interrupt between two boards, of which none failed, is no success.
func TestBuildInterruptedBetweenBoards(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	root := rootCommand(nil, &out, &out)
	root.SetArgs([]string{"build", "qemu-amd64", "alix2d3"})
	if err := root.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("tench build = %v, want context.Canceled:\n%s", err, &out)
	}
}
