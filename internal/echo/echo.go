// Package echo keeps a terminal from showing what is typed.
package echo

import "golang.org/x/sys/unix"

// Off turns the echo of the terminal fd off until show is called. It belongs
// before the first question and show behind the last answer: term.ReadPassword
// alone turns it off a moment after the question is seen, and a quick answer would
// be shown. It may be called again meanwhile.
func Off(fd int) (show func(), err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}
