package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tench/pxe"
	"tench/pxe/track"
)

func pxeExplainCommand() *cobra.Command {
	var o pxeOptions
	c := &cobra.Command{
		Use:   "explain BOX|MAC",
		Short: "Say what a box does, which rule answered it, or why nobody did",
		Long: `explain asks the server that runs what a box does, since when, and what is wrong;
which rule of the server answered it last; and the last that was heard of it.`,
		Example: `  tench pxe explain gw0
  tench pxe explain 52:54:00:12:34:56`,
		Args:              between(1, 1),
		ValidArgsFunction: completeBoxes(&o),
		RunE: func(c *cobra.Command, args []string) error {
			state, err := o.stateDir()
			if err != nil {
				return err
			}
			text, err := pxe.Dial(state).Explain(c.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(c.OutOrStdout(), text)
			return nil
		},
	}
	o.stateFlag(c)
	return c
}

func pxeStatusCommand() *cobra.Command {
	var o pxeOptions
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the boxes that a server knows, and what they do",
		Example: `  tench pxe status
  tench pxe status --json`,
		Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			state, err := o.stateDir()
			if err != nil {
				return err
			}
			s, err := pxe.Dial(state).State(c.Context())
			if err != nil {
				return err
			}
			if o.json {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return showState(c, s)
		},
	}
	o.stateFlag(c)
	c.Flags().BoolVar(&o.json, "json", false, "as JSON")
	return c
}

func showState(c *cobra.Command, s pxe.State) error {
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%s (%s), mode %s; page: %s\n", s.Interface, s.Address, s.Mode, s.Page)
	if s.AnyBoard != "" {
		fmt.Fprintf(out, "any box that is not in boxes.toml runs %s\n", s.AnyBoard)
	}
	if len(s.Boxes) == 0 {
		fmt.Fprintln(out, "no box was heard of, and none is armed")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "BOX\tADDRESS\tSTAGE\tARMED\tWHAT IS WRONG")
	for _, b := range s.Boxes {
		address := ""
		if b.IP.IsValid() {
			address = b.IP.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(b.Title()), address, b.Stage, armedText(b), printable(b.Diagnosis))
	}
	return w.Flush()
}

// armedText is what a box is armed for, and how far that is.
func armedText(b track.Box) string {
	if b.Install == nil {
		return "-"
	}
	return fmt.Sprintf("%s: %s", b.Install.Mode, b.Install.State)
}
