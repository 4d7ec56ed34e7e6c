// Package lab helps the stories in labs: real programs, in network namespaces
// and in QEMU.
//
//	lab.go      when labs run, and what they need
//	netns.go    network namespaces, veth pairs, programs in them
//	memory.go   what programs hold
//	machine.go  a virtual machine with the box's own kernel
//	monitor.go  commands to a QEMU that runs
//	farm.go     daemons of a compile farm on loopback
//	sshd.go     Debian's sshd on the loopback, bad lines to it
//	meter.go    a line that counts what it carries
//	console.go  a machine behind a serial console: type, expect
//	writelog.go what a machine did to its disk, and what a power cut leaves of it
package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Require skips the test unless TENCH_LAB=yes, and fails it when that is set
// and a program is missing: a lab that silently does not run proves nothing.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	if os.Getenv("TENCH_LAB") != "yes" {
		t.Skip("a lab: set TENCH_LAB=yes to run it")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("lab: %v\nhint: bin/tench doctor --install", err)
		}
	}
}

// Lack is for a test outside labs that needs what this machine lacks: it is skipped,
// but where labs run it fails, for the same reason.
func Lack(t testing.TB, what error) {
	t.Helper()
	if os.Getenv("TENCH_LAB") == "yes" {
		t.Fatalf("%v\nhint: bin/tench doctor --install", what)
	}
	t.Skip(what)
}

// RequireRoot is Require for labs that make network namespaces.
func RequireRoot(t testing.TB, programs ...string) {
	t.Helper()
	Require(t, programs...)
	if os.Geteuid() != 0 {
		t.Fatal("lab: this needs root, for network namespaces")
	}
}

// Root is the checkout: the folder with go.mod, at or above the test's own.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("lab: no go.mod above the test")
	return ""
}
