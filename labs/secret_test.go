package labs

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// Secrets that are planted in a box, over the console and over SSH, are in its
// identity and nowhere else: not on the console, in no list of arguments, no log,
// report or status, and in no backup for whom it is not meant.
func TestSecretsStaySecret(t *testing.T) {
	f := startFarBox(t)
	host, c := "127.0.0.1:"+f.port, f.console
	planted := map[string]string{"typed": "orange-kettle-51", "piped": "velvet-anchor-88", "mistyped": "silent-gravel-17"}
	leaks := func(where, text string) {
		t.Helper()
		for name, value := range planted {
			for _, form := range []string{value, hex.EncodeToString([]byte(value)), strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "=")} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("the secret %q is in %s:\n…%q…", name, where, text[max(0, at-200):min(len(text), at+100)])
				}
			}
		}
	}
	shellOf := func(script string) string {
		t.Helper()
		out, err := sshInto(f.dir, f.port, script, "shell")
		if err != nil {
			t.Fatalf("ssh gw0 shell < %q: %v\n%s", script, err, out)
		}
		return out
	}

	// What runs meanwhile is looked at again and again.
	shell(t, c)
	c.Send(t, "(while [ ! -e /tmp/enough ]; do cat /proc/[0-9]*/cmdline; done > /tmp/seen 2>/dev/null) &\n")
	for _, second := range []string{planted["mistyped"], planted["typed"]} {
		c.Send(t, "tenchd secret set typed; echo ended-$((1+1))\n")
		c.Expect(t, `secret typed: `, menuTimeout)
		lab.Eventually(t, menuTimeout, "tenchd secret set typed is among the arguments", func() bool {
			return strings.Contains(shellOf("cat /tmp/seen"), "tenchd\x00secret\x00set\x00typed")
		})
		c.Send(t, planted["typed"]+"\n")
		c.Expect(t, `once more: `, menuTimeout)
		c.Send(t, second+"\n")
		c.Expect(t, `ended-2`, menuTimeout)
	}
	pipeSecret(t, f, planted["piped"], func() bool { return strings.Contains(shellOf("cat /tmp/seen"), "\x00piped") })
	c.Send(t, "echo > /tmp/enough\nexit\n")
	c.Expect(t, `> `, menuTimeout)
	if list := f.ssh(t, "secret list"); list != "piped\ntyped\n" {
		t.Errorf("ssh gw0 secret list: %q", list)
	}
	// Both would be found where they are.
	for _, name := range []string{"typed", "piped"} {
		if got := shellOf("cat /data/identity/secrets/" + name); !strings.Contains(got, planted[name]) {
			t.Errorf("the box stored %q as the secret %s", got, name)
		}
	}
	leaks("arguments", shellOf("cat /tmp/seen"))
	leaks("the kernel's log or a file of /run/tench", shellOf("dmesg; for f in /run/tench/*; do if [ -f $f ]; then cat $f; fi; done"))
	leaks("the data partition outside of the identity", shellOf("cat /data/config/*/* /data/state/*"))
	for _, command := range []string{"report", "status", "status --json", "why", "log", "config", "generations", "slots --json"} {
		out, err := sshInto(f.dir, f.port, "", command)
		if out == "" {
			t.Errorf("ssh gw0 %s says nothing: %v", command, err)
		}
		leaks("`tenchd "+command+"`", out)
	}
	leaks("the console's transcript", c.Transcript())
	secretsInBackup(t, f, host, planted, leaks)
}

// pipeSecret stores a secret over SSH, and keeps the command from its end until it
// was seen.
func pipeSecret(t *testing.T, f farBox, value string, seen func() bool) {
	t.Helper()
	cmd := sshCommand(f.dir, f.port, "secret", "set", "piped")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, werr := io.WriteString(in, value+"\n")
	lab.Eventually(t, menuTimeout, "tenchd secret set piped is among the arguments", seen)
	if err := errors.Join(werr, in.Close(), cmd.Wait()); err != nil {
		t.Fatalf("ssh gw0 secret set piped: %v", err)
	}
}

// secretsInBackup looks for the secrets in a backup as a stranger, and finds them
// as the recipient.
func secretsInBackup(t *testing.T, f farBox, host string, planted map[string]string, leaks func(where, text string)) {
	t.Helper()
	file := f.path("gw0.age")
	lab.Keygen(t, f.path("stranger"), "-t", "ed25519", "-N", "")
	leaks("what `tench backup` says", f.must(t, "backup", "--identity", f.path("id"), host, file, "--recipient", strings.TrimSpace(readText(t, f.path("id.pub")))))
	leaks("the backup", readText(t, file))
	out, err := f.tench(t, "backup", "extract", file, f.path("taken"), "--identity-file", f.path("stranger"))
	if err == nil {
		t.Errorf("a stranger opened the backup:\n%s", out)
	}
	leaks("what a stranger is told", out)
	leaks("the list of the backup", f.must(t, "backup", "list", file, "--identity-file", f.path("id")))
	f.must(t, "backup", "extract", file, f.path("mine"), "--identity-file", f.path("id"))
	for _, name := range []string{"typed", "piped"} {
		if got, err := os.ReadFile(filepath.Join(f.path("mine"), "identity", "secrets", name)); string(got) != planted[name] {
			t.Errorf("the recipient finds %q, %v as the secret %s", got, err, name)
		}
	}
}
