package console

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
)

// errInterrupted means that ctrl-C was pressed.
var errInterrupted = errors.New("interrupted")

// maxInput is the longest line in bytes that is taken; the kernel's line
// editing passes no longer ones.
const maxInput = 4096

// Input reads lines from a terminal, and knows of ctrl-C. A read that ctrl-C
// interrupted goes on in the background, and its line answers the next
// question. Nothing is read between questions, so that a program that the menu
// runs has the terminal for itself.
type Input struct {
	lines      chan inputLine
	demand     chan struct{}
	interrupts <-chan struct{}
	pending    bool // a read is under way
}

type inputLine struct {
	text string
	err  error
}

// NewInput reads from r. interrupts gets a value each time ctrl-C is pressed.
// The goroutine that reads ends with r.
func NewInput(r io.Reader, interrupts <-chan struct{}) *Input {
	in := &Input{lines: make(chan inputLine), demand: make(chan struct{}), interrupts: interrupts}
	go in.read(bufio.NewReaderSize(r, maxInput))
	return in
}

// Close ends the goroutine once its last read returned.
func (in *Input) Close() { close(in.demand) }

func (in *Input) read(r *bufio.Reader) {
	for range in.demand {
		text, err := r.ReadString('\n')
		in.lines <- inputLine{clean(text), err}
	}
}

// Forget drops a ctrl-C that was pressed before now, to be called before a
// question is printed: what is pressed after it was read must count.
func (in *Input) Forget() {
	select {
	case <-in.interrupts:
	default:
	}
}

// Line returns the next line, without what ends it. The error is
// errInterrupted, io.EOF when the terminal is gone, or ctx's.
func (in *Input) Line(ctx context.Context) (string, error) {
	if !in.pending {
		in.demand <- struct{}{}
		in.pending = true
	}
	select {
	case line := <-in.lines:
		in.pending = false
		return line.text, line.err
	case <-in.interrupts:
		return "", errInterrupted
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Interruptible runs do, whose context ends when ctrl-C is pressed.
func (in *Input) Interruptible(ctx context.Context, do func(ctx context.Context) error) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(run) }()
	select {
	case err := <-done:
		return err
	case <-in.interrupts:
		cancel()
		<-done
		return errInterrupted
	case <-ctx.Done():
		cancel()
		<-done
		return ctx.Err()
	}
}

// clean is what a line means: backspaces applied, the sequences of arrow and
// function keys and other control characters taken out. The kernel's line
// editing knows one erase character, DEL; terminals that send backspace instead
// are served here.
func clean(line string) string {
	var out []rune
	runes := []rune(strings.TrimRight(line, "\r\n"))
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case r == '\b' || r == 0x7f:
			out = out[:max(0, len(out)-1)]
		case r == 0x1b:
			i = skipSequence(runes, i)
		case r == '\t' || r >= ' ':
			out = append(out, r)
		}
	}
	return string(out)
}

// skipSequence returns the index of the last character of the escape sequence
// that starts at i: ESC [ parameters letter, or ESC O letter (ECMA-48, 5.4).
func skipSequence(runes []rune, i int) int {
	if i+1 >= len(runes) || runes[i+1] != '[' && runes[i+1] != 'O' {
		return i
	}
	for i += 2; i < len(runes); i++ {
		if r := runes[i]; r >= '@' && r <= '~' {
			return i
		}
	}
	return len(runes)
}
