package flash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// users finds by whom disks are in use. The kernel refuses to write to such a
// disk by itself (see OpenDevice); but only here is found out why.
type users struct {
	m    Machine
	list map[string][]string // by the kernel's name of a disk
}

// uses tells of each disk by whom it is in use: mounts, swap, and what holds it,
// also through LVM, RAID and encryption.
func (m Machine) uses() (map[string][]string, error) {
	u := users{m: m, list: map[string][]string{}}
	if err := errors.Join(u.mounts(), u.swaps(), u.holders()); err != nil {
		return nil, err
	}
	return u.list, nil
}

// mounts reads mountinfo (proc(5)).
func (u users) mounts() error {
	data, err := os.ReadFile(u.m.path("proc/self/mountinfo"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+3 {
			return fmt.Errorf("mountinfo: %.80q is no line of it", line)
		}
		what := "is mounted on " + printable(unescaped(fields[4]))
		// btrfs and others have a number of their own: only the source tells.
		for _, name := range []string{u.byNumber(fields[2]), u.byPath(unescaped(fields[dash+2]))} {
			u.add(name, what)
		}
	}
	return nil
}

// swaps reads /proc/swaps. A swap file is on a mounted file system.
func (u users) swaps() error {
	data, err := os.ReadFile(u.m.path("proc/swaps"))
	if errors.Is(err, os.ErrNotExist) { // a kernel without swap
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if path, _, _ := strings.Cut(line, " "); strings.HasPrefix(path, "/dev/") {
			u.add(u.byPath(unescaped(strings.TrimSpace(path))), "is swap")
		}
	}
	return nil
}

// holders looks for disks and partitions that other devices are made of.
func (u users) holders() error {
	entries, err := os.ReadDir(u.m.path("sys/class/block"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if u.madeOfOthers(e.Name()) {
			continue // those are held already
		}
		held, err := os.ReadDir(u.m.path("sys/class/block", e.Name(), "holders"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, h := range held {
			u.add(e.Name(), "is held by "+u.title(h.Name()))
		}
	}
	return nil
}

// madeOfOthers tells LVM, RAID and the like from disks and their partitions.
func (u users) madeOfOthers(name string) bool {
	real, err := filepath.EvalSymlinks(u.m.path("sys/class/block", name))
	if err == nil && sysfs(real).has("partition") {
		real = filepath.Dir(real)
	}
	slaves, err := os.ReadDir(filepath.Join(real, "slaves"))
	return err == nil && len(slaves) > 0
}

// byNumber is the kernel's name of the block device major:minor, or "".
func (u users) byNumber(number string) string {
	real, err := filepath.EvalSymlinks(u.m.path("sys/dev/block", number))
	if err != nil {
		return ""
	}
	return filepath.Base(real)
}

// byPath is the kernel's name of the block device that a path leads to, or "".
func (u users) byPath(path string) string {
	if !strings.HasPrefix(path, "/dev/") {
		return ""
	}
	real, err := filepath.EvalSymlinks(u.m.path(path))
	if err != nil {
		return ""
	}
	return filepath.Base(real)
}

// title is a device's name, with the one that its owner gave it.
func (u users) title(name string) string {
	if given := sysfs(u.m.path("sys/class/block", name)).text("dm/name"); given != "" {
		return name + " (" + given + ")"
	}
	return name
}

// add notes a use of a device at all disks below it.
func (u users) add(name, what string) {
	if name != "" {
		u.down(name, u.title(name)+" "+what, nil)
	}
}

// down goes from a device to those it is made of: from a partition to its disk,
// and along slaves.
func (u users) down(name, text string, seen []string) {
	if slices.Contains(seen, name) {
		return
	}
	seen = append(seen, name)
	real, err := filepath.EvalSymlinks(u.m.path("sys/class/block", name))
	if err != nil {
		return
	}
	if sysfs(real).has("partition") {
		u.down(filepath.Base(filepath.Dir(real)), text, seen)
		return
	}
	if slaves, err := os.ReadDir(filepath.Join(real, "slaves")); err == nil {
		for _, s := range slaves {
			u.down(s.Name(), s.Name()+" > "+text, seen)
		}
	}
	if !slices.Contains(u.list[name], text) {
		u.list[name] = append(u.list[name], text)
	}
}

// unescaped gives back what the kernel writes as \040 and the like.
func unescaped(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, `\`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(rest) >= 3 {
			if n, err := strconv.ParseUint(rest[:3], 8, 8); err == nil {
				b.WriteByte(byte(n))
				text = rest[3:]
				continue
			}
		}
		b.WriteByte('\\')
		text = rest
	}
}
