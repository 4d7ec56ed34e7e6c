package event

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlain(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"words", "gw0: büro", "gw0: büro"},
		{"an escape sequence", "a\x1b[2Jb", "a?[2Jb"},
		{"C1's sequence", "a\u009b2Jb", "a?2Jb"},
		{"more lines", "a\r\nb", "a??b"},
		{"text that turns", "a\u202eb", "a?b"},
		{"not UTF-8", "a\xff\xfeb", "a??b"},
		{"too long", strings.Repeat("x", 30), strings.Repeat("x", 20)},
		{"cut in a letter", strings.Repeat("x", 19) + "üü", strings.Repeat("x", 19)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Plain(tt.in, 20); got != tt.want {
				t.Errorf("Plain(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("gw0", 3)
	f.Add("\x1b]0;x\a", 100)
	f.Add("ü\xc3", 1)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 0 || limit > 1000 {
			return
		}
		got := Plain(s, limit)
		// Bytes that are no letter become one each.
		if !utf8.ValidString(got) || len(got) > limit || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("Plain(%q, %d) = %q", s, limit, got)
		}
		if again := Plain(got, limit); again != got {
			t.Errorf("Plain(%q) = %q, want no change", got, again)
		}
	})
}
