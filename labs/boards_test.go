package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tench/boards"
	"tench/internal/lab"
)

// boardsUnderTest are the boards that TENCH_BOARDS names, separated by spaces;
// "all" stands for every one. Each costs a kernel where the cache has none.
func boardsUnderTest(t *testing.T) []boards.Board {
	t.Helper()
	all, err := boards.List(filepath.Join(lab.Root(t), "boards"))
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(os.Getenv("TENCH_BOARDS"))
	if slices.Equal(names, []string{"all"}) {
		return all
	}
	var list []boards.Board
	for _, name := range names {
		i := slices.IndexFunc(all, func(b boards.Board) bool { return b.Name == name })
		if i < 0 {
			t.Fatalf("TENCH_BOARDS: there is no board %q", name)
		}
		list = append(list, all[i])
	}
	return list
}

// TestBoards builds boards and boots each in the machine that stands in for
// it, with every firmware it has.
func TestBoards(t *testing.T) {
	lab.Require(t)
	tench := filepath.Join(lab.Root(t), "bin", "tench")
	for _, b := range boardsUnderTest(t) {
		t.Run(b.Name, func(t *testing.T) {
			if out, err := exec.Command(tench, "image", b.Name).CombinedOutput(); err != nil {
				t.Fatalf("tench image %s: %v\n%s", b.Name, err, out)
			}
			if b.QEMU.System == "" {
				t.Logf("%s: built, not booted: QEMU has no such machine", b.Name)
				return
			}
			for _, firmware := range b.Firmware {
				t.Run(firmware, func(t *testing.T) { bootBoard(t, b, firmware) })
			}
		})
	}
}

func bootBoard(t *testing.T, b boards.Board, firmware string) {
	c := boot(t, b.Name, "--firmware", firmware)
	m := c.Expect(t, readyLine, bootTimeout)
	if m[3] != "a" || m[4] != "" {
		t.Errorf("the ready line is %q, want slot a and nothing missing", m[0])
	}
	if !strings.HasPrefix(m[0], b.QEMU.Expected) {
		t.Errorf("the ready line is %q, board.toml expects %q", m[0], b.QEMU.Expected)
	}
	c.Send(t, "\n1\n")
	// QEMU's user network gives its guest this address.
	c.Expect(t, `10\.0\.2\.15/24`, menuTimeout)
	c.Send(t, "\n")
	powerOff(t, c)
}
