package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build/imagediff"
	"tench/release"
)

func diffCommand() *cobra.Command {
	var brief bool
	c := &cobra.Command{
		Use:   "diff IMAGE1 IMAGE2",
		Short: "Say in which partition, file and byte two images differ",
		Long: `diff compares two images: boot loader, partition table, and each partition file
by file, the initramfs and the kernel's configuration as well. Small texts are
shown as unified diffs. An argument is an image, packed with zstd or not, a
directory of images, or a board, which stands for its image in out/BOARD. With
two directories, images of the same name are compared. The exit code is 1 if
anything differs.`,
		Example: `  tench diff old.img new.img
  tench diff /srv/releases/2026.11 /srv/releases/2026.12 --brief
  tench diff qemu-amd64 old.img`,
		Args:              between(2, 2),
		ValidArgsFunction: completeImages,
		RunE: func(c *cobra.Command, args []string) error {
			one, err := imagesAt(args[0])
			if err != nil {
				return err
			}
			two, err := imagesAt(args[1])
			if err != nil {
				return err
			}
			return diffAll(c.Context(), c.OutOrStdout(), pairs(one, two), brief)
		},
	}
	c.Flags().BoolVar(&brief, "brief", false, "leave out the unified diffs of texts")
	return c
}

// completeImages offers files and boards.
func completeImages(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	t, err := findTree()
	if err != nil || len(args) > 1 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return boards.Names(t.boards()), cobra.ShellCompDirectiveDefault
}

const packedEnd = ".zst"

// imagesAt is the paths of the images that an argument stands for, by name.
func imagesAt(arg string) (map[string]string, error) {
	info, err := os.Stat(arg)
	if err != nil {
		t, b, boardErr := findBoard([]string{arg})
		if boardErr != nil {
			return nil, fmt.Errorf("diff: %w", noFileNoBoard(arg, err, boardErr, "an image, a directory of images"))
		}
		arg = filepath.Join(t.Out, b.Name)
		if info, err = os.Stat(arg); err != nil {
			return nil, fmt.Errorf("diff: %w", notBuilt(release.Release{Default: true}, b, arg))
		}
	}
	if !info.IsDir() {
		return map[string]string{strings.TrimSuffix(filepath.Base(arg), packedEnd): arg}, nil
	}
	images := map[string]string{}
	for _, end := range []string{packedEnd, ""} {
		found, err := filepath.Glob(filepath.Join(globQuote(arg), "*.img"+end))
		if err != nil {
			return nil, fmt.Errorf("diff: %s: %w", arg, err)
		}
		for _, path := range found {
			images[strings.TrimSuffix(filepath.Base(path), packedEnd)] = path
		}
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("diff: %s has no *.img and no *.img.zst", arg)
	}
	return images, nil
}

// globQuote takes the meaning from characters of a path that filepath.Glob
// would read as a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// imagePair is two images to compare; one of them may be missing.
type imagePair struct{ name, one, two string }

// pairs puts images of the same name together. Where each side is one image,
// the names do not matter.
func pairs(one, two map[string]string) []imagePair {
	var list []imagePair
	if len(one) == 1 && len(two) == 1 {
		for _, a := range one {
			for _, b := range two {
				list = append(list, imagePair{"", a, b})
			}
		}
		return list
	}
	for name, path := range one {
		list = append(list, imagePair{name, path, two[name]})
	}
	for name, path := range two {
		if one[name] == "" {
			list = append(list, imagePair{name, "", path})
		}
	}
	slices.SortFunc(list, func(a, b imagePair) int { return strings.Compare(a.name, b.name) })
	return list
}

// diffAll prints what differs in each pair; that something does is its error.
func diffAll(ctx context.Context, out io.Writer, list []imagePair, brief bool) error {
	differences, images := 0, 0
	for _, p := range list {
		if p.one == "" || p.two == "" {
			fmt.Fprintf(out, "%s: only %s\n", p.name, p.one+p.two)
			differences, images = differences+1, images+1
			continue
		}
		found, err := imagediff.Compare(ctx, p.one, p.two)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			fmt.Fprintf(out, "%s and %s are equal, byte for byte\n", p.one, p.two)
			continue
		}
		fmt.Fprintf(out, "%s and %s differ\n", p.one, p.two)
		showDifferences(out, found, brief)
		differences, images = differences+len(found), images+1
	}
	if differences > 0 {
		return fmt.Errorf("diff: %s in %d of %d images", counted(differences, "difference", "differences"), images, len(list))
	}
	return nil
}

// showDifferences prints a line for each difference, and its text unless brief.
func showDifferences(out io.Writer, list []imagediff.Difference, brief bool) {
	for _, d := range list {
		fmt.Fprintf(out, "  %s\n", printable(d.String()))
		if !brief {
			for line := range strings.Lines(d.Text) {
				fmt.Fprintf(out, "    %s\n", printable(strings.TrimSuffix(line, "\n")))
			}
		}
	}
}

// printable keeps what an image holds from moving the terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, text)
}
