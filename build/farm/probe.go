package farm

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrOther is a host whose compiler is not ours: what it compiles would be
// other bytes, under the same key.
var ErrOther = errors.New("its compiler is another one")

// probe is preprocessed C; its first line gives the object a name that is the
// same everywhere.
const probe = "# 0 \"probe.c\"\nint tench_probe(int a) { return a * 7; }\n"

// Probe asks each host to compile a few words with the compiler called name,
// e.g. "aarch64-linux-gnu-gcc", and compares the object with that of this
// machine: a compiler writes its version into its objects. An error that is
// ErrOther must end the build; any other means that distcc will do without the
// host.
func (f Farm) Probe(ctx context.Context, name string) ([]State, error) {
	if f.Hosts == "" {
		return nil, nil
	}
	tmp, err := os.MkdirTemp("", "tench-farm-")
	if err != nil {
		return nil, fmt.Errorf("farm: %w", err)
	}
	defer os.RemoveAll(tmp)
	p := prober{tmp: tmp, compiler: name, env: []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + tmp, "LC_ALL=C",
		// A folder of its own: in the usual one distcc remembers who did not answer.
		"DISTCC_DIR=" + tmp, "DISTCC_FALLBACK=0"}}
	if err := os.WriteFile(filepath.Join(tmp, "probe.i"), []byte(probe), 0o644); err != nil {
		return nil, fmt.Errorf("farm: %w", err)
	}
	ours, err := p.compile(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("farm: try %s on this machine: %w", name, err)
	}
	var list []State
	for _, host := range strings.Fields(f.Hosts) {
		if strings.HasPrefix(host, "--") {
			continue // an option of the list
		}
		theirs, err := p.compile(ctx, host)
		if err == nil && !bytes.Equal(ours, theirs) {
			err = fmt.Errorf("%w: %s there, %s here", ErrOther, identity(theirs), identity(ours))
		}
		list = append(list, State{host, err})
	}
	return list, ctx.Err()
}

type prober struct {
	tmp, compiler string
	env           []string
}

// compile returns the object that host makes of the probe, or with "" this
// machine.
func (p prober) compile(ctx context.Context, host string) ([]byte, error) {
	object := filepath.Join(p.tmp, "probe.o")
	args := []string{p.compiler, "-O2", "-c", "probe.i", "-o", object}
	if host != "" {
		args = append([]string{"distcc"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = p.tmp, append(p.env, "DISTCC_HOSTS="+host)
	if out, err := cmd.CombinedOutput(); err != nil {
		line, _, _ := strings.Cut(string(out), "\n")
		return nil, fmt.Errorf("%w: %s", err, line)
	}
	data, err := os.ReadFile(object)
	return data, errors.Join(err, os.Remove(object))
}

// identity is what the compiler called itself in the object, e.g.
// "GCC: (Debian 12.2.0-14+deb12u1) 12.2.0".
func identity(object []byte) string {
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		return "no object"
	}
	comment := f.Section(".comment")
	if comment == nil {
		return "no name"
	}
	data, err := comment.Data()
	if err != nil {
		return "no name"
	}
	return string(bytes.Trim(data, "\x00"))
}
