package door

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tench/internal/nearest"
)

// words are the commands of tenchd that a session may run, in the order to show
// them. shell is the box's shell instead.
var words = []string{
	"status", "why", "log", "config", "check", "apply", "confirm", "generations", "rollback",
	"slots", "update", "backup", "secret", "report", "menu", shellWord,
}

// Words with a meaning of their own.
const (
	menuWord  = "menu"
	shellWord = "shell"
	sftpWord  = "sftp" // of a key's command="…" only; also internal-sftp
)

// maxCommand is the longest command line in bytes; arguments are names and
// numbers.
const maxCommand = 4096

// parseCommand makes the arguments of tenchd from a session's command line. An
// empty one is the menu.
func parseCommand(line string) ([]string, error) {
	args, err := split(line)
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	if len(args) == 0 {
		return []string{menuWord}, nil
	}
	if slices.Contains(words, args[0]) {
		return args, nil
	}
	hint := strings.Join(words, ", ")
	if near := nearest.Of(args[0], words); near != "" {
		hint = fmt.Sprintf("did you mean %q? There are: %s", near, hint)
	}
	return nil, fmt.Errorf("command: %q is not a command of this box\nhint: %s", args[0], hint)
}

// forLog is what the log tells of a command. What follows "secret" may be one, by
// mistake: tenchd refuses it, and the log is a part of reports.
func forLog(args []string) []string {
	if args[0] == "secret" {
		return args[:1]
	}
	return args
}

// split makes words of a command line. There is no shell: blanks separate;
// between single quotes everything stands for itself; between double quotes a
// backslash stands for what follows it if that is a double quote or a
// backslash; outside of quotes a backslash stands for what follows it. What a
// shell would take for something else is refused outside of quotes, so that
// nobody believes that it works.
func split(line string) ([]string, error) {
	if len(line) > maxCommand {
		return nil, fmt.Errorf("it has %d bytes; at most %d", len(line), maxCommand)
	}
	s := splitter{rest: line}
	for s.rest != "" {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.end()
	return s.words, nil
}

// splitter is split at work.
type splitter struct {
	rest   string
	words  []string
	word   []byte
	inWord bool // word counts, even if it is empty
}

// special is what means something to a shell.
const special = "|&;<>()$`*?[]#~!{}"

// step takes one character, or one quoted part.
func (s *splitter) step() error {
	c := s.rest[0]
	s.rest = s.rest[1:]
	switch {
	case c == ' ' || c == '\t':
		s.end()
		return nil
	case c < ' ' || c == 0x7f:
		return fmt.Errorf("it has a control character (%#02x)", c)
	case c == '\'':
		return s.quoted('\'', "")
	case c == '"':
		return s.quoted('"', `"\`)
	case c == '\\':
		if s.rest == "" {
			return errors.New("nothing follows the last backslash")
		}
		c, s.rest = s.rest[0], s.rest[1:]
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("it has a control character (%#02x)", c)
		}
	case strings.IndexByte(special, c) >= 0:
		return fmt.Errorf("%q means something to a shell only, and there is none\nhint: quote it to mean itself; the word shell gives a shell", string(c))
	}
	s.word, s.inWord = append(s.word, c), true
	return nil
}

// quoted takes everything up to the closing quote; a backslash before one of
// escapes stands for that.
func (s *splitter) quoted(quote byte, escapes string) error {
	s.inWord = true
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch {
		case c == quote:
			return nil
		case c < ' ' && c != '\t' || c == 0x7f:
			return fmt.Errorf("it has a control character (%#02x)", c)
		case c == '\\' && s.rest != "" && strings.IndexByte(escapes, s.rest[0]) >= 0:
			c, s.rest = s.rest[0], s.rest[1:]
		}
		s.word = append(s.word, c)
	}
	return fmt.Errorf("a quotation mark (%c) is not closed", quote)
}

func (s *splitter) end() {
	if s.inWord {
		s.words = append(s.words, string(s.word))
	}
	s.word, s.inWord = nil, false
}
