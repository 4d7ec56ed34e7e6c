// Command tench is the host tool: it builds, checks and boots the images that
// small routers run.
//
//	main.go      run, the command tree and how errors are shown
//	tree.go      where the sources, the cache and the products are
//	image.go     tench image, tench explain
//	build.go     tench build: several boards, several releases
//	release.go   tench release: what is published of them
//	releases.go  tench releases, and the flags that name releases
//	lock.go      tench lock
//	fetch.go     tench fetch
//	develop.go   --source: folders under development
//	progress.go  the progress display, live or in plain lines
//	words.go     the command line before a command sees it: its mistakes, in words
//	input.go     files that are read whole, what is typed or piped in, until ctrl-C
//	check.go     tench check
//	boards.go    tench boards
//	key.go       tench key: new, show, sign, verify
//	identity.go  tench identity: new, show, secret
//	flash.go     tench flash; flash_view.go what it shows and asks
//	verify.go    tench verify, with and without --rebuild
//	diff.go      tench diff
//	flist.go     tench flist: the files of a root file system
//	doctor.go    tench doctor
//	run.go       tench run: QEMU
//	qemu.go      its command line
//	console.go   tench console: the serial line of a box
//	publish.go   tench publish
//	apply.go     tench apply, confirm, rollback: a box's configuration
//	trial.go     how a box is changed without losing it
//	update.go    tench update
//	backup.go    tench backup: fetch, list, extract
//	ssh.go       how this user gets into hosts
//	pxe.go       tench pxe; pxe_serve.go the server; pxe_order.go install, run, disarm;
//	             pxe_show.go explain, status; pxe_selftest.go selftest; pxe_view.go
//	             what goes on, live, in lines or in JSON; pxe_console.go serial consoles
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tench/build/flash"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK        = 0
	exitError     = 1   // the work could not be done
	exitUsage     = 2   // the command line was wrong
	exitInterrupt = 130 // ctrl-C, as shells count it
)

// run is the whole command: main only hands it the process's own streams.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand(stdin, stdout, stderr)
	root.SetArgs(args)
	err := checkWords(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err != nil && newProgress(stderr).live { // the work that ended has left its line
		fmt.Fprint(stderr, clearLine)
	}
	var usage usageError
	var unfinished *flash.Unfinished
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.As(err, &unfinished):
		fmt.Fprintf(stderr, "tench: %v\n", unfinished)
		return exitInterrupt
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "tench: interrupted: nothing half-written is in use; the same command goes on from here")
		return exitInterrupt
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tench: %v\n", err)
		return exitUsage
	case strings.HasPrefix(err.Error(), "unknown command"): // cobra has no type for it
		fmt.Fprintf(stderr, "tench: %s\nhint: tench --help\n", strings.TrimSpace(err.Error()))
		return exitUsage
	}
	fmt.Fprintf(stderr, "tench: %s\n", strings.TrimSpace(err.Error()))
	return exitError
}

// usageError is a mistake on the command line, not in the work.
type usageError struct{ error }

func rootCommand(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "tench",
		Short: "Build and boot images for small routers",
		Long: `tench builds bootable router images from source, tries them in QEMU, and gets them
onto boxes: by a stick (flash), over the network (pxe), or over SSH where one runs
already (update). A box's configuration is one file, router.toml.`,
		Example: `  tench image qemu-amd64                 build the image
  tench run qemu-amd64                   boot it, serial console in this terminal
  tench flash apu2                       onto which sticks can the image of apu2 be written?
  tench check my/router.toml             is this configuration right?`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: checkTogether,
	}
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nhint: %s --help", err, c.CommandPath())}
	})
	root.AddCommand(imageCommand(), buildCommand(), releaseCommand(), runCommand(), checkCommand(), boardsCommand(),
		explainCommand(), doctorCommand(), consoleCommand(), keyCommand(), verifyCommand(), diffCommand(), publishCommand(),
		releasesCommand(), lockCommand(), fetchCommand(), flistCommand(), identityCommand(),
		applyCommand(), confirmCommand(), rollbackCommand(), updateCommand(), flashCommand(), backupCommand(), pxeCommand())
	return root
}
