// Package install makes a box that was booted over the network the box that the
// server on the desk has for it, and tells that server how the box does.
//
//	install.go   Installer: choose a disk, write it, tell of it
//	hardware.go  what the firmware calls the box: is it this board?
//	choose.go    which disk: the server's plan, the word of a person
//	disks.go     the disks there are
//	peek.go      what is on them
//	obey.go      one write stream onto one medium (release/writestream)
//	progress.go  the line on the console, the post to the server
//	resume.go    the server's stream, from where the line broke
//	client.go    Client: HTTP to that server, no more than it takes
//	arrive.go    Arrival: a box that came up says so, once
//
// An install:
//
//	[look] -- plan --> [confirm] -- a person names the disk --> [write] --> [verify]
//	   ^  \______________ or the server has named it ___________/ ^  |        |
//	   |                                                          +--+        v
//	   +-- the server is silent, or a disk came            the line broke   [done] --> reboot
//
// It begins with what the firmware says: a box that is another board than this
// image's is left as it is.
//
// A disk without slots of ours is written whole, as tench flash does it: what made
// it boot goes first and comes last. On a disk with slots of this board's only
// the slot that is not the good one is written, and then tried, so that the old
// system stays until the new one is healthy. A box that is switched off amid this
// installs again when it is started again.
package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tench/boards"
	"tench/release/netboot"
	"tench/release/writestream"
	"tench/supervisor/slots"
)

// Slots is what an install needs of the slots of a disk.
type Slots interface {
	State() (slots.State, error)
	Vacate() error                      // no boot goes to the other slot from now on
	Device(slot string) (string, error) // e.g. "/dev/sda3"
	Arm(slot string, tries int) error   // try the slot at the next boots
}

// tries is how often a new slot is started before the box gives it up, as after
// an update.
const tries = 3

// Installer installs once. Its fields say what the box is and has.
type Installer struct {
	Root  string          // "/", but in tests
	Board string          // of this image, e.g. "apu2"
	Known boards.Hardware // what that board's firmware calls it

	Server  Client
	Console Console

	Open     func(path string, write bool) (Medium, error)
	Slots    func(disk, running string) Slots          // of a disk of ours, e.g. "/dev/sda"
	Reread   func(disk string) error                   // has the kernel read its partition table anew
	KeepWord func(partition string, word []byte) error // puts the netboot.json of the next boot onto a data partition

	Wait func(ctx context.Context, d time.Duration) error
	Now  func() time.Time
	Log  func(format string, args ...any)
}

// Run installs. Once it returns without error the box is to be rebooted. An
// error was told to the person at the console and to the server.
func (i *Installer) Run(ctx context.Context) error {
	err := i.run(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("install: %w", err)
		i.say("%v", err)
		i.tell(ctx, netboot.Progress{Stage: netboot.Failed, Text: strings.ReplaceAll(err.Error(), "\nhint: ", "; ")})
	}
	return err
}

func (i *Installer) run(ctx context.Context) error {
	i.say("installing %s from %s; board %s", i.Server.File.Box, i.Server.File.Server, i.Board)
	if err := i.recognize(i.hardware()); err != nil {
		return err
	}
	c, err := i.choose(ctx)
	if err != nil {
		return err
	}
	receipt, err := i.write(ctx, c)
	if err != nil {
		return fmt.Errorf("disk %s: %w", c.disk.Name, err)
	}
	if err := i.leaveWord(c.disk.Name); err != nil {
		i.say("the server will not hear of the first boot: %v", err)
	}
	if err := i.insist(ctx, "done", netboot.Done{SHA256: receipt}, nil); err != nil {
		return err
	}
	i.tell(ctx, netboot.Progress{Stage: netboot.Reboot})
	i.say("disk %s is written and read back; rebooting from it", c.disk.Name)
	return nil
}

// say writes a line to the console and into the log.
func (i *Installer) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(i.Console.Out, "tench: %s\n", text)
	i.Log("%s", text)
}

// tell posts a stage. A server that does not hear it changes nothing.
func (i *Installer) tell(ctx context.Context, p netboot.Progress) {
	if err := i.Server.Post(ctx, "progress", p, nil); err != nil {
		i.Log("%v", err)
	}
}

// patience is how long is waited before the server is asked again: the nth time.
func patience(n int) time.Duration { return min(time.Second<<min(n, 10), 20*time.Second) }

// insist posts until the server answers. What keeps it from answering is told
// once each.
func (i *Installer) insist(ctx context.Context, what string, body, answer any) error {
	told := ""
	for n := 0; ; n++ {
		err := i.Server.Post(ctx, what, body, answer)
		if err == nil || final(err) {
			return err
		}
		if text := err.Error(); text != told {
			told = text
			i.say("%s; asking on", text)
		}
		if err := i.Wait(ctx, patience(n)); err != nil {
			return err
		}
	}
}

// write writes the chosen disk, or its slot, and arms that.
func (i *Installer) write(ctx context.Context, c choice) (receipt string, err error) {
	path, request := i.device(c.disk.Name), writestream.Request{Disk: c.disk.Name, OldAt: c.disk.oldAt, OldSize: c.disk.old}
	var s Slots
	if c.keep {
		request = writestream.Request{Disk: c.disk.Name, Slot: true}
		s = i.Slots(path, otherSlot[c.disk.Slot])
		if err := s.Vacate(); err != nil {
			return "", err
		}
		if path, err = s.Device(c.disk.Slot); err != nil {
			return "", err
		}
	}
	m, err := i.Open(path, true)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	defer m.Close()
	request.Size = m.Size()
	if receipt, err = i.fetch(ctx, m, request); err != nil || !c.keep {
		return receipt, err
	}
	if err := s.Arm(c.disk.Slot, tries); err != nil {
		return "", err
	}
	i.say("slot %s is armed for %d tries; slot %s stays as it is", c.disk.Slot, tries, otherSlot[c.disk.Slot])
	return receipt, nil
}

// maxDamaged is how many streams in a row may be no write streams, before the
// server is taken to be at fault and not the line.
const maxDamaged = 3

// fetch has the server's stream obeyed, from its start again when that cannot be
// taken up where the line broke, see resumed.
func (i *Installer) fetch(ctx context.Context, m Medium, r writestream.Request) (receipt string, err error) {
	damaged := 0
	for n := 0; ; n++ {
		began := i.Now()
		if receipt, err = i.fetchOnce(ctx, m, r); err == nil {
			return receipt, nil
		}
		var broken mediumError
		if damaged++; !errors.Is(err, writestream.ErrFormat) {
			damaged = 0
		}
		if errors.As(err, &broken) || final(err) || ctx.Err() != nil || damaged == maxDamaged {
			return "", err
		}
		if i.Now().Sub(began) > time.Minute {
			n = 0 // it was a good line for a while
		}
		i.say("%v; the image is fetched anew in %v", err, patience(n))
		if err := i.Wait(ctx, patience(n)); err != nil {
			return "", err
		}
	}
}

func (i *Installer) fetchOnce(ctx context.Context, m Medium, r writestream.Request) (string, error) {
	stream := &resumed{i: i, ctx: ctx, what: "image?" + r.Query()}
	if err := stream.open(); err != nil {
		return "", err
	}
	defer stream.Close()
	p := &progress{i: i, ctx: ctx, disk: r.Disk}
	o := obeyer{medium: m, step: p.step}
	return o.obey(ctx, stream)
}

// leaveWord has the next boot, from the disk, tell the server of itself.
func (i *Installer) leaveWord(name string) error {
	if err := i.Reread(i.device(name)); err != nil {
		return err
	}
	d := i.describe(name)
	if len(d.parts) <= dataPart {
		return fmt.Errorf("disk %s has %d partitions, want %d", name, len(d.parts), dataPart+1)
	}
	word, err := json.Marshal(i.Server.File)
	if err != nil {
		return err
	}
	return i.KeepWord(i.device(d.parts[dataPart].name), append(word, '\n'))
}
