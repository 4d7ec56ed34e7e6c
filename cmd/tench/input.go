package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// readAll reads to the end of in. Ctrl-C ends the waiting.
func readAll(ctx context.Context, in io.Reader) ([]byte, error) {
	return waiting(ctx, func() ([]byte, error) { return io.ReadAll(in) })
}

// readLine reads a line without its end. Ctrl-C ends the waiting.
func readLine(ctx context.Context, in io.Reader) ([]byte, error) {
	line, err := waiting(ctx, func() ([]byte, error) { return nextLine(in) })
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	return bytes.TrimSuffix(line, []byte("\n")), nil
}

// readAnswer reads a line. Ctrl-C ends the waiting.
func readAnswer(ctx context.Context, in io.Reader) (string, error) {
	line, _ := waiting(ctx, func() ([]byte, error) { return nextLine(in) })
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return string(line), nil // an end is an empty answer
}

// nextLine reads a line with its end, and no more: what follows answers the next
// question.
func nextLine(in io.Reader) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := in.Read(b)
		line = append(line, b[:n]...)
		if err != nil || n > 0 && b[0] == '\n' {
			return line, err
		}
	}
}

// waiting reads what may never come. A read of a terminal or a pipe does not end
// with ctx; it is left to the end of the process.
func waiting(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
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
