package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/release"
)

func releasesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "releases",
		Short: "List the releases that this checkout holds",
		Long: `releases lists release/release.toml, the default release, and each
release/NAME/release.toml beside it, with what it has otherwise than the default.`,
		Example: `  tench releases
  tench image qemu-amd64 --release NAME`,
		Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := findTree()
			if err != nil {
				return err
			}
			list, err := release.List(t.releases())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "RELEASE\tEPOCH\tWHAT DIFFERS")
			for _, r := range list {
				differs := "the default"
				if !r.Default {
					differs = strings.Join(differences(list[0], r), ", ")
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, r.Epoch.Format("2006-01-02"), differs)
			}
			return w.Flush()
		},
	}
}

// differences says which recipes r has otherwise than first.
func differences(first, r release.Release) []string {
	var texts []string
	for _, recipe := range r.Recipes {
		old, err := first.Recipe(recipe.Name)
		switch {
		case err != nil:
			texts = append(texts, fmt.Sprintf("%s %s is new", recipe.Name, recipe.Version))
		case old.Version != recipe.Version:
			texts = append(texts, fmt.Sprintf("%s %s instead of %s", recipe.Name, recipe.Version, old.Version))
		case old.Dir != recipe.Dir:
			texts = append(texts, recipe.Name+" by a recipe of its own")
		}
	}
	for _, recipe := range first.Recipes {
		if _, err := r.Recipe(recipe.Name); err != nil {
			texts = append(texts, "no "+recipe.Name)
		}
	}
	return texts
}

func (t tree) releases() string { return filepath.Join(t.Root, "release") }

// release loads the release called name, or the default one.
func (t tree) release(name string) (release.Release, error) {
	r, err := release.LoadRelease(t.releases(), name)
	if err != nil {
		return r, err
	}
	return r, t.checkName(r)
}

// checkName refuses a release whose products would lie among a board's.
func (t tree) checkName(r release.Release) error {
	if !r.Default && slices.Contains(boards.Names(t.boards()), r.Name) {
		return fmt.Errorf("release %s: a board has this name, and its images are in %s\nhint: rename %s", r.Name, filepath.Join(t.Out, r.Name), r.Dir)
	}
	return nil
}

// out is the folder with the products of a board: out/BOARD of the default
// release, out/RELEASE/BOARD of the others.
func (t tree) out(r release.Release, b boards.Board) string {
	if r.Default {
		return filepath.Join(t.Out, b.Name)
	}
	return filepath.Join(t.Out, r.Name, b.Name)
}

// oneRelease adds the flag that names one release.
func oneRelease(c *cobra.Command, name *string) {
	c.Flags().StringVar(name, "release", "", "the release, by its `name` (default: release/release.toml; see tench releases)")
	_ = c.RegisterFlagCompletionFunc("release", completeReleases)
}

// chosenReleases are the releases that a command's flags name.
type chosenReleases struct {
	names []string
	all   bool
}

func (s *chosenReleases) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&s.names, "release", nil, "the releases, by their `name`s with commas between (default: release/release.toml)")
	f.BoolVar(&s.all, "all-releases", false, "every release there is; tench releases lists them")
	_ = c.RegisterFlagCompletionFunc("release", completeReleases)
}

// named reports whether the flags name any.
func (s *chosenReleases) named() bool { return s.all || len(s.names) > 0 }

// list loads them, each once.
func (s *chosenReleases) list(t tree) ([]release.Release, error) {
	if s.all && len(s.names) > 0 {
		return nil, usageError{fmt.Errorf("--all-releases: name no release beside it")}
	}
	if s.all {
		list, err := release.List(t.releases())
		for _, r := range list {
			if err == nil {
				err = t.checkName(r)
			}
		}
		return list, err
	}
	names := s.names
	if len(names) == 0 {
		names = []string{""}
	}
	var list []release.Release
	for _, name := range names {
		r, err := t.release(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(other release.Release) bool { return other.Name == r.Name }) {
			list = append(list, r)
		}
	}
	return list, nil
}

// completeReleases completes the value of --release.
func completeReleases(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	t, err := findTree()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return release.Names(t.releases()), cobra.ShellCompDirectiveNoFileComp
}
