package kernel

import (
	"fmt"
	"strconv"
	"strings"
)

// expr is a Kconfig expression (Documentation/kbuild/kconfig-language.rst of
// Linux). Without modules "m" is "n", so that an expression is true or false.
type expr interface {
	eval(c config) bool
	String() string
}

type (
	symbolExpr  string // PPP, y, n, m
	notExpr     struct{ x expr }
	andExpr     struct{ x, y expr }
	orExpr      struct{ x, y expr }
	compareExpr struct{ x, op, y string }
	// macroExpr asks the compiler or the shell, e.g. $(cc-option,-mindirect-branch).
	// We do not know the answer and take it for yes.
	macroExpr string
)

func (e symbolExpr) eval(c config) bool { return e == "y" || c.value(string(e)) == "y" }
func (e notExpr) eval(c config) bool    { return !e.x.eval(c) }
func (e andExpr) eval(c config) bool    { return e.x.eval(c) && e.y.eval(c) }
func (e orExpr) eval(c config) bool     { return e.x.eval(c) || e.y.eval(c) }
func (e macroExpr) eval(config) bool    { return true }

func (e compareExpr) eval(c config) bool {
	x, y := operand(c, e.x), operand(c, e.y)
	order := strings.Compare(x, y)
	nx, errX := strconv.ParseInt(x, 0, 64)
	ny, errY := strconv.ParseInt(y, 0, 64)
	if errX == nil && errY == nil {
		order = int(max(-1, min(1, nx-ny)))
	}
	switch e.op {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default: // ">=", the only one left that parse lets through
		return order >= 0
	}
}

// operand is the value of a word in a comparison: of a symbol that is set, or
// the word itself.
func operand(c config, word string) string {
	if v, ok := c[word]; ok {
		word = v
	} else if isSymbolName(word) {
		word = "n"
	}
	return strings.Trim(word, `"`)
}

// isSymbolName tells PPP from y, n, m, 42, 0x10 and "text".
func isSymbolName(word string) bool {
	return word != "" && word[0] >= 'A' && word[0] <= 'Z'
}

func (e symbolExpr) String() string  { return string(e) }
func (e notExpr) String() string     { return "!" + group(e.x) }
func (e andExpr) String() string     { return group(e.x) + " && " + group(e.y) }
func (e orExpr) String() string      { return e.x.String() + " || " + e.y.String() }
func (e compareExpr) String() string { return e.x + e.op + e.y }
func (e macroExpr) String() string   { return string(e) }

func group(e expr) string {
	if or, ok := e.(orExpr); ok {
		return "(" + or.String() + ")"
	}
	return e.String()
}

// unmet lists the parts of a conjunction that are false.
func unmet(e expr, c config) []expr {
	if and, ok := e.(andExpr); ok {
		return append(unmet(and.x, c), unmet(and.y, c)...)
	}
	if e.eval(c) {
		return nil
	}
	return []expr{e}
}

// macros lists the questions to compiler and shell in e.
func macros(e expr) []string {
	switch e := e.(type) {
	case macroExpr:
		return []string{string(e)}
	case notExpr:
		return macros(e.x)
	case andExpr:
		return append(macros(e.x), macros(e.y)...)
	case orExpr:
		return append(macros(e.x), macros(e.y)...)
	}
	return nil
}

// parseExpr reads an expression: "||" binds weakest, then "&&", then "!" and
// comparisons.
func parseExpr(text string) (expr, error) {
	tokens, err := tokenize(text)
	if err != nil {
		return nil, err
	}
	p := exprParser{tokens: tokens}
	e, err := p.or()
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("%q is left over", p.peek())
	}
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", text, err)
	}
	return e, nil
}

type exprParser struct{ tokens []string }

func (p *exprParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *exprParser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *exprParser) or() (expr, error) {
	e, err := p.and()
	for err == nil && p.peek() == "||" {
		p.next()
		var right expr
		right, err = p.and()
		e = orExpr{e, right}
	}
	return e, err
}

func (p *exprParser) and() (expr, error) {
	e, err := p.term()
	for err == nil && p.peek() == "&&" {
		p.next()
		var right expr
		right, err = p.term()
		e = andExpr{e, right}
	}
	return e, err
}

func (p *exprParser) term() (expr, error) {
	switch t := p.next(); {
	case t == "":
		return nil, fmt.Errorf("a symbol is missing")
	case t == "!":
		e, err := p.term()
		return notExpr{e}, err
	case t == "(":
		e, err := p.or()
		if err == nil && p.next() != ")" {
			err = fmt.Errorf("a %q is missing", ")")
		}
		return e, err
	case strings.HasPrefix(t, "$("):
		return p.macro(t)
	case !isQuoted(t) && strings.ContainsAny(t, "&|)=<>!"):
		return nil, fmt.Errorf("%q is not a symbol", t)
	case isComparison(p.peek()):
		op, right := p.next(), p.next()
		return compareExpr{t, op, right}, nil
	default:
		return symbolExpr(t), nil
	}
}

// macro reads the rest of a term that starts with $(…). Comparing its answer
// asks the compiler just as well.
func (p *exprParser) macro(text string) (expr, error) {
	if isComparison(p.peek()) {
		text += p.next()
		text += p.next()
	}
	return macroExpr(text), nil
}

func isQuoted(t string) bool { return t[0] == '"' || t[0] == '\'' }

func isComparison(t string) bool {
	switch t {
	case "=", "!=", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// tokenize splits an expression into symbols, "strings", $(macros) and operators.
func tokenize(s string) ([]string, error) {
	var tokens []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		n := tokenLength(s)
		if n == 0 {
			return nil, fmt.Errorf("expression: %q is not understood", s)
		}
		tokens = append(tokens, s[:n])
		s = s[n:]
	}
	return tokens, nil
}

// tokenLength is the length of the token that s starts with, or 0.
func tokenLength(s string) int {
	for _, op := range []string{"||", "&&", "!=", "<=", ">=", "=", "<", ">", "!", "(", ")"} {
		if strings.HasPrefix(s, op) {
			return len(op)
		}
	}
	if s[0] == '"' || s[0] == '\'' {
		end := strings.IndexByte(s[1:], s[0])
		if end < 0 {
			return 0
		}
		return end + 2
	}
	if strings.HasPrefix(s, "$(") {
		return macroLength(s)
	}
	n := 0
	for n < len(s) && isWordByte(s[n]) {
		n++
	}
	return n
}

// macroLength is the length of the $(…) that s starts with, or 0 when it does
// not end.
func macroLength(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func isWordByte(b byte) bool {
	return b == '_' || b == '-' || b == '.' || b == '/' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}
