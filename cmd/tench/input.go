package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"tench/internal/echo"
)

// maxInput bounds the router.toml and keys that are read whole, in bytes. Whoever
// takes them apart is stricter; /dev/zero has no end.
const maxInput = 1 << 20

// readFile reads a router.toml or a key. Ctrl-C ends the waiting for a FIFO.
func readFile(ctx context.Context, path string) ([]byte, error) {
	return echo.Await(ctx, func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readInput(path, f)
	})
}

// readAll reads to the end of in, the standard input. Ctrl-C ends the waiting.
func readAll(ctx context.Context, in io.Reader) ([]byte, error) {
	return echo.Await(ctx, func() ([]byte, error) { return readInput("standard input", in) })
}

func readInput(name string, in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("read %s: it has more than %d bytes", name, maxInput)
	}
	return data, err
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
