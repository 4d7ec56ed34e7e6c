package echo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

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
		"something else":   {"carp", "tench", "", "what was typed differs: nothing was written"},
		"nothing at first": {"", "tench", "", ""},
		"corrected":        {"cro\x7f\x7farp", "carp", "carp", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pty, tty := openTerminal(t)
			p := &person{t: t, pty: pty, answers: map[string]string{"new: ": tc.first, "once more: ": tc.second}}
			before := settings(t, tty)
			got, err := AskTwice(t.Context(), tty, p, "new: ")
			if string(got) != tc.want || err == nil && tc.err != "" || err != nil && err.Error() != tc.err {
				t.Errorf("AskTwice = %q, %v; want %q, %s", got, err, tc.want, tc.err)
			}
			if once := tc.first == ""; strings.Contains(p.seen, "once more") == once {
				t.Errorf("it was asked %q", p.seen)
			}
			if after := settings(t, tty); after != before {
				t.Errorf("the terminal was left as %+v, want %+v", after, before)
			}
		})
	}
}

// Whoever gives up finds the terminal as it was.
func TestAskEnds(t *testing.T) {
	pty, tty := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	before := settings(t, tty)
	p := &person{t: t, pty: pty}
	out := writer(func(text []byte) (int, error) { cancel(); return p.Write(text) })
	if _, err := AskTwice(ctx, tty, out, "new: "); !errors.Is(err, context.Canceled) {
		t.Errorf("AskTwice = %v, want that the context has ended", err)
	}
	if after := settings(t, tty); after != before {
		t.Errorf("the terminal was left as %+v, want %+v", after, before)
	}
}

type writer func(text []byte) (int, error)

func (w writer) Write(text []byte) (int, error) { return w(text) }

func TestAskWhatIsNoTerminal(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var seen strings.Builder
	if _, err := Ask(t.Context(), f, &seen, "new: "); err == nil || seen.Len() > 0 {
		t.Errorf("Ask = %v after %q, want an error", err, seen.String())
	}
}

func settings(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	now, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *now
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
