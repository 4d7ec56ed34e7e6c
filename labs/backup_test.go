package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// TestBackup fetches a backup from OpenSSH's sshd, which runs tenchd as the
// box's door would, and opens it with Debian's age.
func TestBackup(t *testing.T) {
	lab.RequireRoot(t, "go", "age", "tar")
	dir := t.TempDir()
	tenchd, data := filepath.Join(dir, "tenchd"), filepath.Join(dir, "data")
	lab.Run(t, "", "go", "build", "-C", lab.Root(t), "-o", tenchd, "./cmd/tenchd")
	for path, text := range map[string]string{
		"config/1/router.toml": "hostname = \"gw0\"\n", "config/current": "1\n", "identity/name": "gw0\n", "identity/secrets/wan": "s3cret",
	} {
		path = filepath.Join(data, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := lab.StartSSH(t, "ForceCommand test \"$SSH_ORIGINAL_COMMAND\" = backup && exec "+tenchd+" backup --data "+data)
	key, file := filepath.Join(h.Home, ".ssh", "id_ed25519"), filepath.Join(dir, "gw0.age")
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	tench := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(lab.Root(t), "bin", "tench"), append([]string{"backup"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+h.Home, "SSH_AUTH_SOCK=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out) + err.Error()
		}
		return string(out)
	}
	if out := tench("127.0.0.1:"+h.Port, file, "--recipient", string(public)); !strings.Contains(out, "gw0.age: gw0\ngenerations of router.toml: 1; files of its identity: 2, secrets among them: 1\n") {
		t.Fatalf("tench backup: %s", out)
	}
	if out := tench("list", file, "--identity-file", key); !strings.Contains(out, "identity/secrets/wan  6 bytes\n") {
		t.Errorf("tench backup list: %s", out)
	}
	plain := filepath.Join(dir, "gw0.tar")
	lab.Run(t, "", "age", "-d", "-i", key, "-o", plain, file)
	if got := lab.Run(t, "", "tar", "-xOf", plain, "identity/secrets/wan"); got != "s3cret" {
		t.Errorf("the secret is %q", got)
	}
	// A box that cannot: its own words, and the old file stays.
	if err := os.Symlink("/etc/passwd", filepath.Join(data, "identity", "authorized_keys")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := tench("127.0.0.1:"+h.Port, file, "--recipient", string(public))
	if !strings.Contains(out, "authorized_keys is not a file of at most") || !strings.Contains(out, "exit status 1") {
		t.Errorf("tench backup of a box that refuses: %s", out)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the backup from before is gone: %v", err)
	}
}
