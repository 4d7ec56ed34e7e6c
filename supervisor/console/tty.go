package console

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// speeds are those that boards and router.toml may name, in bit/s.
var speeds = map[int]uint32{
	1200: unix.B1200, 2400: unix.B2400, 4800: unix.B4800, 9600: unix.B9600, 19200: unix.B19200,
	38400: unix.B38400, 57600: unix.B57600, 115200: unix.B115200, 230400: unix.B230400,
}

// setTTY puts a terminal into the menu's mode, see termios(3): 8N1, no modem
// lines (CLOCAL: a three-wire cable has no carrier), line editing and echo by
// the kernel, newline as CR LF. There is no flow control, because a ^S out of
// line noise would stop the output for good.
func setTTY(f *os.File, speed int) error {
	t := &unix.Termios{
		Iflag: unix.BRKINT | unix.ICRNL | unix.IMAXBEL,
		Oflag: unix.OPOST | unix.ONLCR,
		Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.HUPCL,
		// ECHOCTL is off so that a terminal that sends backspace sees the
		// cursor go back; see clean.
		Lflag: unix.ISIG | unix.ICANON | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOKE,
	}
	rate, ok := speeds[speed]
	if !ok {
		return fmt.Errorf("console %s: %d bit/s is not a speed of serial ports, e.g. 9600 or 115200", f.Name(), speed)
	}
	t.Cflag |= rate
	t.Ispeed, t.Ospeed = rate, rate
	// Quit (^\) and suspend (^Z) stay 0, which turns them off: both would take
	// the menu away.
	t.Cc[unix.VINTR] = 'C' & 0x1f
	t.Cc[unix.VERASE] = 0x7f
	t.Cc[unix.VKILL] = 'U' & 0x1f
	t.Cc[unix.VEOF] = 'D' & 0x1f
	t.Cc[unix.VWERASE] = 'W' & 0x1f
	t.Cc[unix.VREPRINT] = 'R' & 0x1f
	t.Cc[unix.VLNEXT] = 'V' & 0x1f
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return fmt.Errorf("console %s: set mode: %w", f.Name(), err)
	}
	return nil
}

// keepMode returns a function that puts the terminal back into the mode that
// it is in now, after a program had it.
func keepMode(f *os.File) (restore func() error, err error) {
	mode, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("console %s: get mode: %w", f.Name(), err)
	}
	return func() error {
		if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, mode); err != nil {
			return fmt.Errorf("console %s: set mode: %w", f.Name(), err)
		}
		return nil
	}, nil
}

// gone reports whether the terminal was hung up, e.g. a USB adapter unplugged.
func gone(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err != nil
}

// takeTTY makes f the controlling terminal of this process, which must lead a
// session, so that ctrl-C reaches it as SIGINT.
func takeTTY(f *os.File) error {
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("console %s: make controlling terminal: %w", f.Name(), err)
	}
	return nil
}
