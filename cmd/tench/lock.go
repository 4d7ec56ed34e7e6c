package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/release"
)

func lockCommand() *cobra.Command {
	var name string
	var all, check bool
	c := &cobra.Command{
		Use:   "lock [BOARD]…",
		Short: "Write down what a release is built from, or compare it",
		Long: `lock writes release.lock beside release.toml: the hash of every source, patch,
kernel fragment, overlay and board file, of go.mod and go.sum, the versions of
the tools that building the boards calls for, and the epoch. It prints what is
otherwise than before. tench image --strict builds only what the lock says.

The inputs are always those of all boards; the boards that are named choose the
compilers. Without boards the lock is for the CPUs that it was for before. Our own
code is not in it: the commit names it, and is noted with the lock.`,
		Example: `  tench lock --all-boards
  tench lock                             what changed since, and lock it
  tench lock --check                     only say it; exit code 1 on a difference`,
		ValidArgsFunction: completeMoreBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, list, err := findBoards(args, all)
			if err != nil {
				return err
			}
			r, err := t.release(name)
			if err != nil {
				return err
			}
			old, err := r.Locked()
			if err != nil && (check || !errors.Is(err, fs.ErrNotExist)) {
				return err
			}
			arches := old.Arches
			if len(args) > 0 || all || len(arches) == 0 {
				arches = archesOf(list)
			}
			// All boards with these CPUs, so that the lock holds for any of them.
			if list, err = t.boardsOf(arches); err != nil {
				return err
			}
			found, err := build.Lock(c.Context(), t.Root, r, list)
			if err != nil {
				return err
			}
			changes := old.Changes(found)
			showChanges(c.OutOrStdout(), r.LockPath(), old.Schema == 0, changes)
			switch {
			case len(changes) == 0:
				return nil
			case check:
				return fmt.Errorf("lock: %s is not what is there now\nhint: tench lock%s notes it, if it is meant", r.LockPath(), r.Option())
			case !found.Clean:
				fmt.Fprintf(c.OutOrStdout(), "note: the tree is not that of a commit; commit it together with %s\n", filepath.Base(r.LockPath()))
			}
			return found.Write(r.LockPath())
		},
	}
	oneRelease(c, &name)
	c.Flags().BoolVar(&all, "all-boards", false, "lock the tools of every board there is")
	c.Flags().BoolVar(&check, "check", false, "write nothing; a difference is an error")
	return c
}

// archesOf lists the CPUs of boards.
func archesOf(list []boards.Board) []string {
	var arches []string
	for _, b := range list {
		arches = append(arches, b.Arch.Name)
	}
	return arches
}

// boardsOf lists the boards with one of the CPUs.
func (t tree) boardsOf(arches []string) ([]boards.Board, error) {
	list, err := boards.List(t.boards())
	return slices.DeleteFunc(list, func(b boards.Board) bool { return !slices.Contains(arches, b.Arch.Name) }), err
}

// showChanges prints how the lock at path differs from what is there now, line
// by line; of a new one, how long it is.
func showChanges(out io.Writer, path string, isNew bool, changes []release.LockChange) {
	switch {
	case len(changes) == 0:
		fmt.Fprintf(out, "%s: up to date\n", path)
	case isNew:
		fmt.Fprintf(out, "%s: new, %d entries\n", path, len(changes))
	default:
		for _, change := range changes {
			fmt.Fprintln(out, change)
		}
	}
}
