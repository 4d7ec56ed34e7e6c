package farm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tench/internal/lab"
)

// TestLabProbe asks a distccd with our compiler, one with another compiler, and
// nobody.
func TestLabProbe(t *testing.T) {
	lab.Require(t, "distcc", "distccd", "gcc")
	same := lab.Distccd(t)
	other := t.TempDir()
	if err := os.Chmod(filepath.Dir(other), 0o755); err != nil { // distccd runs as another user
		t.Fatal(err)
	}
	// distcc asks for the full name, so that another host's "gcc" is no trap.
	wrapper := "#!/bin/sh\nexec /usr/bin/gcc -fno-ident \"$@\"\n"
	for _, name := range []string{"gcc", "x86_64-linux-gnu-gcc"} {
		if err := os.WriteFile(filepath.Join(other, name), []byte(wrapper), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	foreign := lab.Distccd(t, "PATH="+other+":/usr/bin:/bin")
	f := Farm{Hosts: same.Host + "/3 " + foreign.Host + " 127.0.0.1:1 --localslots=1"}
	states, err := f.Probe(t.Context(), "gcc")
	if err != nil {
		t.Fatal(err)
	}
	if len(states) != 3 || states[0].Err != nil || !errors.Is(states[1].Err, ErrOther) ||
		states[2].Err == nil || errors.Is(states[2].Err, ErrOther) {
		t.Errorf("Probe = %v, want the same compiler, another one, and no answer", states)
	}
	if n := f.Jobs(t.Context(), 2); n < 5 {
		t.Errorf("Jobs = %d, want what the hosts offer", n)
	}
	if n := (Farm{Hosts: same.Host + "/1"}).Jobs(t.Context(), 2); n != 2 {
		t.Errorf("Jobs of a small farm = %d, want this machine's 2", n)
	}
}
