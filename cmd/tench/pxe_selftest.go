package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"tench/pxe/selftest"
)

func pxeSelftestCommand() *cobra.Command {
	role := ""
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Let stand-ins for all kinds of clients boot from the server, on a wire of their own",
		Long: `selftest starts the server in a network namespace, joins it to another one by a
pair of virtual interfaces, and lets stand-ins for ROMs and loaders boot there, in
full, proxy and foreign mode. They send what real ones were seen to send; firmware and
iPXE ask for an address with the very packets. The network of this machine is not
touched.

It needs root, or a system that lets users make user namespaces.`,
		Example: `  tench pxe selftest`,
		Args:    between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			self := func(role string) *exec.Cmd { return selftestProcess(c, role) }
			switch role {
			case selftest.RoleServer, selftest.RoleProxy, selftest.RoleForeign:
				t, err := findTree()
				if err != nil {
					return err
				}
				return selftest.Serve(c.Context(), selftest.Process{Role: role, Boards: t.boards(), In: c.InOrStdin(), Out: c.OutOrStdout()})
			case selftest.RoleClients:
				return selftest.Clients(c.Context(), self, func(r selftest.Result) { showResult(c, r) })
			}
			return selftest.Run(c.Context(), self)
		},
	}
	c.Flags().StringVar(&role, "role", "", "what this process is, of those that selftest starts")
	if err := c.Flags().MarkHidden("role"); err != nil {
		panic(err) // there is no such flag
	}
	return c
}

// selftestProcess is this program in another role.
func selftestProcess(c *cobra.Command, role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "pxe", "selftest", "--role", role)
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = c.ErrOrStderr()
	if role == selftest.RoleClients {
		cmd.Stdout = c.OutOrStdout()
	}
	return cmd
}

// showResult prints how a client fared, its error on lines of their own.
func showResult(c *cobra.Command, r selftest.Result) {
	if r.Err != nil {
		fmt.Fprintf(c.OutOrStdout(), "%-26s FAILED %7s  %v\n", r.Client, took(r.Took), r.Err)
		return
	}
	fmt.Fprintf(c.OutOrStdout(), "%-26s ok     %7s  %s\n", r.Client, took(r.Took), r.Got)
}
