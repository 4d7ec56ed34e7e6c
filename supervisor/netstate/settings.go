package netstate

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"tench/supervisor/desired"
	"tench/supervisor/system"
)

// PlanSettings reads the host name, the kernel settings and resolv.conf, and
// lists the changes that make them what is wanted. A setting that is no longer
// wanted goes back to what it was before this loop wrote it first.
//
// Apply them after the changes of Plan, since some belong to links that those
// make. kept is the same from cycle to cycle.
func PlanSettings(sys system.System, want desired.Desired, kept Kept) []Change {
	var changes []Change
	if name, err := sys.Hostname(); want.Hostname != "" && (err != nil || name != want.Hostname) {
		changes = append(changes, Change{On: "hostname", Text: "set to " + want.Hostname,
			do: func(sys system.System) error { return sys.SetHostname(want.Hostname) }})
	}
	// The switches that make the box a router come before the rest, since the
	// kernel resets other settings with them (ip-sysctl.rst).
	changes = append(changes, planSysctls(sys, want, kept, isForwarding)...)
	changes = append(changes, planSysctls(sys, want, kept, func(key string) bool { return !isForwarding(key) })...)
	changes = append(changes, planSetBack(want, kept)...)
	resolv := resolvConf(want)
	if have, err := sys.ReadResolvConf(); err != nil || !bytes.Equal(have, resolv) {
		changes = append(changes, Change{On: "resolv.conf", Text: "write" + serverList(want),
			do: func(sys system.System) error { return sys.WriteResolvConf(resolv) }})
	}
	return changes
}

// Kept is what is known of the settings that were written.
type Kept struct {
	// made is what the kernel made of them, by "key=value"; "" for one that it lets
	// nobody read. It rounds some: the buckets of conntrack, the times of neighbours.
	// As long as such a one reads like that, it is not written again.
	made map[string]string
	was  map[string]string // their values before, by key
}

// NewKept knows of none.
func NewKept() Kept { return Kept{made: map[string]string{}, was: map[string]string{}} }

func isForwarding(key string) bool {
	return strings.HasSuffix(key, "forwarding") || strings.HasSuffix(key, "ip_forward")
}

// planSysctls lists the changes to the settings whose key is chosen.
func planSysctls(sys system.Sysctls, want desired.Desired, kept Kept, chosen func(key string) bool) []Change {
	var changes []Change
	for _, s := range want.Sysctls {
		if !chosen(s.Key) {
			continue
		}
		// One that cannot be read is written, which tells why it cannot be had.
		have, err := sys.ReadSysctl(s.Key)
		setting := s.Key + "=" + s.Value
		made, written := kept.made[setting]
		if err == nil && sameValue(have, s.Value) || written && have == made {
			continue
		}
		changes = append(changes, Change{On: "sysctl " + s.Key, Text: "set to " + s.Value, do: func(sys system.System) error {
			if err := sys.WriteSysctl(s.Key, s.Value); err != nil {
				return err
			}
			kept.made[setting], _ = sys.ReadSysctl(s.Key)
			if _, known := kept.was[s.Key]; !known && err == nil {
				kept.was[s.Key] = have
			}
			return nil
		}})
	}
	return changes
}

// planSetBack lists the changes to the settings that are wanted no more.
func planSetBack(want desired.Desired, kept Kept) []Change {
	wanted := map[string]bool{}
	for _, s := range want.Sysctls {
		wanted[s.Key] = true
	}
	var changes []Change
	for _, key := range slices.Sorted(maps.Keys(kept.was)) {
		if wanted[key] {
			continue
		}
		value := kept.was[key]
		changes = append(changes, Change{On: "sysctl " + key, Text: "set back to " + value, do: func(sys system.System) error {
			delete(kept.was, key)
			err := sys.WriteSysctl(key, value)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it went with its device
			}
			return err
		}})
	}
	return changes
}

// sameValue compares two values as the kernel does: lists come back with tabs.
func sameValue(a, b string) bool {
	return slices.Equal(strings.Fields(a), strings.Fields(b))
}

// resolvConf is the content of resolv.conf(5).
func resolvConf(want desired.Desired) []byte {
	var b bytes.Buffer
	b.WriteString("# Written by tench: router.toml [dns], then DHCP.\n")
	if len(want.Search) > 0 {
		b.WriteString("search " + strings.Join(want.Search, " ") + "\n")
	}
	for _, server := range want.DNS {
		b.WriteString("nameserver " + server.String() + "\n")
	}
	return b.Bytes()
}

func serverList(want desired.Desired) string {
	if len(want.DNS) == 0 {
		return " without servers"
	}
	text := " with"
	for _, server := range want.DNS {
		text += " " + server.String()
	}
	return text
}
