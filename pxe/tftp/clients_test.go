package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	uroot "pack.ag/tftp"

	"tench/internal/lab"
)

// program is a TFTP client of others.
type program struct {
	name    string
	missing string // a part of what it says of a file that is not there
	fetch   func(ctx context.Context, server netip.AddrPort, name, to string) error
}

// run is a program's command line, in which HOST, PORT, NAME and TO stand for
// what they say.
func run(args ...string) func(context.Context, netip.AddrPort, string, string) error {
	return func(ctx context.Context, server netip.AddrPort, name, to string) error {
		values := map[string]string{"HOST": server.Addr().String(), "PORT": strconv.Itoa(int(server.Port())), "NAME": name, "TO": to}
		line := make([]string, len(args))
		for i, a := range args {
			line[i] = os.Expand(a, func(v string) string { return values[v] })
		}
		out, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput()
		for err != nil && ctx.Err() == nil && strings.Contains(string(out), "unexpected OACK") { // so atftp ends when one comes twice
			out, err = exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput()
		}
		if err == nil && line[0] == "tftp" && strings.Contains(string(out), "Error code ") {
			err = errors.New("it ends well all the same") // as tftp-hpa does whatever happens
		}
		if err != nil {
			return fmt.Errorf("%v: %w\n%s", line, err, out)
		}
		return nil
	}
}

// pxeboot fetches with the client of u-root's pxeboot, and its options. That never
// sends a request again that was lost on the way, and gives up when an OACK comes
// twice, whoever serves: then it starts again.
func pxeboot(ctx context.Context, server netip.AddrPort, name, to string) error {
	for {
		err := pxebootOnce(server, name, to)
		if err == nil || ctx.Err() != nil ||
			!strings.HasPrefix(err.Error(), "receiving request response: ") && !strings.Contains(err.Error(), "unexpected datagram: OPTION_ACK") {
			return err
		}
	}
}

func pxebootOnce(server netip.AddrPort, name, to string) error {
	client, err := uroot.NewClient(uroot.ClientMode(uroot.ModeOctet), uroot.ClientBlocksize(1450), uroot.ClientWindowsize(64))
	if err != nil {
		return err
	}
	file, err := client.Get("tftp://" + server.String() + "/" + name)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	return os.WriteFile(to, got, 0o600)
}

var programs = []program{
	{"tftp-hpa", "Error code 1: file not found", run("tftp", "-m", "binary", "$HOST", "$PORT", "-c", "get", "$NAME", "$TO")},
	{"curl", "curl: (68)", run("curl", "-sS", "--tftp-no-options", "-o", "$TO", "tftp://$HOST:$PORT/$NAME")},
	{"curl, blksize 1428", "curl: (68)", run("curl", "-sS", "--tftp-blksize", "1428", "-o", "$TO", "tftp://$HOST:$PORT/$NAME")},
	{"atftp", "<file not found>", run("atftp", "-g", "-r", "$NAME", "-l", "$TO", "$HOST", "$PORT")},
	{"atftp, windowsize 8, timeout", "<file not found>", run("atftp", "--option", "blksize 1428", "--option", "windowsize 8", "--option", "timeout 3", "--option", "tsize 0",
		"-g", "-r", "$NAME", "-l", "$TO", "$HOST", "$PORT")},
	{"busybox", "(1) file not found", run("busybox", "tftp", "-g", "-r", "$NAME", "-l", "$TO", "$HOST", "$PORT")},
	{"busybox, blksize 1400", "(1) file not found", run("busybox", "tftp", "-b", "1400", "-g", "-r", "$NAME", "-l", "$TO", "$HOST", "$PORT")},
	{"u-root", "file not found", pxeboot},
}

// check has a client fetch a file, and compares it bytewise.
func (p program) check(t *testing.T, server netip.AddrPort, name string, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	to := filepath.Join(t.TempDir(), "file")
	if err := p.fetch(ctx, server, name, to); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes that are not the %d of the file: %v", name, len(got), len(want), err)
	}
}

// checkMissing has a client ask for what is not there: it must say so, and not
// wait as long as it does for an answer (25 s), nor take it for an empty file.
func (p program) checkMissing(t *testing.T, server netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := p.fetch(ctx, server, "missing", filepath.Join(t.TempDir(), "missing"))
	switch {
	case ctx.Err() != nil:
		t.Errorf("a missing file keeps it waiting: %v", err)
	case err == nil:
		t.Error("a missing file is one to it")
	case !strings.Contains(err.Error(), p.missing):
		t.Errorf("of a missing file it says %v, want %q", err, p.missing)
	}
}

func TestClientsOfOthers(t *testing.T) {
	lab.Require(t, "tftp", "curl", "atftp", "busybox")
	files := tree{}
	for _, n := range []int{0, 1, 511, 512, 513, 1428, 8 * 1428, 1_000_000} {
		files[fmt.Sprint(n)] = content(n)
	}
	// More than 65535 blocks of 512 bytes.
	files["rollover"] = content(33 << 20)
	addr, _, _ := serving(t, files)
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			for name, want := range files {
				p.check(t, addr, name, want)
			}
			p.checkMissing(t, addr)
		})
	}
}
