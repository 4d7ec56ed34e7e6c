package labs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/backup"
	"tench/boards"
	"tench/build/disk"
	"tench/internal/lab"
)

// TestRestore makes a box again from its backup: what the new one backs up is
// the same to the byte, and what the old one only remembered is gone.
func TestRestore(t *testing.T) {
	lab.Require(t, "debugfs", "mke2fs")
	c := boot(t)
	c.Expect(t, readyLine, bootTimeout)
	menuApply(t, c, "# before the lightning")
	c.Send(t, "\n7\n")
	c.Send(t, "cd /data/identity; mkdir -p secrets; echo gw0 > name; echo s3cret > secrets/wan; ls /data/state; echo done-$((1+1))\n")
	c.Expect(t, `(?s)dhcp-wan\.json.*done-2`, menuTimeout)
	old := backUp(t, c)
	a, err := backup.Read(bytes.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	if a.About.Board != "qemu-amd64" || len(a.About.Ports) != 2 || a.Name() != "gw0" || a.Current != 2 || len(a.Generations) != 2 {
		t.Errorf("the backup is of %+v, called %q, current generation %d of %d", a.About, a.Name(), a.Current, len(a.Generations))
	}

	c = boot(t, "--image", restoredImage(t, a))
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "\n5\n")
	c.Expect(t, `router\.toml, generation 2, `, menuTimeout)
	c.Send(t, "p 1\n")
	c.Expect(t, `# before the lightning`, menuTimeout)
	c.Send(t, "q\n7\n")
	c.Send(t, "ls /data/state; echo listed-$((1+1))\n")
	if state := c.Expect(t, `(?s)(.*)listed-2`, menuTimeout)[1]; strings.Contains(state, "backup.tar") {
		t.Errorf("the box that was made again has the old one's state:\n%s", state)
	}
	again, err := backup.Read(bytes.NewReader(backUp(t, c)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, again); diff != "" {
		t.Errorf("the box that was made again (-old +new):\n%s", diff)
	}
}

// backUp runs tenchd backup in the shell that c is in, powers the box off and
// takes the archive from its disk.
func backUp(t *testing.T, c *lab.Console) []byte {
	t.Helper()
	c.Send(t, "tenchd backup > /data/state/backup.tar && echo saved-$((1+1))\n")
	c.Expect(t, `saved-2`, menuTimeout)
	c.Send(t, "exit\n")
	powerOff(t, c)
	file := filepath.Join(t.TempDir(), "backup.tar")
	box := filepath.Join(lab.Root(t), "out", ".run", "qemu-amd64", "disk.img")
	layout := qemuBoard(t).Layout
	data4 := fmt.Sprintf("%s?offset=%d", box, (1+layout.BootMiB+2*layout.SlotMiB)<<20)
	lab.Run(t, "", "debugfs", "-R", "dump /state/backup.tar "+file, data4)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// restoredImage is the built image with the archive on its data partition.
func restoredImage(t *testing.T, a backup.Archive) string {
	t.Helper()
	board := qemuBoard(t)
	data := filepath.Join(t.TempDir(), "data.img")
	id := disk.Identity{Seed: "restored", Epoch: time.Unix(1764028800, 0), Release: "lab"}
	if err := disk.Data(t.Context(), board, disk.RestoredBox(a), id, data, io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	return alteredImage(t, func(image []byte) {
		part := partitionsOf(image)[3]
		if n := copy(part.of(image), text); n != int(part.end-part.start) {
			t.Fatalf("a data partition of %d bytes for one of %d", n, part.end-part.start)
		}
	})
}

func qemuBoard(t *testing.T) boards.Board {
	t.Helper()
	b, err := boards.Load(filepath.Join(lab.Root(t), "boards"), "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
