package cross

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"tench/internal/procgroup"
)

// runSteps runs the recipe's steps in the source tree; what they install goes
// to stage.
func (c *compiler) runSteps(ctx context.Context, src Source, stage string, o Options) error {
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	if err := os.MkdirAll(stage, 0o755); err != nil {
		return err
	}
	words := strings.NewReplacer(
		"$TRIPLET", c.board.Arch.Triplet,
		"$OUT", stage,
		"$JOBS", fmt.Sprint(o.Jobs),
		"$OPENSSL", c.openSSL(),
	)
	for _, step := range src.Recipe.Build.Steps {
		args := slices.Clone(step)
		for i := range args {
			args[i] = words.Replace(args[i])
		}
		fmt.Fprintf(o.Log, "\n$ %s\n", strings.Join(args, " "))
		cmd := procgroup.Command(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Env = src.Tree, c.env
		cmd.Stdout, cmd.Stderr = o.Log, o.Log
		if err := procgroup.Run(ctx, cmd); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args[:min(len(args), 3)], " "), err)
		}
	}
	return nil
}

// openSSL is OpenSSL's name of the board's CPU. Its assembly for the 386 uses
// SSE where the CPU says it has it; for a CPU without, it is left out.
func (c *compiler) openSSL() string {
	if slices.Contains(c.board.CPU.Lacks, "sse") {
		return "linux-generic32"
	}
	return c.board.Arch.OpenSSL
}
