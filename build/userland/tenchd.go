package userland

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"tench/boards"
)

// tenchdFlags switch inlining off, but for the packages that work through every
// byte: tenchd gets 6 % smaller, which is less to load and to unpack in each
// boot, and starts no slower.
var tenchdFlags = []string{"-gcflags=all=-l", "-gcflags=runtime/...=", "-gcflags=crypto/...=",
	"-gcflags=golang.org/x/crypto/...=", "-gcflags=github.com/klauspost/compress/...="}

// tenchdPackage is the main package of the box, below the project's root.
const tenchdPackage = "cmd/tenchd"

// Tenchd builds cmd/tenchd of the module in root for the board and returns the
// path of the program, o.Out/tenchd.
func Tenchd(ctx context.Context, b boards.Board, root string, o Options) (string, error) {
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return "", fmt.Errorf("tenchd: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(o.Out, "tenchd"))
	if err != nil {
		return "", fmt.Errorf("tenchd: %w", err)
	}
	p := program{dir: root, pkg: "./" + tenchdPackage, out: path, flags: tenchdFlags,
		env: slices.Concat(target(b), []string{"GO111MODULE=on"}, o.cacheEnv())}
	if err := p.build(ctx, o.log()); err != nil {
		return "", fmt.Errorf("tenchd: %w", err)
	}
	return path, nil
}
