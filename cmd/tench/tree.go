package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tench/boards"
)

// defaultBoard is what a newcomer builds: it needs no hardware.
const defaultBoard = "qemu-amd64"

// tree is where things are: the only place that reads the environment.
type tree struct {
	Root    string   // the checkout: boards/, overlays/, release/
	Cache   string   // downloads and products of steps
	Out     string   // out/BOARD/ images
	Mirrors []string // folders with copies of sources, asked first
}

// findTree looks for the checkout from the working directory upwards.
func findTree() (tree, error) {
	dir, err := os.Getwd()
	if err != nil {
		return tree{}, fmt.Errorf("find the source tree: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module tench\n") {
			break
		}
		if dir == filepath.Dir(dir) {
			return tree{}, errors.New("find the source tree: no go.mod of tench here or above\n" +
				"hint: run tench inside its checkout")
		}
	}
	t := tree{Root: dir, Cache: os.Getenv("TENCH_CACHE"), Out: filepath.Join(dir, "out")}
	if t.Cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return tree{}, fmt.Errorf("find the cache: %w\nhint: set TENCH_CACHE to a folder", err)
		}
		t.Cache = filepath.Join(home, ".cache", "tench")
	}
	t.Cache, err = filepath.Abs(t.Cache)
	if err != nil {
		return tree{}, fmt.Errorf("find the cache: %w", err)
	}
	t.Mirrors = filepath.SplitList(os.Getenv("TENCH_MIRROR"))
	return t, nil
}

func (t tree) boards() string { return filepath.Join(t.Root, "boards") }

// board loads the board named by the first argument, or the default one.
func (t tree) board(args []string) (boards.Board, error) {
	name := defaultBoard
	if len(args) > 0 {
		name = args[0]
	}
	return boards.Load(t.boards(), name)
}

// findBoard finds the tree and the board that a command's arguments name.
func findBoard(args []string) (tree, boards.Board, error) {
	t, err := findTree()
	if err != nil {
		return tree{}, boards.Board{}, err
	}
	b, err := t.board(args)
	return t, b, err
}

// product is the path of a file that `tench image` makes for the board.
func (t tree) product(b boards.Board, name string) string {
	return filepath.Join(t.Out, b.Name, name)
}

// completeBoards completes the first argument with the boards there are.
func completeBoards(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	t, err := findTree()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return boards.Names(t.boards()), cobra.ShellCompDirectiveNoFileComp
}
