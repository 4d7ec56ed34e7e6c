package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tench/boards"
)

func boardsCommand() *cobra.Command {
	return &cobra.Command{
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
				showBoard(c.OutOrStdout(), b)
				return nil
			}
			list, err := boards.List(t.boards())
			if err != nil {
				return err
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
}

func showBoard(out io.Writer, b boards.Board) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("board", "%s", b.Name)
	row("what", "%s", b.Title)
	row("CPU", "%s", b.Arch.Name)
	row("memory", "%d MiB", b.RAMMiB)
	row("console", "%s at %d bit/s", b.Console.Device, b.Console.Speed)
	row("firmware", "%s", strings.Join(b.Firmware, ", "))
	row("image", "%d MiB: boot %d, two slots of %d, data %d", b.Layout.TotalMiB(),
		b.Layout.BootMiB, b.Layout.SlotMiB, b.Layout.DataMiB)
	row("kernel", "fragments %s", strings.Join(b.Kernel.Fragments, ", "))
	for _, p := range b.Ports {
		row("port "+p.Label, "%s", p.Path)
	}
	row("watchdog", "%s, %d s", b.Watchdog.Driver, b.Watchdog.Timeout)
	row("stand-in", "qemu-system-%s -machine %s -cpu %s", b.QEMU.System, b.QEMU.Machine, b.QEMU.CPU)
	row("notes", "%s", b.Notes)
}
