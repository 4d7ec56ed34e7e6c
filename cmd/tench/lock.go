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
		Use:   "lock [BOARD]...",
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
			old, err := release.ReadLock(r.LockPath())
			if errors.Is(err, fs.ErrNotExist) && check {
				_, err = r.Locked() // says how to make one
			}
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
			return lock(c.OutOrStdout(), r.LockPath(), old, found, check)
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

// lock prints how found differs from the lock at path, and puts it there.
func lock(out io.Writer, path string, old, found release.Lock, check bool) error {
	changes := old.Changes(found)
	switch {
	case len(changes) == 0:
		fmt.Fprintf(out, "%s: up to date\n", path)
		return nil
	case old.Schema == 0:
		fmt.Fprintf(out, "%s: new, %d entries for %s\n", path, len(changes), found.Arches)
	default:
		for _, change := range changes {
			fmt.Fprintln(out, change)
		}
	}
	if check {
		return fmt.Errorf("lock: %d entries of %s are not what is there now\nhint: tench lock notes them, if they are meant", len(changes), path)
	}
	if err := found.Write(path); err != nil {
		return err
	}
	if old.Schema != 0 {
		fmt.Fprintf(out, "%s: %d entries changed\n", path, len(changes))
	}
	if !found.Clean {
		fmt.Fprintf(out, "note: the tree is not that of a commit; commit it together with %s\n", filepath.Base(path))
	}
	return nil
}
