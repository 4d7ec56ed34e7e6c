package kernel

import (
	"fmt"
	"strings"

	"tench/internal/nearest"
)

// why says in words why the wanted symbol is not so in c. It returns "" when
// the Kconfig files do not tell.
func (k *kconfig) why(wanted Symbol, c config) string {
	s := k.symbols[wanted.Name]
	switch {
	case s == nil || len(s.entries) == 0:
		return k.whyUnknown(wanted.Name)
	case s.mismatch(wanted.Value) != "":
		return s.mismatch(wanted.Value)
	case wanted.Value == "n":
		return s.whyOn(c)
	case c.value(s.name) == "n":
		return k.whyOff(s, c)
	default:
		return s.whyOther(c)
	}
}

func (k *kconfig) whyUnknown(name string) string {
	var names []string
	for n, s := range k.symbols {
		if len(s.entries) > 0 {
			names = append(names, n)
		}
	}
	if near := nearest.Of(name, names); near != "" {
		return fmt.Sprintf("there is no such symbol for this CPU; the nearest name is %s", near)
	}
	return "there is no such symbol for this CPU"
}

// mismatch says when value is not of the symbol's type.
func (s *kconfigSymbol) mismatch(value string) string {
	isText := strings.HasPrefix(value, `"`)
	isSwitch := value == "y" || value == "n"
	var want string
	switch {
	case (s.kind == "bool" || s.kind == "tristate") && !isSwitch:
		want = "y or n"
	case s.kind == "string" && !isText && value != "n":
		want = `a "string"`
	case s.kind == "int" && (isText || value == "y" || strings.HasPrefix(value, "0x")):
		want = "a number"
	case s.kind == "hex" && (isText || value == "y"):
		want = "a number such as 0x1f"
	default:
		return ""
	}
	return fmt.Sprintf("its type is %s, so it takes %s", s.kind, want)
}

// whyOff explains a symbol that is wanted but off, by the entry that comes
// nearest to being possible.
func (k *kconfig) whyOff(s *kconfigSymbol, c config) string {
	best := s.entries[0].unmet(c)
	entry := s.entries[0]
	for _, e := range s.entries[1:] {
		if u := e.unmet(c); len(u) < len(best) {
			best, entry = u, e
		}
	}
	if len(best) > 0 {
		return "it depends on " + k.describe(best, c)
	}
	if entry.choice != nil {
		return whyChoice(entry.choice, c)
	}
	if hidden := unmetAll(entry.visible, c); entry.prompt && len(hidden) > 0 {
		return "it can be set only with " + k.describe(hidden, c)
	}
	if !entry.prompt {
		return s.whyHidden()
	}
	if asked := entry.macros(); len(asked) > 0 {
		return fmt.Sprintf("it depends on %s, which this machine's tools seem not to offer", strings.Join(asked, " and "))
	}
	return ""
}

func (e *entry) unmet(c config) []expr { return unmetAll(e.deps, c) }

func unmetAll(exprs []expr, c config) []expr {
	var all []expr
	seen := map[string]bool{}
	for _, x := range exprs {
		for _, u := range unmet(x, c) {
			if !seen[u.String()] {
				seen[u.String()] = true
				all = append(all, u)
			}
		}
	}
	return all
}

func (e *entry) macros() []string {
	var asked []string
	for _, d := range e.deps {
		asked = append(asked, macros(d)...)
	}
	return asked
}

// describe words false expressions: "PPP, which is n, and !MODULES, but MODULES is y".
func (k *kconfig) describe(exprs []expr, c config) string {
	var parts []string
	for _, e := range exprs {
		switch e := e.(type) {
		case symbolExpr:
			state := "which is n"
			if s := k.symbols[string(e)]; s == nil || len(s.entries) == 0 {
				state = "which there is not for this CPU"
			}
			parts = append(parts, fmt.Sprintf("%s, %s", e, state))
		case notExpr:
			parts = append(parts, fmt.Sprintf("%s, but %s is y", e, e.x))
		case compareExpr:
			parts = append(parts, fmt.Sprintf("%s, but %s is %s", e, e.x, c.value(e.x)))
		default:
			parts = append(parts, fmt.Sprintf("%s, which is n", e))
		}
	}
	return strings.Join(parts, ", and ")
}

func whyChoice(ch *choice, c config) string {
	for _, m := range ch.members {
		if c.value(m) == "y" {
			return fmt.Sprintf("it is one of a choice, and %s is the one that is y", m)
		}
	}
	return "it is one of a choice of which no member is y"
}

// whyHidden explains a symbol that has no prompt.
func (s *kconfigSymbol) whyHidden() string {
	var by []string
	for _, sel := range s.selectedBy {
		by = append(by, sel.by)
	}
	if len(by) == 0 {
		return "it cannot be set by hand: its default decides"
	}
	return "it cannot be set by hand, only be selected by " + orList(by)
}

// whyOn explains a symbol that is on and must not be.
func (s *kconfigSymbol) whyOn(c config) string {
	var by []string
	for _, sel := range s.selectedBy {
		if sel.holds(c) {
			by = append(by, sel.by)
		}
	}
	if len(by) > 0 {
		return "it is selected by " + andList(by)
	}
	for _, e := range s.entries {
		if e.choice != nil && len(e.choice.members) > 1 {
			return "it is the default of its choice; name another one of " + strings.Join(e.choice.members, ", ")
		}
		if !e.prompt || len(unmetAll(e.visible, c)) > 0 {
			return "it cannot be set by hand here: its default decides"
		}
	}
	return ""
}

// whyOther explains a value that is not the wanted one.
func (s *kconfigSymbol) whyOther(c config) string {
	for _, e := range s.entries {
		for _, r := range e.ranges {
			if r.holds(c) {
				return fmt.Sprintf("its range is %s to %s", c.number(r.from), c.number(r.to))
			}
		}
	}
	return s.whyOn(c)
}

// number is the end of a range: a number, or the value of a symbol.
func (c config) number(end string) string {
	if v, ok := c[end]; ok {
		return v
	}
	return end
}

func andList(words []string) string { return list(words, "and") }
func orList(words []string) string  { return list(words, "or") }

// list joins words; of a long list it shows the first few.
func list(words []string, conjunction string) string {
	const most = 6
	if len(words) > most {
		words = append(words[:most:most], "others")
	}
	n := len(words)
	if n == 1 {
		return words[0]
	}
	return strings.Join(words[:n-1], ", ") + " " + conjunction + " " + words[n-1]
}
