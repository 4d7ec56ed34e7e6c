package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// checkWords refuses what cobra would take: an empty word, which comes of a
// script's variable that is not set and would pass for a flag that is not there;
// and a command of a group, such as tench key, that there is not.
func checkWords(root *cobra.Command, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return nil // what is completed may be empty
	}
	for i, word := range args {
		flag, value, isSet := strings.Cut(word, "=")
		switch {
		case isSet && value == "" && strings.HasPrefix(flag, "-"):
			return emptyWord(flag)
		case word == "" && i > 0 && strings.HasPrefix(args[i-1], "-") && args[i-1] != "--":
			return emptyWord(args[i-1])
		case word == "":
			return emptyWord(fmt.Sprintf("word %d behind tench", i+1))
		}
	}
	group, rest, err := root.Find(args)
	if err != nil || group.Runnable() || !group.HasParent() || len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
		return nil // cobra's to say
	}
	hint := group.CommandPath() + " --help"
	group.SuggestionsMinimumDistance = 2 // as cobra has it for tench itself
	if near := group.SuggestionsFor(rest[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q? ", near[0]) + hint
	}
	return usageError{fmt.Errorf("unknown command %q for %q\nhint: %s", rest[0], group.CommandPath(), hint)}
}

func emptyWord(which string) error {
	return usageError{fmt.Errorf("%s: it is empty\nhint: is a variable of your script not set?", which)}
}

// excluded is cobra's error where flags go together that must not.
var excluded = regexp.MustCompile(`^if any flags in the group .* were all set$`)

// checkTogether says which flags do not go together, as a mistake on the command
// line.
func checkTogether(c *cobra.Command, _ []string) error {
	err := c.ValidateFlagGroups()
	if err == nil {
		return nil
	}
	text := err.Error()
	if excluded.MatchString(text) {
		_, flags, _ := strings.Cut(text, "; [")
		flags, _, _ = strings.Cut(flags, "]")
		text = "--" + strings.Join(strings.Fields(flags), " and --") + ": give one of them"
	}
	return usageError{fmt.Errorf("%s: %s\nhint: %s --help", c.Name(), text, c.CommandPath())}
}

// between is cobra.RangeArgs with a hint.
func between(low, high int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= low && len(args) <= high {
			return nil
		}
		want := strconv.Itoa(low)
		switch {
		case high == math.MaxInt:
			want += " or more"
		case high == 0:
			want = "none"
		case high > low:
			want += " to " + strconv.Itoa(high)
		}
		_, name, _ := strings.Cut(c.CommandPath(), " ")
		return usageError{fmt.Errorf("%s: %s given, want %s\nhint: usage: %s", name, counted(len(args), "argument", "arguments"), want, c.UseLine())}
	}
}

// counted is a number of things, e.g. "1 thing is", "2 things are".
func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// number is the value of a flag that counts something.
type number int

// Set implements pflag.Value.
func (n *number) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 {
		return errors.New("it must be a whole number from 1 on")
	}
	*n = number(v)
	return nil
}

// Type implements pflag.Value.
func (*number) Type() string { return "number" }

// String implements pflag.Value; 0 is a flag that is not given.
func (n *number) String() string { return strconv.Itoa(int(*n)) }
