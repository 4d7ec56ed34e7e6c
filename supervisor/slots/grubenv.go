package slots

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// envSize is the size of the environment block, for ever: GRUB knows its
// sectors from when it read it.
const envSize = 1024

// signature begins every environment block (GRUB manual, "The GRUB environment
// block").
const signature = "# GRUB Environment Block\n"

// encode makes the block of a state. The values that grub.cfg decides by have
// one character each and always stand at the same place.
func encode(st State) []byte {
	text := fmt.Sprintf("%sslot=%s\ngood=%s\npending=%d\ntries=%d\n", signature, st.Slot, st.Good, number(st.Pending), st.Tries)
	if st.Failed != (Failure{}) {
		text += fmt.Sprintf("failed=%s-%s\n", st.Failed.Slot, st.Failed.Cause)
	}
	return append([]byte(text), bytes.Repeat([]byte("#"), envSize-len(text))...)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// decode reads a block as grub.cfg does: what nobody writes counts as the
// default. A block that GRUB refuses has all defaults.
func decode(block []byte) State {
	values := map[string]string{}
	text, ok := strings.CutPrefix(string(block), signature)
	for ok && text != "" {
		var line string
		line, text, ok = strings.Cut(text, "\n")
		if key, value, found := strings.Cut(line, "="); ok && found && !strings.HasPrefix(line, "#") {
			values[key] = value
		}
	}
	st := good("a")
	if values["good"] == "b" {
		st = good("b")
	}
	st.Failed = parseFailure(values["failed"])
	slot := values["slot"]
	if values["pending"] != "1" || slot != other(st.Good) {
		return st
	}
	st.Slot, st.Pending = slot, true
	if t := values["tries"]; t == "1" || t == "2" || t == "3" {
		st.Tries = int(t[0] - '0')
	}
	return st
}

func parseFailure(value string) Failure {
	slot, cause, _ := strings.Cut(value, "-")
	if slot != "a" && slot != "b" || cause != CauseLoad && cause != CauseTries {
		return Failure{}
	}
	return Failure{Slot: slot, Cause: cause}
}

func readState(d device, at int64) (State, error) {
	block := make([]byte, envSize)
	if _, err := d.ReadAt(block, at); err != nil {
		return State{}, fmt.Errorf("read grubenv: %w", err)
	}
	return decode(block), nil
}

// writeState rewrites the block in place. It returns once the medium has it.
func writeState(d device, at int64, st State) error {
	n, err := d.WriteAt(encode(st), at)
	if err == nil && n != envSize {
		err = errors.New("short write")
	}
	return err
}
