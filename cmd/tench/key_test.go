package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// person sits at a terminal, and answers a question the moment it is seen.
type person struct {
	t       *testing.T
	pty     *os.File
	answers map[string]string
	seen    string
}

func (p *person) Write(text []byte) (int, error) {
	p.seen += string(text)
	answer, isQuestion := p.answers[string(text)]
	if !isQuestion {
		return len(text), nil
	}
	now, err := unix.IoctlGetTermios(int(p.pty.Fd()), unix.TCGETS)
	if err != nil || now.Lflag&unix.ECHO != 0 {
		p.t.Errorf("%q: the terminal shows what is typed, %v", text, err)
	}
	if _, err := p.pty.WriteString(answer + "\n"); err != nil {
		p.t.Error(err)
	}
	return len(text), nil
}

func TestAskTwice(t *testing.T) {
	for name, tc := range map[string]struct {
		first, second string
		want, err     string
	}{
		"the same":         {"carp", "carp", "carp", ""},
		"something else":   {"carp", "tench", "", "terminal: what was typed differs: nothing was written"},
		"nothing at first": {"", "tench", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pty, tty := openTerminal(t)
			p := &person{t: t, pty: pty, answers: map[string]string{"new: ": tc.first, "once more: ": tc.second}}
			c := &cobra.Command{}
			c.SetContext(t.Context())
			c.SetIn(tty)
			c.SetErr(p)
			got, err := askTwice(c, "new: ")
			if string(got) != tc.want || err == nil && tc.err != "" || err != nil && err.Error() != tc.err {
				t.Errorf("askTwice = %q, %v; want %q, %s", got, err, tc.want, tc.err)
			}
			if once := tc.first == ""; strings.Contains(p.seen, "once more") == once {
				t.Errorf("it was asked %q", p.seen)
			}
			after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
			if err != nil || after.Lflag&unix.ECHO == 0 {
				t.Errorf("the terminal shows nothing any more, %v", err)
			}
		})
	}
}

// openTerminal opens both ends of a new terminal.
func openTerminal(t *testing.T) (pty, tty *os.File) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	if err := unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return pty, tty
}
