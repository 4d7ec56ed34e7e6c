package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/release"
)

// defaultBoard is what a newcomer builds: it needs no hardware.
const defaultBoard = "qemu-amd64"

// tree is where things are: the only place that reads the environment.
type tree struct {
	Root    string   // the checkout: boards/, overlays/, release/
	Cache   string   // downloads and products of steps
	Out     string   // out/BOARD/ images; out/RELEASE/BOARD/ of other releases
	Mirrors []string // folders with copies of sources, asked first
	Farm    build.Farm
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
	t.Farm = build.Farm{Storage: os.Getenv("TENCH_CCACHE_REMOTE"), Hosts: os.Getenv("TENCH_DISTCC_HOSTS")}
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

// noFileNoBoard is the error of an argument that is neither a file, by fileErr,
// nor a board, by boardErr; files says which files would do. A word without a dot
// and a slash was meant as a board.
func noFileNoBoard(arg string, fileErr, boardErr error, files string) error {
	if !strings.ContainsAny(arg, "./") {
		return fmt.Errorf("there is no file %s; %w", arg, boardErr)
	}
	var path *fs.PathError
	if errors.As(fileErr, &path) { // less "stat"
		fileErr = fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	return fmt.Errorf("%w\nhint: name %s or a board", fileErr, files)
}

// notBuilt is the error where a product of a board is not there.
func notBuilt(r release.Release, b boards.Board, path string) error {
	return fmt.Errorf("there is no %s\nhint: tench image %s%s builds it", path, b.Name, r.Option())
}

// findBoards finds the tree and the boards that a command's arguments name, each
// once: every one with all, the default one without arguments.
func findBoards(args []string, all bool) (tree, []boards.Board, error) {
	t, err := findTree()
	if err != nil {
		return tree{}, nil, err
	}
	if all && len(args) > 0 {
		return t, nil, usageError{errors.New("--all-boards: name no board beside it")}
	}
	if all {
		list, err := boards.List(t.boards())
		return t, list, err
	}
	if len(args) == 0 {
		args = []string{defaultBoard}
	}
	var list []boards.Board
	for i := range args {
		b, err := t.board(args[i:])
		if err != nil {
			return t, nil, err
		}
		if !slices.ContainsFunc(list, func(other boards.Board) bool { return other.Name == b.Name }) {
			list = append(list, b)
		}
	}
	return t, list, nil
}

// completeBoards completes the first argument with the boards there are.
func completeBoards(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeMoreBoards(c, args, typed)
}

// completeMoreBoards completes each argument with the boards not yet given.
func completeMoreBoards(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	t, err := findTree()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	given := func(name string) bool { return slices.Contains(args, name) }
	return slices.DeleteFunc(boards.Names(t.boards()), given), cobra.ShellCompDirectiveNoFileComp
}
