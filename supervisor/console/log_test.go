package console

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if _, err := Log(path, 5); err == nil || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("Log without a file = %v; want an error with a hint", err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path+".1", "one\ntwo\n")
	check := func(lines int, want string) {
		t.Helper()
		if got, err := Log(path, lines); err != nil || got != want {
			t.Errorf("Log(%d) = %q, %v; want %q", lines, got, err, want)
		}
	}
	check(1, "two\n") // in the middle of a rotation
	write(path, "three\nfour\n")
	check(0, "")
	check(1, "four\n")
	check(3, "two\nthree\nfour\n")
	check(4, "one\ntwo\nthree\nfour\n")
	check(99, "one\ntwo\nthree\nfour\n")
}

// chunks takes what FollowLog writes.
type chunks chan string

func (c chunks) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// wait reads until want was written.
func (c chunks) wait(t *testing.T, want string) {
	t.Helper()
	for got := ""; got != want; {
		got += <-c
		if !strings.HasPrefix(want, got) {
			t.Fatalf("got %q; want %q", got, want)
		}
	}
}

func TestFollowLogThroughARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	add := func(path, text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	add(path, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n")
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(chunks, 100), make(chan error, 1)
	go func() { done <- FollowLog(ctx, path, out) }()
	out.wait(t, "2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n")
	add(path, "12\n")
	out.wait(t, "12\n")
	add(path, "13\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add(path, "14\n")
	out.wait(t, "13\n14\n")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("FollowLog = %v; want context.Canceled", err)
	}
}
