package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build/disk"
	"tench/release"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tench": main,
		boxName: standInBox,
	})
}

func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROOT", root)
			env.Setenv("TENCH_CACHE", filepath.Join(env.WorkDir, "cache"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"image": writeImage, "stick": writeStick, "backup": writeBackup},
	})
}

// writeImage is the script command "image FILE BYTE": a file that is an image,
// if one without partitions, in which byte BYTE is set.
func writeImage(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), emptyImage(at), 0o644))
}

// writeStick is the script command "stick DIR BOARD": the image of a board, with
// SHA256 beside it.
func writeStick(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	image, err := makeStick(ts.Getenv("ROOT"), filepath.Join(ts.Getenv("WORK"), ".stick"), dir, args[1])
	ts.Check(err)
	ts.Check(release.WriteSums(filepath.Join(dir, release.SumsFile), []release.Product{image}))
}

// makeStick writes the image of a board to dir, without a boot loader and with
// little in its slots.
func makeStick(root, work, dir, board string) (release.Product, error) {
	b, err := boards.Load(filepath.Join(root, "boards"), board)
	if err != nil {
		return release.Product{}, err
	}
	b.Firmware = nil
	id := disk.Identity{Seed: "2026.11/" + b.Name, Release: "2026.11", Epoch: time.Unix(1_795_000_000, 0)}
	kernel := filepath.Join(work, "kernel")
	parts := disk.Parts{Slot: filepath.Join(work, "slot"), Data: filepath.Join(work, "data")}
	path := filepath.Join(dir, release.ImageName(b.Name))
	for _, step := range []func() error{
		func() error { return errors.Join(os.MkdirAll(dir, 0o755), os.MkdirAll(work, 0o755)) },
		func() error { return os.WriteFile(kernel, []byte("kernel"), 0o644) },
		func() error { return disk.Slot(b, kernel, kernel, id, parts.Slot) },
		func() error {
			return disk.Data(context.Background(), b, disk.NewBox([]byte("hostname = \"tench\"\n")), id, parts.Data, io.Discard)
		},
		func() error { _, err := disk.Assemble(b, parts, id, path); return err },
	} {
		if err := step(); err != nil {
			return release.Product{}, err
		}
	}
	data, err := os.ReadFile(path)
	sum := sha256.Sum256(data)
	return release.Product{File: filepath.Base(path), Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, err
}

func emptyImage(at int) []byte {
	image := make([]byte, 4096)
	copy(image[510:], "\x55\xaa")
	image[at] = 'x'
	return image
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no short help or no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand(nil, nil, nil))
}

func TestBoardsPageIsUpToDate(t *testing.T) {
	page, err := os.ReadFile("../../BOARDS.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := run([]string{"boards", "--markdown"}, nil, &out, &out); code != exitOK {
		t.Fatalf("tench boards --markdown exits with %d: %s", code, out.String())
	}
	if out.String() != string(page) {
		t.Error("BOARDS.md is not what boards/ says\nhint: bin/tench boards --markdown > BOARDS.md")
	}
}

// The README says which boards share a kernel, so that nobody waits for one twice.
func TestReadmeKnowsWhoSharesAKernel(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := boards.List("../../boards")
	if err != nil {
		t.Fatal(err)
	}
	sharing := map[string][]string{}
	for _, b := range list {
		if _, err := os.Stat(filepath.Join(b.Dir, "kernel.config")); err != nil {
			inputs := b.Arch.Name + " " + strings.Join(b.Kernel.Fragments, " ")
			sharing[inputs] = append(sharing[inputs], b.Name)
		}
	}
	for _, names := range sharing {
		if words := strings.Join(names, " and "); len(names) > 1 && !strings.Contains(string(readme), words) {
			t.Errorf("README.md does not say that %s share a kernel", words)
		}
	}
}

func TestCopySparseKeepsTheBytes(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"empty":              {},
		"short":              []byte("x"),
		"zeros at the end":   append([]byte("x"), make([]byte, 200_000)...),
		"zeros at the start": append(make([]byte, 200_000), 'x'),
		"only zeros":         make([]byte, 65_536),
	} {
		t.Run(name, func(t *testing.T) {
			from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
			if err := os.WriteFile(from, data, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := copySparse(from, to); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(data) {
				t.Errorf("copySparse gave %d bytes, want %d, or others", len(got), len(data))
			}
		})
	}
}

func TestCopyKeysStopsAtTheQuitKey(t *testing.T) {
	var out strings.Builder
	if err := copyKeys(&out, strings.NewReader("status\r"+string(rune(quitByte))+"more")); err != nil {
		t.Fatal(err)
	}
	if out.String() != "status\r" {
		t.Errorf("copyKeys sent %q, want what was typed before ctrl-]", out.String())
	}
}
