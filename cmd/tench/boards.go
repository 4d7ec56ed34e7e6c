package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tench/boards"
)

func boardsCommand() *cobra.Command {
	var markdown bool
	c := &cobra.Command{
		Use:   "boards [NAME]",
		Short: "List the boards, or show one",
		Example: `  tench boards
  tench boards qemu-amd64`,
		Args:              between(0, 1),
		ValidArgsFunction: completeBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := findTree()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				b, err := t.board(args)
				if err != nil {
					return err
				}
				return showBoard(c.OutOrStdout(), b)
			}
			list, err := boards.List(t.boards())
			if err != nil {
				return err
			}
			if markdown {
				return boardsPage(c.OutOrStdout(), list)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "BOARD\tCPU\tMEMORY\tCONSOLE\tFIRMWARE\tWHAT")
			for _, b := range list {
				fmt.Fprintf(w, "%s\t%s\t%d MiB\t%s %d\t%s\t%s\n", b.Name, b.Arch.Name, b.RAMMiB,
					b.Console.Device, b.Console.Speed, strings.Join(b.Firmware, ", "), b.Title)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "print BOARDS.md, which is made from the board files")
	return c
}

// boardsPage writes BOARDS.md.
func boardsPage(w io.Writer, list []boards.Board) error {
	fmt.Fprint(w, `# Boards

Made by `+"`tench boards --markdown`"+` from boards/*/board.toml. To add a board, see CONTRIBUTING.md.

What its firmware says is by what an install over the network knows a board. A port, LED or button has the name that is on the case, and what it is for Linux. The stand-in is the machine in which `+"`tench run`"+` and our tests boot the image where the board itself is not at hand; whatever only the hardware shows, they do not see.
`)
	for _, b := range list {
		fmt.Fprintf(w, "\n## %s\n\n%s\n\n| | |\n|---|---|\n", b.Name, b.Title)
		for _, r := range boardRows(b) {
			fmt.Fprintf(w, "| %s | %s |\n", r[0], r[1])
		}
	}
	return nil
}

func showBoard(out io.Writer, b boards.Board) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "board\t%s\nwhat\t%s\n", b.Name, b.Title)
	for _, r := range boardRows(b) {
		fmt.Fprintf(w, "%s\t%s\n", r[0], r[1])
	}
	return w.Flush()
}

// boardRows is what there is to say about a board, as pairs of name and value.
// A row without a value is left out.
func boardRows(b boards.Board) [][2]string {
	cpu := b.Arch.Name
	if b.CPU.Model != "" {
		cpu += ": " + b.CPU.Model
	}
	if len(b.CPU.Lacks) > 0 {
		cpu += "; no program may have " + strings.Join(b.CPU.Lacks, ", ")
	}
	rows := [][2]string{
		{"CPU", cpu},
		{"memory", fmt.Sprintf("%d MiB", b.RAMMiB)},
		{"console", fmt.Sprintf("%s at %d bit/s", b.Console.Device, b.Console.Speed)},
		{"firmware", strings.Join(b.Firmware, ", ")},
		{"its firmware says", hardwareText(b.Hardware)},
		{"boots from", strings.Join(b.Media, ", ")},
		{"flashing", b.Flashing},
		{"image", fmt.Sprintf("%d MiB: boot %d, two slots of %d, data %d", b.Layout.TotalMiB(),
			b.Layout.BootMiB, b.Layout.SlotMiB, b.Layout.DataMiB)},
		{"compiled with", strings.Join(slices.Concat(b.CPU.GoEnv, b.CPU.CFlags), " ")},
		{"kernel", "fragments " + strings.Join(b.Kernel.Fragments, ", ")},
		{"kernel requires", strings.Join(b.Kernel.Require, ", ")},
		{"kernel forbids", strings.Join(b.Kernel.Forbid, ", ")},
		{"kernel arguments", strings.Join(b.Kernel.Args, " ")},
		{"daemons", strings.Join(b.Daemons, ", ")},
	}
	for _, p := range b.Ports {
		rows = append(rows, [2]string{"port " + p.Label, portText(p)})
	}
	for _, s := range b.LEDs {
		rows = append(rows, [2]string{"LED " + s.Label, s.Device})
	}
	for _, s := range b.Buttons {
		rows = append(rows, [2]string{"button " + s.Label, s.Device})
	}
	watchdog := b.Watchdog.Driver
	if watchdog == "" {
		watchdog = "the first there is"
	}
	rows = append(rows, [2]string{"watchdog", fmt.Sprintf("%s, %d s", watchdog, b.Watchdog.Timeout)})
	for _, q := range b.Quirks {
		rows = append(rows, [2]string{"quirk " + q.Name, quirkText(q)})
	}
	rows = append(rows, [2]string{"stand-in", standIn(b.QEMU)}, [2]string{"notes", b.Notes})
	return slices.DeleteFunc(rows, func(r [2]string) bool { return r[1] == "" })
}

// hardwareText is what the board is known by.
func hardwareText(h boards.Hardware) string {
	var parts []string
	if len(h.Product) > 0 {
		parts = append(parts, strings.TrimSpace(strings.Join(h.Vendor, " or ")+" "+strings.Join(h.Product, ", ")))
	}
	if len(h.Compatible) > 0 {
		parts = append(parts, "device tree "+strings.Join(h.Compatible, ", "))
	}
	return strings.Join(parts, "; ")
}

func portText(p boards.Port) string {
	text := p.Path + p.Name // one of the two
	if p.Driver != "" {
		text += " (" + p.Driver + ")"
	}
	return text
}

func quirkText(q boards.Quirk) string {
	set := slices.Clone(q.Args)
	for _, key := range slices.Sorted(maps.Keys(q.Sysctl)) {
		set = append(set, key+"="+q.Sysctl[key])
	}
	text := q.Why + " Set: " + strings.Join(set, " ") + "."
	for _, k := range q.Check {
		text += fmt.Sprintf(" Proof: %s is %s.", k.File, strings.Join(k.Want, " or "))
	}
	return text
}

func standIn(q boards.QEMU) string {
	if q.System == "" {
		return "none: built, not booted by us"
	}
	text := fmt.Sprintf("qemu-system-%s -machine %s", q.System, q.Machine)
	if q.CPU != "" {
		text += " -cpu " + q.CPU
	}
	return text
}
