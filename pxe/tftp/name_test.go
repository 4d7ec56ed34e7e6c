package tftp

import (
	"io/fs"
	"strings"
	"testing"
)

func TestCleanName(t *testing.T) {
	tests := []struct {
		name, raw, want string // a want of "" is an error
	}{
		{"plain", "pxelinux.0", "pxelinux.0"},
		{"from the root", "/etc/boot.conf", "etc/boot.conf"},
		{"Windows' slashes", `\boot\bcd`, "boot/bcd"},
		{"slashes in a row", "//boot///kernel", "boot/kernel"},
		{"dots that stay inside", "boot/./lua/../kernel", "boot/kernel"},
		{"up and down", "boot/../vmlinuz", "vmlinuz"},
		{"a folder", "boot/loader.conf.d/", "boot/loader.conf.d"},
		{"names of dots", ".../..a/b..", ".../..a/b.."},
		{"a percent sign is one", "%2e%2e/%2fetc", "%2e%2e/%2fetc"},
		{"dots and slashes of other scripts", "．．∕etc", "．．∕etc"},
		{"a drive", `c:\x`, "c:/x"},
		{"up", "../etc/passwd", ""},
		{"up from the root", "/../etc/passwd", ""},
		{"up after down", "a/../../etc/passwd", ""},
		{"up with backslashes", `..\..\etc\passwd`, ""},
		{"up with both", `a/..\../etc/passwd`, ""},
		{"a zero", "a\x00b", ""},
		{"a line", "a\nb", ""},
		{"an escape", "a\x1b[2J", ""},
		{"a control character of Latin 1", "a\u0085", ""},
		{"overlong dots in UTF-8", "\xc0\xae\xc0\xae/etc", ""},
		{"the root", "/", ""},
		{"a dot", ".", ""},
		{"up to the root", "a/..", ""},
		{"nothing", "", ""},
		{"too long", strings.Repeat("x", maxName+1), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cleanName(tt.raw)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("cleanName(%q) = %q, %v, want %q", tt.raw, got, err, tt.want)
			}
		})
	}
}

func FuzzCleanName(f *testing.F) {
	for _, seed := range []string{"/etc/boot.conf", `\..\x`, "a/../../b", "%2e%2e/", "..%c0%af", "…"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		name, err := cleanName(raw)
		if err != nil {
			return
		}
		if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") {
			t.Errorf("cleanName(%q) = %q, which is no path below the tree", raw, name)
		}
		if again, err := cleanName(name); err != nil || again != name {
			t.Errorf("cleanName(%q) = %q, and of that %q, %v", raw, name, again, err)
		}
	})
}
