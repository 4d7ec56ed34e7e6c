package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Input is one thing a step's product depends on.
type Input struct {
	Name string `json:"name"` // e.g. "fragment net.config"
	Hash string `json:"hash"` // of its content, e.g. from HashFile
}

// Step is one part of a build.
type Step struct {
	Name    string // e.g. "kernel"; lower-case letters, digits and dashes
	Version int    // rises when Build makes something else of the same inputs
	Inputs  []Input
	// Build makes the product. It may use nothing but its inputs, and must end
	// when ctx does.
	Build func(ctx context.Context, w Work) error
}

// Work is what a step's Build is given.
type Work struct {
	Out string // an empty folder for the product
	// Scratch is a folder for everything else. It survives a build that failed
	// or was interrupted, and the next run with the same key gets it as it is.
	Scratch  string
	Log      io.Writer // the step's log file
	Progress func(done, total int64, unit string)
}

// inputs are the step's inputs in the order of their names, with its version
// as one of them, so that `tench explain` can name it as a cause.
func (s Step) inputs() []Input {
	list := append(slices.Clone(s.Inputs), Input{"version of step " + s.Name, strconv.Itoa(s.Version)})
	slices.SortFunc(list, func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Key is the hash of the step's name, its version and its inputs.
func (s Step) Key() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", s.Name)
	for _, in := range s.inputs() {
		fmt.Fprintf(h, "%q %q\n", in.Name, in.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

var stepNameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// check refuses a name that is not one, two inputs of one name (a board may name
// a fragment twice) and an input without a hash: the key would not say what the
// product depends on.
func (s Step) check() error {
	if !stepNameRE.MatchString(s.Name) {
		return fmt.Errorf("%q is not a name of a step", s.Name)
	}
	inputs := s.inputs()
	for i, in := range inputs {
		if in.Hash == "" {
			return fmt.Errorf("input %q has no hash", in.Name)
		}
		if i > 0 && in.Name == inputs[i-1].Name {
			return fmt.Errorf("two inputs are called %q", in.Name)
		}
	}
	return nil
}
