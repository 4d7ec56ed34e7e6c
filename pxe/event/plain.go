package event

import (
	"strings"
	"unicode/utf8"
)

// Plain is a text that came from the network as one line that steers no
// terminal and has at most limit bytes: what is not printable, line ends too, is
// a question mark.
func Plain(text string, limit int) string {
	if len(text) > limit {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	return strings.Map(func(r rune) rune {
		steers := r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0
		marks := r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff // of width 0, or turning the direction
		if steers || marks || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}
