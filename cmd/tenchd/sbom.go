package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tench/supervisor"
	"tench/supervisor/status"
)

func (c *client) sbom() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sbom [FILE]",
		Short: "What this image is made of: components, versions, licences",
		Long: `sbom prints the software bill of materials that the build put into the image, or
the one in FILE, as a table. With -json it prints the file as it is (CycloneDX).`,
		Example: "  tenchd sbom\n  tenchd sbom -json > sbom.json",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := supervisor.SBOMFile
			if len(args) == 1 {
				file = args[0]
			}
			s, err := supervisor.ReadSBOM(file)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(s.Text)
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "COMPONENT\tVERSION\tLICENCE")
			for _, p := range s.Components {
				fmt.Fprintf(w, "%s\t%s\t%s\n", status.Plain(p.Name), status.Plain(p.Version), status.Plain(p.Licence))
			}
			fmt.Fprintf(w, "%d components; SHA-256 of the SBOM:\n%s\n", len(s.Components), s.SHA256)
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: the file as it is")
	return cmd
}
