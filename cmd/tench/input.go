package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"tench/internal/echo"
)

// readAll reads to the end of in. Ctrl-C ends the waiting.
func readAll(ctx context.Context, in io.Reader) ([]byte, error) {
	return echo.Await(ctx, func() ([]byte, error) { return io.ReadAll(in) })
}

// readLine reads a line without its end. Ctrl-C ends the waiting.
func readLine(ctx context.Context, in io.Reader) ([]byte, error) {
	line, err := echo.Await(ctx, func() ([]byte, error) { return nextLine(in) })
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	return bytes.TrimSuffix(line, []byte("\n")), nil
}

// readAnswer reads a line. Ctrl-C ends the waiting.
func readAnswer(ctx context.Context, in io.Reader) (string, error) {
	line, _ := echo.Await(ctx, func() ([]byte, error) { return nextLine(in) })
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
