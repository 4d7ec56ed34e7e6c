package labs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/config"
	"tench/supervisor"
	"tench/supervisor/update"
)

// cutNeeds are the programs that read a disk after a power cut.
var cutNeeds = []string{"e2fsck", "debugfs", "fsck.vfat", "mcopy", "mformat", "grub-fstest"}

// diskState is all that a box starts with: what a power cut must not mix.
type diskState struct {
	generation int    // of router.toml, that the box would put in force
	router     string // its text
	identity   string // names and hashes of the identity's files
	grubenv    string // its variables
	starts     string // which slots GRUB would start with what, the first before a colon: "b: the update's, then a: the image's"
}

func (s diskState) String() string {
	text := fmt.Sprintf("generation %d (%s); grubenv %s; starts %s; identity: %s", s.generation, hash([]byte(s.router)), s.grubenv, s.starts, s.identity)
	return strings.Join(strings.Fields(text), " ")
}

// extent is a partition, in bytes from the start of the disk.
type extent struct{ start, end int64 }

func (e extent) of(disk []byte) []byte { return disk[e.start:e.end] }

// partitionsOf reads the partition table.
func partitionsOf(disk []byte) (list [4]extent) {
	for i := range list {
		entry := disk[446+16*i:]
		start := int64(binary.LittleEndian.Uint32(entry[8:])) * 512
		list[i] = extent{start, start + int64(binary.LittleEndian.Uint32(entry[12:]))*512}
	}
	return list
}

// readDisk checks the file systems of a disk and reads what a box would start
// with. changed says which partitions differ from the image's; the others are
// known to be sound.
func (m *cutMatrix) readDisk(t testing.TB, disk []byte, changed [4]bool) (diskState, error) {
	t.Helper()
	var s diskState
	var err error
	parts := partitionsOf(disk)
	if s.grubenv, err = readBoot(t, m.dir, parts[0].of(disk), changed[0]); err != nil {
		return s, fmt.Errorf("boot partition: %w", err)
	}
	slots := map[string]string{"a": "the image's", "b": "the image's"}
	for i, slot := range []string{"a", "b"} {
		if !changed[i+1] {
			continue
		}
		if slots[slot], err = m.readSlot(t, parts[i+1].of(disk)); err != nil {
			return s, fmt.Errorf("slot %s: %w", slot, err)
		}
	}
	if s.starts, err = starts(s.grubenv, slots); err != nil {
		return s, err
	}
	if err := s.readData(t, m.dir, parts[3].of(disk)); err != nil {
		return s, fmt.Errorf("data partition: %w", err)
	}
	return s, nil
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// readBoot checks p1 and returns the variables of grubenv.
func readBoot(t testing.TB, dir string, fat []byte, changed bool) (string, error) {
	t.Helper()
	file := filepath.Join(dir, "boot")
	writeSparse(t, file, fat)
	if changed {
		if out, err := exec.Command("fsck.vfat", "-n", file).CombinedOutput(); err != nil {
			return "", fmt.Errorf("fsck.vfat: %w\n%s", err, out)
		}
	}
	env, err := exec.Command("mcopy", "-i", file, "::/grubenv", "-").Output()
	if err != nil {
		return "", fmt.Errorf("mcopy: %w", err)
	}
	variables, found := strings.CutPrefix(string(env), "# GRUB Environment Block\n")
	if !found || len(env) != 1024 {
		return "", fmt.Errorf("grubenv is no environment block of 1024 bytes: %q", env)
	}
	return strings.TrimRight(variables, "#"), nil
}

// readData mends what PID 1 does before a mount, and replays the journal of p4, as
// the kernel will, after which nothing may be left to mend; then it reads the
// generations as the box does.
func (s *diskState) readData(t testing.TB, dir string, ext4 []byte) error {
	t.Helper()
	file, tree := filepath.Join(dir, "data"), filepath.Join(dir, "tree")
	writeSparse(t, file, ext4)
	if _, err := supervisor.MendSuperblock(file); err != nil {
		return err
	}
	// It ends with 1 when it changed something: the journal, and files that were
	// open when the power failed.
	out, err := exec.Command("e2fsck", "-p", file).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		return fmt.Errorf("e2fsck -p: %w\n%s", err, out)
	}
	if out, err := exec.Command("e2fsck", "-f", "-n", file).CombinedOutput(); err != nil {
		return fmt.Errorf("e2fsck -f -n, after the journal: %w\n%s", err, out)
	}
	if err := errors.Join(os.RemoveAll(tree), os.MkdirAll(tree, 0o755)); err != nil {
		t.Fatal(err)
	}
	// Its complaints are of owners that only root may set, and of folders that
	// are not there; what counts is read below.
	if out, err := exec.Command("debugfs", "-R", "rdump /config /identity "+tree, file).CombinedOutput(); err != nil {
		return fmt.Errorf("debugfs: %w\n%s", err, out)
	}
	g, problem, err := update.Store{Dir: filepath.Join(tree, "config")}.Load(func(name string, data []byte) error {
		_, err := config.Parse(name, data)
		return err
	})
	if err := errors.Join(problem, err); err != nil {
		return err
	}
	s.generation, s.router = g.Number, string(g.Data)
	s.identity, err = hashTree(filepath.Join(tree, "identity"))
	return err
}

// hashTree lists the files below a folder with their hashes. Those whose names
// begin with a dot are leftovers that nobody reads.
func hashTree(root string) (string, error) {
	var text strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == root && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&text, "%s %s\n", strings.TrimPrefix(path, root), hash(data))
		return err
	})
	return text.String(), err
}

// writeSparse writes a file and leaves holes where data is zero.
func writeSparse(t testing.TB, path string, data []byte) {
	t.Helper()
	const block = 64 << 10
	zero := make([]byte, block)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = f.Truncate(int64(len(data)))
	for at := 0; at < len(data) && err == nil; at += block {
		piece := data[at:min(at+block, len(data))]
		if string(piece) != string(zero[:len(piece)]) {
			_, err = f.WriteAt(piece, int64(at))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
