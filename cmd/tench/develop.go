package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tench/release"
)

// sourceFlag adds --source to a command that builds.
func sourceFlag(c *cobra.Command, values *[]string) {
	c.Flags().StringArrayVar(values, "source", nil, "build a recipe from a folder as it is, for development, by `RECIPE=DIR`; may be repeated")
	// The name exists: it was defined one line above.
	_ = c.RegisterFlagCompletionFunc("source", completeSource)
}

// sources reads the values of --source: recipe -> folder.
func (t tree) sources(values []string) (map[string]string, error) {
	folders := map[string]string{}
	for _, v := range values {
		name, dir, ok := strings.Cut(v, "=")
		if !ok || dir == "" {
			return nil, usageError{fmt.Errorf("--source %s: it is not of the form RECIPE=DIR\nhint: e.g. --source linux=$HOME/linux", v)}
		}
		if known := t.recipes(); !slices.Contains(known, name) {
			return nil, usageError{fmt.Errorf("--source %s: there is no recipe %q\nhint: there are %s", v, name, strings.Join(known, ", "))}
		}
		if _, twice := folders[name]; twice {
			return nil, usageError{fmt.Errorf("--source %s: the recipe %s has a folder already", v, name)}
		}
		path, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("--source %s: %w", v, err)
		}
		if info, err := os.Stat(path); err != nil {
			return nil, usageError{fmt.Errorf("--source %s: %w", v, err)}
		} else if !info.IsDir() {
			return nil, usageError{fmt.Errorf("--source %s: %s is not a folder", v, path)}
		}
		folders[name] = path
	}
	return folders, nil
}

// recipes are the names of the recipes there are.
func (t tree) recipes() []string {
	paths, _ := filepath.Glob(filepath.Join(t.Root, "release", "recipes", "*", release.RecipeFile))
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	return names
}

// completeSource completes the recipe, then the folder.
func completeSource(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	name, dir, named := strings.Cut(typed, "=")
	t, err := findTree()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	if !named {
		for _, r := range t.recipes() {
			list = append(list, r+"=")
		}
		return list, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	paths, _ := filepath.Glob(dir + "*")
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			list = append(list, name+"="+p+"/")
		}
	}
	return list, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}
