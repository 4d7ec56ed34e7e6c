package labs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/boards"
	"tench/internal/lab"
	"tench/release"
	"tench/release/rollout"
)

// BenchmarkFarUpdate updates a running box over SSH and tells how long it took
// until the box said that it is healthy, the reboot and the 10 s of its [health]
// included; how many bytes of the image were sent; and what the line carried.
func BenchmarkFarUpdate(b *testing.B) {
	lab.Require(b, "zstd")
	board, err := boards.Load(filepath.Join(lab.Root(b), "boards"), "qemu-amd64")
	if err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(lab.Root(b), "out", board.Name)
	kernel, initrd := readProduct(b, out, release.KernelName(board.Name)), readProduct(b, out, release.InitrdName(board.Name))
	f, serial := startFarBox(b), 0
	for _, bb := range []struct {
		name string
		rate int // bytes a second of the line, 0 for any
	}{
		{"whole-image", 0},
		// The whole would take more than the 20 s from which on the desk asks what the
		// box has.
		{"one-byte-2Mbit", 2_000_000 / 8},
	} {
		b.Run(bb.name, func(b *testing.B) {
			line := lab.NewMeter(b, f.port, bb.rate)
			f.knownAt(b, line.Port)
			var sum rollout.Result
			for b.Loop() {
				// Each differs from the one before in a digit among the strings of
				// tenchd, so that no slot has it.
				serial++
				dir, image := b.TempDir(), slotOf(b, board, kernel, otherFile(b, initrd, fmt.Sprintf("LOCALHO%02d", serial)))
				if err := os.WriteFile(filepath.Join(dir, release.SlotName(board.Name)), image, 0o644); err != nil {
					b.Fatal(err)
				}
				args := []string{"update", "--json", "--identity", f.path("id"), "--key", f.path("dev.sec"), "127.0.0.1:" + line.Port, dir}
				b.Logf("tench %s", strings.Join(args, " "))
				said := f.must(b, args...)
				var results []rollout.Result
				if err := json.Unmarshal([]byte(said[strings.Index(said, "[\n"):]), &results); err != nil || len(results) != 1 {
					b.Fatalf("tench update --json: %v\n%s", err, said)
				}
				sum.Seconds, sum.Sent = sum.Seconds+results[0].Seconds, sum.Sent+results[0].Sent
			}
			perRun(b, line)
			b.ReportMetric(sum.Seconds/float64(b.N), "s-to-healthy")
			b.ReportMetric(float64(sum.Sent)/float64(b.N), "B-of-image")
		})
	}
}

// BenchmarkFarApply changes one line of a box's router.toml with `tench apply`,
// which confirms over a second connection.
func BenchmarkFarApply(b *testing.B) {
	f := startFarBox(b)
	line := lab.NewMeter(b, f.port, 0)
	f.knownAt(b, line.Port)
	file := f.path("router.toml")
	for seconds := 11; b.Loop(); seconds++ {
		text := strings.Replace(farConfig, `for = "10s"`, fmt.Sprintf(`for = "%ds"`, seconds), 1)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		args := []string{"apply", "--identity", f.path("id"), "127.0.0.1:" + line.Port, file}
		b.Logf("tench %s", strings.Join(args, " "))
		f.must(b, args...)
	}
	perRun(b, line)
	b.ReportMetric(float64(len(farConfig)), "B-router.toml")
}

// perRun reports what a line carried, SSH and all, in each run.
func perRun(b *testing.B, line *lab.Meter) {
	b.Helper()
	there, back := line.Bytes()
	b.ReportMetric(float64(there)/float64(b.N), "B-to-box")
	b.ReportMetric(float64(back)/float64(b.N), "B-from-box")
	b.ReportMetric(0, "ns/op")
}
