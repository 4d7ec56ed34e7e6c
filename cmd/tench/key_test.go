package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// A stick has FAT, which knows no links: what tells of that is the kernel, here
// because it is told to.
func TestWriteNewWithoutLinks(t *testing.T) {
	refuseLinks(t)
	path := filepath.Join(t.TempDir(), "release.sec")
	if err := os.Link("/dev/null", path); !errors.Is(err, unix.EPERM) {
		t.Fatalf("a link = %v, want EPERM", err)
	}
	if err := writeNew(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("second"), 0o600); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file that is there = %v, want os.ErrExist", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v is there, want one file", left, err)
	}
}

// Half a pair is of no use, and its name would be taken.
func TestKeyWithoutItsHalf(t *testing.T) {
	name := filepath.Join(t.TempDir(), "release")
	words := strings.NewReader("words\n")
	c := &cobra.Command{}
	c.SetIn(readerFunc(func(p []byte) (int, error) { // who types, while somebody takes the name
		n, err := words.Read(p)
		return n, errors.Join(err, os.WriteFile(name+publicEnd, nil, 0o644))
	}))
	c.SetContext(t.Context())
	if err := newKey(c, name, false); !errors.Is(err, os.ErrExist) {
		t.Errorf("newKey = %v, want that the other file exists", err)
	}
	if _, err := os.Stat(name + secretEnd); err == nil {
		t.Error("a secret key without its public half is left")
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// refuseLinks has the kernel refuse link(2) to the test's thread, which ends with
// it (seccomp(2), and bpf filters as in socket(7)).
func refuseLinks(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_LINKAT, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := errors.Join(
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
	if err != nil {
		t.Fatal(err)
	}
}
