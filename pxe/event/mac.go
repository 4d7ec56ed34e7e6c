package event

import (
	"cmp"
	"encoding/hex"
	"fmt"
)

// MAC is an Ethernet address: what a box is known by before it runs anything.
// It is comparable, and in JSON and TOML it is its text.
type MAC [6]byte

// ParseMAC reads "52:54:00:12:34:56" or "52-54-00-12-34-56", in either case.
// An address of a group of stations (multicast, broadcast) and the one of zeros
// are no box's.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	const shape = "want six bytes, e.g. 52:54:00:12:34:56"
	if len(s) != 17 || s[2] != ':' && s[2] != '-' {
		return MAC{}, fmt.Errorf("ethernet address %q: %s", s, shape)
	}
	for i := range m {
		if i > 0 && s[3*i-1] != s[2] {
			return MAC{}, fmt.Errorf("ethernet address %q: %s", s, shape)
		}
		if _, err := hex.Decode(m[i:i+1], []byte(s[3*i:3*i+2])); err != nil {
			return MAC{}, fmt.Errorf("ethernet address %q: %s", s, shape)
		}
	}
	if m.IsZero() || m[0]&1 != 0 {
		return MAC{}, fmt.Errorf("ethernet address %q: this is no single station's", s)
	}
	return m, nil
}

// IsZero reports whether m names no box.
func (m MAC) IsZero() bool { return m == MAC{} }

// String is m with colons, in lower case; "" for the zero MAC.
func (m MAC) String() string {
	if m.IsZero() {
		return ""
	}
	return m.join(':')
}

// Dashed is m with dashes, as pxelinux (behind "01-") and GRUB name their files.
func (m MAC) Dashed() string { return m.join('-') }

func (m MAC) join(sep byte) string {
	text := make([]byte, 0, 17)
	for i, b := range m {
		if i > 0 {
			text = append(text, sep)
		}
		text = hex.AppendEncode(text, []byte{b})
	}
	return string(text)
}

// Compare orders by the bytes, for slices.SortFunc.
func (m MAC) Compare(other MAC) int {
	return cmp.Compare(string(m[:]), string(other[:]))
}

// MarshalText is String.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMAC, with "" for the zero MAC.
func (m *MAC) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = MAC{}
		return nil
	}
	got, err := ParseMAC(string(text))
	if err != nil {
		return err
	}
	*m = got
	return nil
}
