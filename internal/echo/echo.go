// Package echo asks on a terminal without showing what is typed.
package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Ask shows the prompt on out and reads a line from the terminal tty. The terminal
// shows again what is typed once Ask returns, also when ctx ends, e.g. by ctrl-C.
func Ask(ctx context.Context, tty *os.File, out io.Writer, prompt string) ([]byte, error) {
	show, err := off(int(tty.Fd()))
	if err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	defer show()
	fmt.Fprint(out, prompt)
	defer fmt.Fprintln(out)
	return Await(ctx, func() ([]byte, error) { return readLine(tty) })
}

// Await reads what may never come, until ctx ends, e.g. by ctrl-C. A read of a
// terminal or a pipe does not end with ctx; it is left to the end of the process.
func Await(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// AskTwice is Ask for something new, twice, since nobody sees what is typed.
// Where nothing is typed at first, it is not asked for again.
func AskTwice(ctx context.Context, tty *os.File, out io.Writer, prompt string) ([]byte, error) {
	show, err := off(int(tty.Fd())) // between the questions, too
	if err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	defer show()
	first, err := Ask(ctx, tty, out, prompt)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	second, err := Ask(ctx, tty, out, "once more: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("what was typed differs: nothing was written")
	}
	return first, nil
}

// readLine reads a line without its end. term.ReadPassword would set the terminal
// itself: a moment after the question is seen, when a quick answer was shown
// already, and perhaps after Ask has given it back.
func readLine(tty io.Reader) ([]byte, error) {
	var line []byte
	buf := make([]byte, 4096) // a terminal gives a line at once, or what ctrl-D sends of it
	for {
		n, err := tty.Read(buf)
		line = append(line, buf[:n]...)
		if words, whole := bytes.CutSuffix(line, []byte("\n")); whole || errors.Is(err, io.EOF) && len(line) > 0 {
			return words, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// off has the terminal fd give lines and show nothing until show is called.
func off(fd int) (show func(), err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag = hidden.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}
