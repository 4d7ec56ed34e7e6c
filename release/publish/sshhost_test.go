package publish

import (
	"testing"
	"time"

	"tench/internal/lab"
	"tench/internal/remote"
)

// sshHost is Debian's sshd on the loopback.
type sshHost struct{ lab.SSHHost }

func startHost(t *testing.T, settings ...string) sshHost {
	t.Helper()
	return sshHost{lab.StartSSH(t, settings...)}
}

// through is a line to the host; see lab.SSHHost.Through.
func (h sshHost) through(t *testing.T, bytes int64, frozen bool) sshHost {
	t.Helper()
	return sshHost{h.Through(t, bytes, frozen)}
}

func (h sshHost) access() remote.Options {
	return remote.Options{User: "root", Home: h.Home, Patience: time.Minute}
}

func (h sshHost) dest(path string) Dest {
	return Dest{Host: "127.0.0.1", Port: h.Port, Path: path}
}

// open connects, or fails the test.
func (h sshHost) open(t *testing.T, path string) *Tree {
	t.Helper()
	tree, err := Open(t.Context(), h.dest(path), h.access())
	must(t, err)
	t.Cleanup(func() { tree.Close() })
	return tree
}
