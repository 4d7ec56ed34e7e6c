package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sha256sum is the independent reader of what WriteSums writes.
func TestSumsAreReadBySha256sum(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.img"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, SumsFile)
	sum := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	if err := WriteSums(path, []Product{{File: "a.img", SHA256: sum}}); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		cmd := exec.Command("sha256sum", "--check", "--strict", SumsFile)
		cmd.Dir = dir
		return cmd.Run()
	}
	if err := check(); err != nil {
		t.Errorf("sha256sum --check = %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.img"), []byte("hallo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if check() == nil {
		t.Error("sha256sum --check accepts another content")
	}
	if err := WriteSums(path, []Product{{File: "a\n.img", SHA256: sum}}); err == nil {
		t.Error("WriteSums accepts a name with a line end")
	}
}

// sha256sum --tag is the independent writer of what ParseSums reads.
func TestParseSumsOfSha256sum(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.img", "b.img"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sha256sum", "--tag", "a.img", "b.img")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSums("SHA256", out)
	if err != nil {
		t.Fatal(err)
	}
	sum := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	if diff := cmp.Diff([]Product{{File: "a.img", SHA256: sum}, {File: "b.img", SHA256: sum}}, got); diff != "" {
		t.Errorf("ParseSums (-want +got)\n%s", diff)
	}
}

func TestParseSumsErrors(t *testing.T) {
	line := "SHA256 (a.img) = " + sum1 + "\n"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":            {"", "SHA256: its last line has no end"},
		"cut":              {line + line[:30], "SHA256: its last line has no end"},
		"no name":          {"SHA256 () = " + sum1 + "\n", "SHA256:1: "},
		"GNU's format":     {sum1 + "  a.img\n", "SHA256:1: "},
		"another hash":     {line + strings.Replace(line, "SHA256", "SHA512", 1), "SHA256:2: "},
		"hash in capitals": {strings.Replace(line, sum1, strings.ToUpper(sum1), 1), "SHA256:1: "},
		"empty line":       {line + "\n", `SHA256:2: ""`},
		"folder":           {strings.Replace(line, "a.img", "../a.img", 1), `SHA256:1: "../a.img" is not a file name`},
		"hidden":           {strings.Replace(line, "a.img", ".a", 1), `SHA256:1: ".a" is not a file name`},
		"twice":            {line + line, "SHA256:2: a.img is in line 1 already"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseSums("SHA256", []byte(tc.text)); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("ParseSums = %v, want %s…", err, tc.want)
			}
		})
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte("SHA256 (a.img) = " + sum1 + "\n"))
	f.Add([]byte("SHA256 (a.img) = \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseSums("SHA256", data)
		if err != nil {
			return
		}
		again, err := FormatSums(list)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseSums("SHA256", again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sorted(list), back); diff != "" {
			t.Errorf("round trip (-want +got)\n%s", diff)
		}
	})
}
