package loaders

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tench/internal/lab"
	"tench/release/netboot"
)

// GRUB's own tools must take the modules that we name, and file(1) see a program
// for the firmware in what comes out.
func TestGRUB(t *testing.T) {
	want := map[string]string{
		"grub.pxe":    "", // a PXE program has no head that would name it
		"grubx64.efi": "(EFI application) x86-64",
	}
	for _, g := range grubs {
		kind, installed := want[g.name]
		if !installed {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join("/usr/lib/grub", g.platform, "modinfo.sh")); err != nil {
				lab.Lack(t, err)
			}
			dir := t.TempDir()
			if err := g.build(t.Context(), map[Part]string{grubTools: "/", g.part: "/"}, dir, io.Discard); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, g.name))
			if err != nil || len(data) < 100_000 {
				t.Fatalf("%s has %d bytes, %v", g.name, len(data), err)
			}
			// A server looks for the line in the file as it is.
			if n := bytes.Count(data, []byte(netboot.GRUBLine+"\n")); n > 1 || (n == 1) != g.toldServer() {
				t.Errorf("%s has the line %q %d times", g.name, netboot.GRUBLine, n)
			}
			if kind == "" {
				return
			}
			said, err := exec.Command("file", "--brief", filepath.Join(dir, g.name)).CombinedOutput()
			if err != nil || !strings.Contains(string(said), kind) {
				t.Errorf("file says %q, %v; want %q", said, err, kind)
			}
		})
	}
}

func TestGRUBThatDoesNotRun(t *testing.T) {
	tools := t.TempDir()
	put(t, filepath.Join(tools, "usr/bin/grub-mkimage"), "#!/bin/sh\necho no such module >&2\nexit 3\n")
	dir := t.TempDir()
	err := grubs[0].build(t.Context(), map[Part]string{grubTools: tools}, dir, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "exit status 3: no such module\nhint: ") {
		t.Errorf("build = %v, want what grub-mkimage said and a hint", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("a failed build left %v", left)
	}
}

func TestBuild(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	put(t, filepath.Join(root, "usr/bin/grub-mkimage"), "#!/bin/sh\nwhile [ \"$1\" != --output ]; do shift; done\necho made >\"$2\"\n")
	for _, c := range copies {
		put(t, filepath.Join(root, c.path), c.name)
	}
	trees := map[Part]string{}
	for _, p := range Parts() {
		trees[p] = root
	}
	if err := Build(t.Context(), trees, dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"grub.pxe", "grubaa64.efi", "grubarm.efi", "grubia32.efi", "grubx64.efi", "ipxe.efi", "ldlinux.c32", "pxelinux.0", "snponly.efi", "undionly.kpxe"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("made %q, %v; want %q", names, err, want)
	}
	if err := os.Remove(filepath.Join(root, "usr/lib/ipxe/snponly.efi")); err != nil {
		t.Fatal(err)
	}
	if err := Build(t.Context(), trees, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "loaders: copy snponly.efi") {
		t.Errorf("Build of a package without snponly.efi = %v", err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
