package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tench/internal/lab"
	"tench/internal/remote"
	"tench/internal/slottest"
	"tench/release/rollout"
	"tench/supervisor/update"
)

// boxName is what the test's program is called where it stands in for a box:
// sshd starts it with the box's folder as its argument.
const boxName = "tench-test-box"

// testBox stands in for tenchd: the slots are files in a folder.
type testBox struct{ dir string }

func (b testBox) Running() string                    { return "a" }
func (b testBox) OnTrial() (bool, error)             { return false, nil }
func (b testBox) Vacate() error                      { return os.RemoveAll(b.path("armed")) }
func (b testBox) Device(slot string) (string, error) { return b.path(slot), nil }
func (b testBox) Arm(slot string, _ int) error {
	return os.WriteFile(b.path("armed"), []byte(slot), 0o644)
}

func (b testBox) path(name string) string { return filepath.Join(b.dir, name) }

// standInBox runs what SSH was asked to run.
func standInBox() {
	b := testBox{os.Args[1]}
	words := strings.Fields(os.Getenv("SSH_ORIGINAL_COMMAND"))
	var err error
	switch {
	case len(words) > 1 && words[0] == "update":
		u := &update.Updater{Board: "apu2", Release: "2026.11", Epoch: 2_000_000_000, Slots: b, Open: update.OpenDevice,
			Identity: b.path("identity"), State: b.dir, Run: b.dir, Log: func(string, ...any) {}, Step: func(string, int64, int64) {}, Wait: pause}
		err = u.Serve(context.Background(), os.Stdin, os.Stdout, true)
	case len(words) > 1 && words[0] == "slots":
		slot, _ := os.ReadFile(b.path("armed"))
		fmt.Printf(`{"running":"%s","good":"%[1]s","next":"%[1]s"}`, slot)
	default:
		err = errors.New("unknown command")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tenchd:", err)
		os.Exit(1)
	}
}

// newStandIn is a box behind a real sshd.
func newStandIn(t *testing.T) (testBox, lab.SSHHost) {
	t.Helper()
	b := testBox{t.TempDir()}
	self, err := os.Executable()
	must(t, err)
	program := b.path(boxName)
	must(t, os.Symlink(self, program))
	public, _ := slottest.Key(t, 1)
	must(t, os.MkdirAll(b.path("identity/update-keys"), 0o755))
	must(t, os.WriteFile(b.path("identity/update-keys/test.pub"), public.Marshal(), 0o644))
	old := slottest.New("apu2", "2026.11", 2_000_000_000, 700_000, 500_000).Bytes()
	for _, slot := range []string{"a", "b"} {
		must(t, os.WriteFile(b.path(slot), append(old, make([]byte, 2<<20)...), 0o644))
	}
	h := lab.StartSSH(t, "ForceCommand "+program+" "+b.dir)
	t.Setenv("HOME", h.Home)
	t.Setenv("SSH_AUTH_SOCK", "")
	return b, h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// breaksOnce is a line to the host whose first connection breaks after so many
// bytes to it; what was on the way then is lost.
func breaksOnce(t *testing.T, h lab.SSHHost, n int64) lab.SSHHost {
	target := h.Port
	var count atomic.Int32
	h.Port = lab.Listen(t, func(c *net.TCPConn) {
		up, err := net.Dial("tcp", "127.0.0.1:"+target)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { _, _ = io.Copy(c, up) }()
		if count.Add(1) > 1 {
			n = math.MaxInt64
		}
		_, _ = io.CopyN(up, c, n)
	})
	h.Trust(t, h.Port)
	return h
}

// The whole command against OpenSSH's sshd; its line may break.
func TestUpdateOverSSH(t *testing.T) {
	for name, through := range map[string]int64{"a line that holds": 0, "a line that breaks": 1_400_000} {
		t.Run(name, func(t *testing.T) {
			lab.RequireRoot(t)
			b, h := newStandIn(t)
			if through > 0 {
				h = breaksOnce(t, h, through)
			}
			dir := t.TempDir()
			_, secret := slottest.Key(t, 1)
			image := slottest.New("apu2", "2026.12", 2_100_000_000, 720_000, 510_000)
			slottest.Release(t, dir, secret, image)
			var out, words bytes.Buffer
			if code := run([]string{"update", "--json", "127.0.0.1:" + h.Port, dir}, strings.NewReader(""), &out, &words); code != exitOK {
				t.Fatalf("tench update exits with %d:\n%s", code, words.String())
			}
			got, err := os.ReadFile(b.path("b"))
			must(t, err)
			if !bytes.HasPrefix(got, image.Bytes()) {
				t.Error("slot b has another image")
			}
			var results []rollout.Result
			must(t, json.Unmarshal(out.Bytes(), &results))
			if len(results) != 1 || results[0].State != rollout.Healthy || results[0].Release != "2026.12" {
				t.Errorf("results %+v", results)
			}
			if broke := strings.Contains(words.String(), "the line broke"); broke != (through > 0) {
				t.Errorf("the line broke: %v\n%s", broke, words.String())
			}
		})
	}
}

// An update connects every few seconds while a box reboots.
func TestPassphraseIsAskedForOnce(t *testing.T) {
	h := lab.StartSSH(t)
	key := h.Path("locked")
	lab.Keygen(t, key, "-t", "ed25519", "-N", "open sesame")
	h.Allow(t, key+".pub")
	asked := 0
	dial := dialer(remote.Options{Home: h.Home, Identity: key, Passphrase: func(string) ([]byte, error) {
		asked++
		return []byte("open sesame"), nil
	}})
	for range 2 {
		line, err := dial(t.Context(), "127.0.0.1:"+h.Port)
		must(t, err)
		err = line.Run(t.Context(), "echo 'tenchd: no' >&2; exit 1", nil, io.Discard)
		if err == nil || err.Error() != "no" {
			t.Errorf("Run = %v; want the box's words", err)
		}
		must(t, line.Close())
	}
	if asked != 1 {
		t.Errorf("the passphrase was asked for %d times", asked)
	}
}

// ssh itself is the desk that only looks: tenchd's first message is readable.
func TestOpenSSHSeesTheHello(t *testing.T) {
	lab.RequireRoot(t, "ssh")
	_, h := newStandIn(t)
	cmd := exec.Command("ssh", "-F", "none", "-i", filepath.Join(h.Home, ".ssh/id_ed25519"), "-o", "UserKnownHostsFile="+filepath.Join(h.Home, ".ssh/known_hosts"),
		"-p", h.Port, "root@127.0.0.1", "update", "-")
	out, err := cmd.Output() // standard input is empty: the box gives up
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(exit.Stderr), "the line broke") {
		t.Errorf("ssh: %v\n%s", err, exit.Stderr)
	}
	if !strings.HasPrefix(string(out), "h\x00\x00") || !strings.Contains(string(out), `"board":"apu2","running":"a","target":"b"`) {
		t.Errorf("the box says %q", out)
	}
}
