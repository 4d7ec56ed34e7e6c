package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.bug.st/serial"
	"go.bug.st/serial/enumerator"
	"golang.org/x/term"
)

// quitByte is ctrl-], as telnet has it: no menu and no shell needs it.
const quitByte = 0x1d

func consoleCommand() *cobra.Command {
	speed := 115200
	c := &cobra.Command{
		Use:   "console [PORT]",
		Short: "Talk to a box over its serial console",
		Long: `console connects this terminal with a serial port: 8 data bits, no parity, no
handshake. Without a port it takes the only USB adapter there is, or
lists the ports.
ctrl-] quits.`,
		Example: `  tench console
  tench console /dev/ttyUSB0 --speed 38400`,
		Args: between(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := serialPort(args)
			if err != nil {
				return err
			}
			return connect(c.Context(), name, speed, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().Var((*number)(&speed), "speed", "`bit/s` of the board's console, see tench boards")
	return c
}

// serialPort is the port asked for, or the only USB adapter on this machine.
func serialPort(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	ports, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return "", fmt.Errorf("console: list serial ports: %w", err)
	}
	var usb, lines []string
	for _, p := range ports {
		if p.IsUSB {
			usb = append(usb, p.Name)
		}
		lines = append(lines, fmt.Sprintf("  %s %s %s", p.Name, p.Product, p.SerialNumber))
	}
	if len(usb) == 1 {
		return usb[0], nil
	}
	if len(lines) == 0 {
		return "", errors.New("console: this machine has no serial port\nhint: plug the adapter in, or name the port")
	}
	return "", usageError{fmt.Errorf("console: which port?\n%s\nhint: tench console /dev/…", strings.Join(lines, "\n"))}
}

// connect copies between the terminal and the port until ctrl-], the end of
// input or an unplugged adapter.
func connect(ctx context.Context, name string, speed int, in io.Reader, out, notes io.Writer) error {
	port, err := serial.Open(name, &serial.Mode{BaudRate: speed})
	if err != nil {
		hint := "is another program using it, and may you (group dialout)?"
		if errors.Is(err, os.ErrNotExist) {
			hint = "is the adapter plugged in? Without a name, tench console takes the only USB adapter or lists the ports"
		}
		return fmt.Errorf("console: open %s at %d bit/s: %w\nhint: %s", name, speed, err, hint)
	}
	defer port.Close()
	fmt.Fprintf(notes, "tench: %s at %d bit/s; ctrl-] quits\n", name, speed)
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		old, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return fmt.Errorf("console: set the terminal: %w", err)
		}
		defer term.Restore(int(f.Fd()), old)
	}
	done := make(chan error, 2)
	go func() { done <- copyKeys(port, in) }()
	go func() { _, err := io.Copy(out, port); done <- err }()
	select {
	case err = <-done:
	case <-ctx.Done():
	}
	if err != nil {
		return fmt.Errorf("console: %s: %w", name, err)
	}
	return nil
}

// copyKeys sends what is typed; it ends at quitByte.
func copyKeys(port io.Writer, in io.Reader) error {
	buf := make([]byte, 256)
	for {
		n, err := in.Read(buf)
		keys, _, quit := strings.Cut(string(buf[:n]), string(rune(quitByte)))
		if _, werr := io.WriteString(port, keys); werr != nil {
			return werr
		}
		if quit || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
