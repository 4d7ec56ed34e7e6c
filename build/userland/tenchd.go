package userland

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"tench/boards"
)

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
	p := program{dir: root, pkg: "./" + tenchdPackage, out: path,
		env: slices.Concat(target(b), []string{"GO111MODULE=on"}, o.cacheEnv())}
	if err := p.build(ctx, o.log()); err != nil {
		return "", fmt.Errorf("tenchd: %w", err)
	}
	return path, nil
}
