package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/release"
)

// fetchOptions are the flags of tench fetch.
type fetchOptions struct {
	all      bool
	releases chosenReleases
	offline  bool
	check    bool   // only ask for newer versions
	bundle   string // write it
	unbundle string // take it
}

func fetchCommand() *cobra.Command {
	var o fetchOptions
	c := &cobra.Command{
		Use:   "fetch [BOARD]…",
		Short: "Fetch and verify the sources that boards need; carry them to a machine without a network",
		Long: `fetch gets every source that the boards need, and the loaders for tench pxe,
verifies them and does nothing else: the build that follows needs no network for
them. Without a BOARD it does so for every board there is.

--bundle writes all of it into one tar file: the sources (in sources/), the Go
modules that building tench and the boards' programs calls for (in modules/), and
the SHA256 of each file. On a machine without a network, with Go and this
checkout,

    mkdir /tmp/tench && tar -xf FILE -C /tmp/tench
    GOPROXY=file:///tmp/tench/modules make bin/tench
    bin/tench fetch --unbundle FILE

builds tench out of it and takes the rest: every hash is checked first, sources go
into the store, and Go keeps the modules where it looks for them. After that make
image works there. Debian's tools, such as compilers, are not in it: tench doctor
names the packages that the machine lacks.

--check asks the locations of the recipes for newer versions and changes nothing.`,
		Example: `  tench fetch
  tench fetch apu2 alix2d3 --bundle tench.tar
  tench fetch --unbundle tench.tar       on the other machine
  tench fetch --check                    are there newer versions`,
		ValidArgsFunction: completeMoreBoards,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.conflict(args); err != nil {
				return err
			}
			return o.run(c, args)
		},
	}
	o.releases.flags(c)
	f := c.Flags()
	f.BoolVar(&o.all, "all-boards", false, "what every board there is needs, as without a BOARD")
	f.BoolVar(&o.offline, "offline", false, "never use the network; say what is missing")
	f.BoolVar(&o.check, "check", false, "only ask for newer versions")
	f.StringVar(&o.bundle, "bundle", "", "write everything that an offline machine needs to this `file`")
	f.StringVar(&o.unbundle, "unbundle", "", "take everything that this bundle `file` holds")
	return c
}

// conflict refuses flags that ask for different things.
func (o *fetchOptions) conflict(args []string) error {
	count := 0
	for _, set := range []bool{o.check, o.bundle != "", o.unbundle != ""} {
		if set {
			count++
		}
	}
	if count > 1 {
		return usageError{errors.New("fetch: --check, --bundle and --unbundle: give one of them")}
	}
	if o.unbundle != "" && (len(args) > 0 || o.all || o.releases.named()) {
		return usageError{errors.New("fetch: --unbundle takes all that is in the bundle: name no boards and releases beside it")}
	}
	return nil
}

func (o *fetchOptions) run(c *cobra.Command, args []string) error {
	t, list, err := findBoards(args, o.all || len(args) == 0)
	if err != nil {
		return err
	}
	releases, err := o.releases.list(t)
	if err != nil {
		return err
	}
	b := build.Options{Root: t.Root, Cache: t.Cache, Mirrors: t.Mirrors, Offline: o.offline, Report: newProgress(c.ErrOrStderr())}
	needs := needsOf(releases, list)
	switch {
	case o.check:
		updates, err := build.Updates(c.Context(), needs, b)
		if err != nil {
			return err
		}
		return showUpdates(c.OutOrStdout(), updates)
	case o.unbundle != "":
		return explainFailure(build.TakeBundle(c.Context(), o.unbundle, b))
	case o.bundle != "":
		if err := build.WriteBundle(c.Context(), o.bundle, needs, b); err != nil {
			return explainFailure(err)
		}
		info, err := os.Stat(o.bundle)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", o.bundle, humanize.IBytes(uint64(info.Size())))
		return nil
	}
	_, err = build.Fetch(c.Context(), needs, b)
	return explainFailure(err)
}

func needsOf(releases []release.Release, list []boards.Board) []build.Need {
	var needs []build.Need
	for _, r := range releases {
		for _, b := range list {
			needs = append(needs, build.Need{Release: r, Board: b})
		}
	}
	return needs
}

// showUpdates prints a line for each location with a newer version, and one for
// each part that has none. That nobody could be asked is no error: it is told.
func showUpdates(out io.Writer, updates []build.Update) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RECIPE\tPINNED\tNEWEST\tWHERE")
	for _, u := range updates {
		name := u.Recipe.Name
		if u.Part != "source" {
			name += " " + u.Part
		}
		for _, row := range updateRows(u) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, u.Recipe.Version, row[0], row[1])
		}
	}
	return w.Flush()
}

// updateRows are pairs of the newest version and where it is.
func updateRows(u build.Update) [][2]string {
	var newer [][2]string
	asked := false
	unknown := "its locations have no versions"
	for i, c := range u.Candidates {
		switch {
		case c.Err == nil && c.Version != "":
			newer = append(newer, [2]string{c.Version, c.Location.String()})
		case c.Err == nil:
			asked = true
		case i == 0:
			cause, rest, _ := strings.Cut(c.Err.Error(), "\n")
			if why, _, _ := strings.Cut(rest, "\n"); strings.HasPrefix(why, "E: ") { // apt-get's own words
				cause += ": " + strings.TrimPrefix(why, "E: ")
			}
			unknown = fmt.Sprintf("%s: %s", c.Location, cause)
		}
	}
	switch {
	case len(newer) > 0:
		return newer
	case asked:
		return [][2]string{{"-", ""}}
	}
	return [][2]string{{"unknown", unknown}}
}
