package dist

import (
	"bytes"
	"fmt"
	"strings"

	"tench/release"
)

// notes is NOTES.md: what the release is, and what differs from the last one.
func notes(x release.Index, dir string, o Options) ([]byte, error) {
	after, err := readParts(x, dir)
	if err != nil {
		return nil, err
	}
	w := noteWriter{name: o.Name, date: o.Epoch.UTC().Format("2006-01-02"), after: after, signed: o.Sign != nil}
	if o.Since == "" {
		return w.first(), nil
	}
	last, before, err := readSince(o.Since)
	if err != nil {
		return nil, err
	}
	w.last, w.before = last.Release, before
	return w.next(), nil
}

// noteWriter writes Markdown.
type noteWriter struct {
	bytes.Buffer
	name, date    string
	last          string // name of the last release
	before, after []part
	signed        bool
}

func (w *noteWriter) line(format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
}

// first are the notes of a release that has no predecessor.
func (w *noteWriter) first() []byte {
	w.head()
	w.boards()
	w.line("\n## Software\n")
	w.line("| | version | licence |\n|---|---|---|")
	for _, c := range versionChanges(nil, w.after, false) {
		w.line("| %s | %s | %s |", c.name, c.after, c.licence)
	}
	w.line("\n## Go modules\n")
	w.line("| | version |\n|---|---|")
	for _, c := range versionChanges(nil, w.after, true) {
		w.line("| %s | %s |", c.name, c.after)
	}
	return w.Bytes()
}

// next are the notes of a release that has one.
func (w *noteWriter) next() []byte {
	w.head()
	w.boards()
	w.changes("Software", versionChanges(w.before, w.after, false))
	w.changes("Go modules", versionChanges(w.before, w.after, true))
	w.diff("Patches", groups(w.before, w.after, patchChanges))
	w.diff("Kernel options", groups(w.before, w.after, optionChanges))
	w.diff("Files of the root", groups(w.before, w.after, fileChanges))
	return w.Bytes()
}

func (w *noteWriter) head() {
	w.line("# tench %s (%s)\n", w.name, w.date)
	if w.last != "" {
		w.line("Compared with %s.\n", w.last)
	}
	check := "sha256sum --check --ignore-missing SHA256"
	if w.signed {
		check = "signify-openbsd -C -p KEY.pub -x SHA256.sig tench-BOARD.img.zst"
	}
	w.line("    %s", check)
	w.line("    zstdcat tench-BOARD.img.zst | sudo dd of=/dev/sdX bs=4M iflag=fullblock conv=fsync\n")
	w.line("checks an image and puts it on the stick `/dev/sdX`, all of which it overwrites.")
	w.line("`tench update` writes `tench-BOARD.slot` to a box that runs; `.vmlinuz` and `.initrd`")
	w.line("boot from the network; `.cdx.json` says what is in an image and under which")
	w.line("licences, `.config` how its kernel was configured, `.mtree` which files its root has.")
}

const mib = 1 << 20

// boards is the table of boards and sizes.
func (w *noteWriter) boards() {
	w.line("\n## Boards\n")
	w.line("A slot is kernel and root file system. Sizes in MiB.\n")
	w.line("| board | | slot | image | packed |\n|---|---|---|---|---|")
	for _, p := range w.after {
		was := p.sizes
		for _, old := range w.before {
			if old.name == p.name {
				was = old.sizes
			}
		}
		w.line("| %s | %s | %s | %s | %s |", p.name, p.title, size(was.slot, p.sizes.slot), size(was.image, p.sizes.image), size(was.packed, p.sizes.packed))
	}
	if w.last == "" {
		return
	}
	if names := missing(w.after, w.before); len(names) > 0 {
		w.line("\nNew: %s.", strings.Join(names, ", "))
	}
	if names := missing(w.before, w.after); len(names) > 0 {
		w.line("\nNo longer: %s.", strings.Join(names, ", "))
	}
}

// size is a size in MiB, with what it grew by.
func size(before, after int64) string {
	text := fmt.Sprintf("%.2f", float64(after)/mib)
	if before == after {
		return text
	}
	return fmt.Sprintf("%s (%+.2f)", text, float64(after-before)/mib)
}

// changes is a table of the versions that changed.
func (w *noteWriter) changes(title string, all []changed) {
	w.line("\n## %s\n", title)
	if len(all) == 0 {
		w.line("The same versions.")
		return
	}
	w.line("| | %s | %s |\n|---|---|---|", w.last, w.name)
	for _, c := range all {
		w.line("| %s | %s | %s |", c.name, c.before, c.after)
	}
}

// diff is the lines that came and went, by boards.
func (w *noteWriter) diff(title string, list []group) {
	w.line("\n## %s\n", title)
	if len(list) == 0 {
		w.line("The same.")
	}
	for i, g := range list {
		if i > 0 {
			w.line("")
		}
		w.line("%s:\n\n```diff\n%s\n```", strings.Join(g.boards, ", "), strings.Join(g.lines, "\n"))
	}
}
