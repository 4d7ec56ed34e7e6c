package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tench/internal/nearest"
	"tench/internal/tomlfile"
)

// place is where a value stands: its path, to find the line, and the same in
// the words of an operator, who counts from one.
type place struct {
	path []string
	text string // e.g. "interface.lan.address[2]"
}

func top(key string) place { return place{[]string{key}, key} }

func (at place) key(k string) place {
	shown := k
	if k == "" || !only(k, isLetter, isDigit, oneOf("-_")) {
		shown = show(k) // as TOML demands it
	}
	return place{slices.Concat(at.path, []string{k}), at.text + "." + shown}
}

func (at place) item(i int) place {
	return place{slices.Concat(at.path, []string{strconv.Itoa(i)}), fmt.Sprintf("%s[%d]", at.text, i+1)}
}

// interfaceAt is the place of [interface.NAME].
func interfaceAt(name string) place { return top("interface").key(name) }

// reader turns values of any type into those of Config. What is wrong with one
// becomes a problem, and the zero value stands in for it. Absent values (nil)
// give the default without a problem.
type reader struct {
	file     *tomlfile.File
	problems tomlfile.Problems
}

func (r *reader) line(at place) int { return r.file.Line(at.path...) }

// bad notes a problem; hint says what to do and may be empty. Names from the
// file are printed as they are, so control characters are taken out here.
//
// A place without a line stands below a key in the wrong case, e.g. Interface:
// go-toml reads it all the same, but it is already reported as unknown.
func (r *reader) bad(at place, hint, format string, args ...any) {
	if r.line(at) == 0 {
		return
	}
	r.problems = append(r.problems, tomlfile.Problem{
		File: r.file.Name, Line: r.line(at),
		Text: harmless(at.text + ": " + fmt.Sprintf(format, args...)), Hint: harmless(hint),
	})
}

// harmless replaces what a terminal might take for a command.
func harmless(s string) string {
	return strings.Map(func(c rune) rune {
		if !strconv.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}

// text reads a string; it is never empty and never a placeholder.
func (r *reader) text(at place, v any) string {
	if v == nil {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		r.bad(at, "write it in double quotes", "%s is not a string", show(v))
	case s == "":
		r.bad(at, "write a value, or leave the key out", "is empty")
	case placeholder(s):
		r.bad(at, "write this box's own value", "%s is a placeholder", show(s))
	default:
		return s
	}
	return ""
}

func (r *reader) flag(at place, v any, otherwise bool) bool {
	if v == nil {
		return otherwise
	}
	b, ok := v.(bool)
	if !ok {
		r.bad(at, "", "%s is neither true nor false", show(v))
		return otherwise
	}
	return b
}

// span is the range of a number, both ends in it, and its default.
type span struct{ low, high, otherwise int }

// most is the largest number for the kernel's 32-bit ones: an int has 32 bits
// on the smallest boards.
const most = math.MaxInt32

func (r *reader) number(at place, v any, allowed span) int {
	if v == nil {
		return allowed.otherwise
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		r.bad(at, fmt.Sprintf("write a number between %d and %d, without quotes", allowed.low, allowed.high),
			"%s is not a whole number", show(v))
	case n < int64(allowed.low) || n > int64(allowed.high):
		r.bad(at, "", "%d is not between %d and %d", n, allowed.low, allowed.high)
	default:
		return int(n)
	}
	return 0
}

// item is one string of a list.
type item struct {
	at   place
	text string
}

// texts reads a list of strings. Those that text refuses are left out, and so
// are repetitions, which are always a slip.
func (r *reader) texts(at place, v any) []item {
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		r.bad(at, "write a list in brackets, e.g. [\"one\", \"two\"]", "%s is not a list", show(v))
		return nil
	}
	if len(list) == 0 {
		r.bad(at, "write a value, or leave the key out", "is empty")
	}
	var items []item
	for i, v := range list {
		one := item{at.item(i), r.text(at.item(i), v)}
		if one.text == "" {
			continue
		}
		if slices.ContainsFunc(items, func(it item) bool { return it.text == one.text }) {
			r.bad(one.at, "", "%s is listed twice", show(one.text))
			continue
		}
		items = append(items, one)
	}
	return items
}

// show prints a value for a message, cut to fit a line.
func show(v any) string {
	switch v := v.(type) {
	case string:
		if len(v) > 60 {
			v = v[:60] + "..."
		}
		return strconv.QuoteToASCII(v)
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	default:
		return fmt.Sprint(v)
	}
}

// didYouMean makes a hint from the known names: the closest, or all of them.
func didYouMean(word string, known []string) string {
	if near := nearest.Of(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return ""
	}
	return "known here: " + strings.Join(known, ", ")
}
