package echo

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOff(t *testing.T) {
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0) // its settings are the terminal's
	if err != nil {
		t.Fatal(err)
	}
	defer pty.Close()
	fd := int(pty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil || before.Lflag&unix.ECHO == 0 {
		t.Fatalf("a new terminal: %v, %v, want echo", before, err)
	}
	check := func(when string, want bool) {
		t.Helper()
		now, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if got := now.Lflag&unix.ECHO != 0; got != want {
			t.Errorf("%s: echo %v, want %v", when, got, want)
		}
		now.Lflag |= unix.ECHO
		if *now != *before {
			t.Errorf("%s: more has changed than the echo: %+v, want %+v", when, now, before)
		}
	}
	off := func() func() {
		t.Helper()
		show, err := Off(fd)
		if err != nil {
			t.Fatal(err)
		}
		return show
	}
	show := off()
	check("off", false)
	showAgain := off()
	showAgain()
	check("off again, and shown once", false)
	show()
	check("shown", true)
}

func TestOffWhatIsNoTerminal(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Off(int(f.Fd())); err == nil {
		t.Error("Off = nil, want an error")
	}
}
