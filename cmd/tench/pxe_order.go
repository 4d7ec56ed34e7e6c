package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/config"
	"tench/pxe"
	"tench/pxe/boxes"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
)

func pxeInstallCommand() *cobra.Command {
	var o pxeOptions
	r := pxe.Request{Mode: netboot.Install}
	c := &cobra.Command{
		Use:   "install BOX|MAC",
		Short: "Arm one install: the box writes the image to its disk at its next boot",
		Long: `install arms ONE install of a box of boxes.toml, or of a MAC with --board. The box
boots over the network, writes the image with its identity and its router.toml to
its disk, reads it back and starts from it; from then on it boots its disk, until
it is armed again. After three boots in a row without progress it is given up. A
box whose firmware says that it is another board is left as it is; where that is
wrong, hardware = "NAME" in boxes.toml says what this one is called.

A disk that holds tench for this board keeps its data, and its old system until the
new one is healthy: only the other slot is written. Any other disk is wiped, if it
is empty and the only one, or if its serial number was named here, in boxes.toml,
or on the console, where the box asks.

OpenBSD's and FreeBSD's installers do as their own files say. OpenBSD's box boots
its disk once it has fetched its install.conf; FreeBSD's once its installerconfig
has said, as its last line,

    fetch -qo /dev/null "$(kenv tench_installed)"

and without it, from its second boot on. A Raspberry Pi's folder may do the same: the
URL is tench_installed= in /proc/cmdline.

Start the server before or after: the arming is kept.`,
		Example: `  tench pxe install gw0
  tench pxe install gw0 --disk S3Z9NB0K123456
  tench pxe install gw0 --wipe           all of the disk, though it holds tench
  tench pxe install 52:54:00:12:34:56 --board apu2`,
		Args:              between(1, 1),
		ValidArgsFunction: completeBoxes(&o),
		RunE: func(c *cobra.Command, args []string) error {
			r.Box = args[0]
			i, alone, err := o.arm(c, r)
			if err != nil {
				return err
			}
			what := strings.TrimSpace(cmp.Or(i.Board, "its system") + " " + i.Release)
			fmt.Fprintf(c.OutOrStdout(), "%s is armed: switch it on, and it installs %s once\n", args[0], what)
			if i.Once {
				fmt.Fprintln(c.OutOrStdout(), installedSays)
			}
			o.adviseServer(c, alone)
			return nil
		},
	}
	o.listFlags(c)
	f := c.Flags()
	f.StringVar(&r.Disk, "disk", "", "the disk with this `serial` number may be wiped (default: the one of boxes.toml)")
	f.BoolVar(&r.Wipe, "wipe", false, "write the whole disk, also one that holds tench")
	boardFlag(c, &r.Board)
	return c
}

// installedSays is how the server hears that a system is installed that is not ours.
const installedSays = `the last thing that its installer does says so:
  FreeBSD       fetch -qo /dev/null "$(kenv tench_installed)"
  Raspberry Pi  wget -qO /dev/null "$(grep -o 'http://[^ ]*/installed' /proc/cmdline)"`

func pxeRunCommand() *cobra.Command {
	var o pxeOptions
	r := pxe.Request{Mode: netboot.Run}
	file := ""
	c := &cobra.Command{
		Use:   "run BOX|MAC|BOARD",
		Short: "Have a box run from RAM, to try it; its disk is left alone",
		Long: `run has a box of boxes.toml, or a MAC with --board, run from RAM whenever it boots,
until tench pxe disarm. With a board in place of a box, any box that is not in
boxes.toml runs that board, as long as the server runs. The configuration is that
of --config, or the box's, or else the board's.

With -i it serves the boxes on that interface itself, until ctrl-C; without, it
tells the server that runs.`,
		Example: `  sudo bin/tench pxe run qemu-amd64 -i eth1
  tench pxe run gw0 --config try.toml    where a server runs`,
		Args: between(1, 1),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			names, _ := completeBoxes(&o)(c, args, typed)
			more, d := completeBoards(c, args, typed)
			return append(names, more...), d
		},
		RunE: func(c *cobra.Command, args []string) error {
			r.Box = args[0]
			var err error
			if r.Router, err = o.runConfig(r, file); err != nil {
				return err
			}
			if o.device != "" {
				return runPXE(c, o, func(s *pxe.Server) error {
					_, err := s.Arm(c.Context(), r)
					return err
				})
			}
			i, alone, err := o.arm(c, r)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s runs %s from RAM when it boots\n", args[0], cmp.Or(i.Board, "its folder"))
			o.adviseServer(c, alone)
			return nil
		},
	}
	o.serveFlags(c)
	c.Flags().StringVar(&file, "config", "", "the router.toml `file` to run with")
	boardFlag(c, &r.Board)
	return c
}

func boardFlag(c *cobra.Command, board *string) {
	c.Flags().StringVar(board, "board", "", "the `board` of a box that is not in boxes.toml")
	if err := c.RegisterFlagCompletionFunc("board", completeBoards); err != nil {
		panic(err) // there is no such flag
	}
}

// runConfig reads the file of --config, and checks it against the board where that
// is known here.
func (o *pxeOptions) runConfig(r pxe.Request, file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	t, err := findTree()
	if err != nil {
		return nil, err
	}
	name := cmp.Or(r.Board, r.Box)
	if list, err := o.inventory(t); err == nil {
		box, ok := list.ByName(r.Box)
		if mac, err := event.ParseMAC(r.Box); err == nil {
			box, ok = list.ByMAC(mac)
		}
		if ok {
			name = box.Board
		}
	}
	if b, err := boards.Load(t.boards(), name); err == nil {
		return readConfig(b, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("pxe: %w", err)
	}
	_, err = config.Parse(file, data)
	return data, err
}

// arm has the server arm a box. Where none runs it is done here, and alone says so.
func (o *pxeOptions) arm(c *cobra.Command, r pxe.Request) (i track.Install, alone bool, err error) {
	state, err := o.stateDir()
	if err != nil {
		return track.Install{}, false, err
	}
	if err := o.serverDecides(c, state); err != nil {
		return track.Install{}, false, err
	}
	i, err = pxe.Dial(state).Arm(c.Context(), r)
	if errors.Is(err, pxe.ErrNoServer) {
		alone = true
		err = o.alone(c, func(opts pxe.Options) error {
			i, err = pxe.ArmAlone(c.Context(), opts, r)
			return err
		})
	}
	return i, alone, err
}

// serverDecides refuses the flags that say what is served where a server runs: that
// serves what it was started with.
func (o *pxeOptions) serverDecides(c *cobra.Command, state string) error {
	for _, flag := range []string{"release", "key", "unsigned"} {
		if !c.Flags().Changed(flag) {
			continue
		}
		_, err := pxe.Dial(state).State(c.Context())
		if err == nil {
			return usageError{fmt.Errorf("pxe: --%s: a server runs, which serves what it was started with\nhint: start that with --%[1]s, or leave it out here", flag)}
		}
		if !errors.Is(err, pxe.ErrNoServer) {
			return err
		}
	}
	return nil
}

// alone does what no server does. What it leaves in the state folder is the caller's,
// who may take sudo this time and not the next.
func (o *pxeOptions) alone(c *cobra.Command, do func(pxe.Options) error) error {
	opts, err := o.armory(c)
	if err != nil {
		return err
	}
	if err := makeState(opts.State); err != nil {
		return err
	}
	return errors.Join(do(opts), giveToCaller(opts.State))
}

// adviseServer says how a server is started where none runs: one that serves what
// the box was armed with.
func (o *pxeOptions) adviseServer(c *cobra.Command, alone bool) {
	if !alone {
		return
	}
	advice := "no server runs yet: sudo bin/tench pxe serve -i INTERFACE"
	if o.release != "" {
		advice += " --release " + o.release
	}
	fmt.Fprintln(c.ErrOrStderr(), advice)
}

func pxeDisarmCommand() *cobra.Command {
	var o pxeOptions
	c := &cobra.Command{
		Use:   "disarm BOX|MAC",
		Short: "Take an install or a run back: the box boots its disk again",
		Long: `disarm takes back what a box was armed for: at its next boot it is told to boot its
disk. An install that is being written stops in the middle, before what would make
the disk boot. A box that runs from RAM goes on until it is switched off.`,
		Example: `  tench pxe disarm gw0
  tench pxe disarm 52:54:00:12:34:56`,
		Args:              between(1, 1),
		ValidArgsFunction: completeBoxes(&o),
		RunE: func(c *cobra.Command, args []string) error {
			state, err := o.stateDir()
			if err != nil {
				return err
			}
			err = pxe.Dial(state).Disarm(c.Context(), args[0])
			if errors.Is(err, pxe.ErrNoServer) {
				err = o.alone(c, func(opts pxe.Options) error { return pxe.DisarmAlone(c.Context(), opts, args[0]) })
			}
			return err
		},
	}
	o.boxFlags(c)
	return c
}

// inventory reads the list of boxes.
func (o *pxeOptions) inventory(t tree) (boxes.Inventory, error) {
	file, err := o.boxesFile()
	if err != nil || file == "" {
		return boxes.Inventory{}, err
	}
	return boxes.Load(file, boards.Names(t.boards()))
}

// completeBoxes completes the boxes of the list.
func completeBoxes(o *pxeOptions) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		t, err := findTree()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := o.inventory(t)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return list.Names(), cobra.ShellCompDirectiveNoFileComp
	}
}
