package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tench/build/flash"
)

// flashView shows a flash to a person, or to a script in JSON.
type flashView struct {
	out, err io.Writer
	script   *json.Encoder // nil for a person
	bar      *progress

	phase flash.Phase
	began time.Time // of the phase
	last  time.Time // that a script was told of it
	total int64     // bytes of the phase
}

func newFlashView(c *cobra.Command, script bool) *flashView {
	v := &flashView{out: c.OutOrStdout(), err: c.ErrOrStderr(), bar: newProgress(c.ErrOrStderr())}
	if script {
		v.script = json.NewEncoder(c.OutOrStdout())
	}
	return v
}

// event writes one line for a script.
func (v *flashView) event(name string, about map[string]any) {
	about["event"] = name
	_ = v.script.Encode(about) // a script that does not listen is no reason to stop
}

// phases in words.
var phaseWords = map[flash.Phase]string{
	flash.PhaseCheck:  "the image's hash",
	flash.PhaseWipe:   "boot sector",
	flash.PhaseProbe:  "is it as large as it says",
	flash.PhaseWrite:  "partitions",
	flash.PhaseVerify: "read back",
	flash.PhaseBoot:   "boot loader and partition table",
}

// progress takes the reports of package flash.
func (v *flashView) progress(p flash.Progress) {
	if p.Phase != v.phase {
		v.endPhase()
		v.phase, v.began, v.last = p.Phase, time.Now(), time.Time{}
		if v.script == nil {
			v.bar.Start(string(p.Phase), phaseWords[p.Phase])
		}
	}
	v.total = p.Total
	if v.script == nil {
		v.bar.Progress(p.Done, p.Total, "B")
		return
	}
	const often = 200 * time.Millisecond
	if now := time.Now(); now.Sub(v.last) >= often || p.Done == p.Total {
		v.last = now
		about := map[string]any{"phase": p.Phase, "done": p.Done, "total": p.Total}
		if s := now.Sub(v.began).Seconds(); s > 0 && p.Done > 0 {
			perSecond := float64(p.Done) / s
			about["mib-per-s"] = perSecond / (1 << 20)
			about["seconds-left"] = float64(p.Total-p.Done) / perSecond
		}
		v.event("progress", about)
	}
}

// endPhase prints the line of a phase that stays.
func (v *flashView) endPhase() {
	if v.phase == "" || v.script != nil {
		return
	}
	spent := time.Since(v.began)
	v.bar.Note(string(v.phase), fmt.Sprintf("%8s %10s  %s", took(spent), speed(v.total, spent), phaseWords[v.phase]))
	v.phase = ""
}

// speed is in MiB/s; "" for what is too short to measure.
func speed(bytes int64, d time.Duration) string {
	const least = 1 << 20
	if bytes < least || d <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MiB/s", float64(bytes)/(1<<20)/d.Seconds())
}

// devices lists the devices there are.
func (v *flashView) devices(list []flash.Device, r flash.Request) error {
	if v.script != nil {
		type entry struct {
			flash.Device
			Refused string `json:"refused,omitempty"`
		}
		entries := []entry{}
		for _, d := range list {
			entries = append(entries, entry{d, whyNot(d, r)})
		}
		v.event("devices", map[string]any{"devices": entries})
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(v.out, "there is no disk here; put the stick in")
		return nil
	}
	w := tabwriter.NewWriter(v.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tSIZE\tBUS\tMODEL\tSERIAL\t")
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Path, humanize.Bytes(uint64(d.Size)), d.Bus, d.Model, d.Serial, whyNot(d, r))
	}
	return w.Flush()
}

// whyNot is why a device would not be written, in one line.
func whyNot(d flash.Device, r flash.Request) string {
	if r.Fixed != "" && !strings.EqualFold(r.Fixed, d.Handle()) {
		r.Fixed = "" // it is about another
	}
	err := d.Refuse(r)
	if err == nil {
		return ""
	}
	text, _, _ := strings.Cut(err.Error(), "\nhint:")
	return strings.TrimPrefix(text, "flash: "+d.Path+": ")
}

// image tells what is to be written.
func (v *flashView) image(img *flash.Image, signer string) {
	v.endPhase()
	if v.script != nil {
		v.event("image", map[string]any{"path": img.Path, "board": img.Board, "release": img.Release, "size": img.Size, "signed-by": signer})
		return
	}
	if signer == "" {
		signer = "nobody: its hash is right, but anybody may have made it"
	}
	fmt.Fprintf(v.out, "image   %s: board %s, release %s\nsigned  by %s\n", img.Path, img.Board, img.Release, signer)
}

// device tells what would be overwritten.
func (v *flashView) device(d flash.Device, c flash.Contents) {
	if v.script != nil {
		v.event("device", map[string]any{"device": d, "contents": c})
		return
	}
	serial := "no serial number"
	if d.Serial != "" {
		serial = "serial " + d.Serial
	}
	fmt.Fprintf(v.out, "device  %s: %s, %s, %s, %s\n", d.Path, d.Model, humanize.Bytes(uint64(d.Size)), d.Bus, serial)
	if c.Tench != nil {
		fmt.Fprintf(v.out, "        a stick of board %s, release %s\n", c.Tench.Board, c.Tench.Release)
	}
	w := tabwriter.NewWriter(v.out, 0, 8, 2, ' ', 0)
	for _, p := range c.Found {
		fmt.Fprintf(w, "        %s\t%s\t%s\t%s\n", p.Name, humanize.Bytes(uint64(p.Size)), p.Kind, p.Label)
	}
	w.Flush()
}

// done tells what was done; note is what the board's maker has to say.
func (v *flashView) done(target string, r flash.Result, note string) {
	v.endPhase()
	if v.script != nil {
		v.event("done", map[string]any{"target": target, "bytes": r.Bytes, "write-s": r.Write.Seconds(), "verify-s": r.Verify.Seconds()})
		return
	}
	fmt.Fprintf(v.out, "%s is written and was read back: %s in %s, %s\n", target, humanize.IBytes(uint64(r.Bytes)), took(r.Write+r.Verify), speed(r.Bytes, r.Write))
	if note != "" {
		fmt.Fprintln(v.out, note)
	}
}

// failed tells a script why; a person reads it from main.
func (v *flashView) failed(err error) {
	if v.script == nil {
		v.bar.stop()
		return
	}
	var unfinished *flash.Unfinished
	v.event("failed", map[string]any{"error": err.Error(), "unfinished": errors.As(err, &unfinished)})
}

// confirm asks which device it is. A "y" is typed without looking; the end of a
// serial number is not.
func confirm(c *cobra.Command, o flashOptions, d flash.Device) error {
	typed := o.answer
	if typed == "" {
		question := "the last four characters of its serial number"
		if d.Serial == "" {
			question = fmt.Sprintf("its name and size, %q", d.Answer())
		}
		fmt.Fprintf(c.OutOrStdout(), "All that is on it will be lost. To go on, type %s: ", question)
		var err error
		if typed, err = readAnswer(c.Context(), c.InOrStdin()); err != nil {
			return fmt.Errorf("flash: %w", err)
		}
	}
	if !d.Confirmed(typed) {
		return fmt.Errorf("flash: %s: %q is not the answer: nothing was written\nhint: tench flash lists the devices and their serial numbers", d.Path, printable(strings.TrimSpace(typed)))
	}
	return nil
}
