package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// kconfig is what we read out of a kernel's Kconfig files: enough to say why a
// symbol is on or off, not enough to configure a kernel (make does that).
type kconfig struct {
	symbols map[string]*kconfigSymbol
}

type kconfigSymbol struct {
	name       string
	kind       string // "bool", "tristate", "int", "hex", "string"; "" when not seen
	entries    []*entry
	selectedBy []selector
}

// entry is one "config NAME" block; a symbol may have several.
type entry struct {
	deps    []expr // its own "depends on" and those of all blocks around it
	prompt  bool   // it can be set by hand …
	visible []expr // … where these hold
	ranges  []valueRange
	choice  *choice
}

// valueRange bounds a number; its ends are numbers or other symbols.
type valueRange struct {
	from, to string
	cond     expr // nil: always
}

func (v valueRange) holds(c config) bool { return v.cond == nil || v.cond.eval(c) }

// choice is a block of which one member is y.
type choice struct{ members []string }

// selector is a symbol that switches another one on.
type selector struct {
	by   string
	cond expr // nil: always
}

func (s selector) holds(c config) bool {
	return c.value(s.by) == "y" && (s.cond == nil || s.cond.eval(c))
}

// block is a menu, an if or a choice that encloses entries.
type block struct {
	keyword string
	deps    []expr
	visible []expr
	choice  *choice
}

// readKconfig reads tree/Kconfig and every file that it names as source. vars
// are the make variables in those names, e.g. SRCARCH.
func readKconfig(tree string, vars map[string]string) (*kconfig, error) {
	r := &kconfigReader{tree: tree, vars: vars, k: &kconfig{symbols: map[string]*kconfigSymbol{}}}
	if err := r.file("Kconfig"); err != nil {
		return nil, fmt.Errorf("read Kconfig: %w", err)
	}
	return r.k, nil
}

type kconfigReader struct {
	tree   string
	vars   map[string]string
	k      *kconfig
	blocks []*block
	depth  int            // files being read: each is a source of the one before
	symbol *kconfigSymbol // of the current entry; nil outside
	entry  *entry
}

// maxDepth is far more than the kernel's own five or six.
const maxDepth = 50

func (r *kconfigReader) file(name string) error {
	if r.depth++; r.depth > maxDepth {
		return fmt.Errorf("%s: it is its own source", name)
	}
	defer func() { r.depth-- }()
	data, err := os.ReadFile(filepath.Join(r.tree, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	lines := logicalLines(string(data))
	for i := 0; i < len(lines); i++ {
		text := strings.TrimSpace(lines[i].text)
		if text == "help" {
			i = skipHelp(lines, i+1) - 1
			continue
		}
		if err := r.line(text); err != nil {
			return fmt.Errorf("%s:%d: %w", name, lines[i].number, err)
		}
	}
	r.entry, r.symbol = nil, nil
	return nil
}

type logicalLine struct {
	number int
	text   string
}

// logicalLines joins lines that end in a backslash.
func logicalLines(data string) []logicalLine {
	var lines []logicalLine
	joined := false
	for i, text := range strings.Split(data, "\n") {
		more := strings.HasSuffix(text, "\\")
		text = strings.TrimSuffix(text, "\\")
		if joined {
			lines[len(lines)-1].text += " " + text
		} else {
			lines = append(lines, logicalLine{i + 1, text})
		}
		joined = more
	}
	return lines
}

// skipHelp returns the first line after a help text that starts at i: the text
// ends where a line is indented less than its first.
func skipHelp(lines []logicalLine, i int) int {
	first := -1
	for ; i < len(lines); i++ {
		if strings.TrimSpace(lines[i].text) == "" {
			continue
		}
		n := indent(lines[i].text)
		if first < 0 {
			first = n
		}
		if n < first || n == 0 {
			return i
		}
	}
	return i
}

func indent(s string) int {
	n := 0
	for _, c := range s {
		switch c {
		case ' ':
			n++
		case '\t':
			n += 8 - n%8
		default:
			return n
		}
	}
	return n
}

// line reads one statement.
func (r *kconfigReader) line(text string) error {
	keyword, rest, _ := strings.Cut(stripComment(text), " ")
	if before, after, ok := strings.Cut(keyword, "\t"); ok {
		keyword, rest = before, after+" "+rest
	}
	rest = strings.TrimSpace(rest)
	switch keyword {
	case "source":
		return r.source(rest)
	case "config", "menuconfig":
		r.open(rest)
		return nil
	case "menu", "choice", "if", "comment":
		return r.enter(keyword, rest)
	case "endmenu", "endchoice", "endif":
		return r.leave(strings.TrimPrefix(keyword, "end"))
	case "depends", "visible":
		return r.condition(keyword, rest)
	}
	if r.entry == nil {
		return nil // macros, "mainmenu", and properties of choices
	}
	return r.property(keyword, rest)
}

// stripComment cuts a "#" that is outside of quotes and macros.
func stripComment(s string) string {
	quote := rune(0)
	depth := 0
	for i, c := range s {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '#' && depth == 0:
			return strings.TrimSpace(s[:i])
		}
	}
	return s
}

func (r *kconfigReader) source(rest string) error {
	r.entry, r.symbol = nil, nil
	name := strings.Trim(rest, `"`)
	for variable, value := range r.vars {
		name = strings.ReplaceAll(name, "$("+variable+")", value)
	}
	return r.file(name)
}

// open starts an entry. Blocks around it are complete by now.
func (r *kconfigReader) open(name string) {
	s := r.k.symbols[name]
	if s == nil {
		s = &kconfigSymbol{name: name}
		r.k.symbols[name] = s
	}
	r.symbol, r.entry = s, &entry{}
	s.entries = append(s.entries, r.entry)
	for _, b := range r.blocks {
		r.entry.deps = append(r.entry.deps, b.deps...)
		r.entry.visible = append(r.entry.visible, b.visible...)
		if b.choice != nil {
			r.entry.choice = b.choice
			b.choice.members = append(b.choice.members, name)
		}
	}
}

func (r *kconfigReader) enter(keyword, rest string) error {
	r.entry, r.symbol = nil, nil
	b := &block{keyword: keyword}
	switch keyword {
	case "comment":
		// It encloses nothing, but its "depends on" must not fall to the block around it.
		r.entry = &entry{}
		r.symbol = &kconfigSymbol{}
		return nil
	case "choice":
		b.choice = &choice{}
	case "if":
		e, err := parseExpr(rest)
		if err != nil {
			return err
		}
		b.deps = append(b.deps, e)
	}
	r.blocks = append(r.blocks, b)
	return nil
}

func (r *kconfigReader) leave(keyword string) error {
	r.entry, r.symbol = nil, nil
	n := len(r.blocks)
	if n == 0 || r.blocks[n-1].keyword != keyword {
		return fmt.Errorf("end%s without its %s", keyword, keyword)
	}
	r.blocks = r.blocks[:n-1]
	return nil
}

// condition adds a "depends on" or "visible if" to the entry, or to the block.
func (r *kconfigReader) condition(keyword, rest string) error {
	_, text, _ := strings.Cut(rest, " ") // "on" or "if"
	e, err := parseExpr(text)
	if err != nil {
		return err
	}
	var deps, visible *[]expr
	switch {
	case r.entry != nil:
		deps, visible = &r.entry.deps, &r.entry.visible
	case len(r.blocks) > 0:
		b := r.blocks[len(r.blocks)-1]
		deps, visible = &b.deps, &b.visible
	default:
		return fmt.Errorf("%s outside of any entry", keyword)
	}
	if keyword == "visible" {
		*visible = append(*visible, e)
		return nil
	}
	*deps = append(*deps, e)
	return nil
}

// property reads what belongs to a config entry.
func (r *kconfigReader) property(keyword, rest string) error {
	switch keyword {
	case "bool", "tristate", "int", "hex", "string":
		r.symbol.kind = keyword
		return r.prompt(rest)
	case "prompt":
		return r.prompt(rest)
	case "def_bool", "def_tristate":
		r.symbol.kind = strings.TrimPrefix(keyword, "def_")
	case "range":
		ends, cond, err := cutIf(rest)
		if err != nil {
			return err
		}
		from, to, _ := strings.Cut(ends, " ")
		r.entry.ranges = append(r.entry.ranges, valueRange{from, strings.TrimSpace(to), cond})
	case "select":
		target, cond, err := cutIf(rest)
		if err != nil {
			return err
		}
		if r.k.symbols[target] == nil {
			r.k.symbols[target] = &kconfigSymbol{name: target}
		}
		s := r.k.symbols[target]
		s.selectedBy = append(s.selectedBy, selector{by: r.symbol.name, cond: cond})
	}
	return nil
}

// prompt reads what follows a type: nothing, or "text" with a condition.
func (r *kconfigReader) prompt(rest string) error {
	if rest == "" {
		return nil
	}
	_, cond, err := cutIf(rest)
	if err != nil {
		return err
	}
	r.entry.prompt = true
	if cond != nil {
		r.entry.visible = append(r.entry.visible, cond)
	}
	return nil
}

// cutIf splits `X if EXPR`; X may be a quoted text.
func cutIf(s string) (string, expr, error) {
	end := 0
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		for end = 1; end < len(s) && s[end] != s[0]; end++ {
			if s[end] == '\\' {
				end++
			}
		}
	}
	end = min(end, len(s))
	head, tail, ok := strings.Cut(s[end:], " if ")
	if !ok {
		return strings.TrimSpace(s), nil, nil
	}
	e, err := parseExpr(tail)
	return strings.TrimSpace(s[:end] + head), e, err
}
