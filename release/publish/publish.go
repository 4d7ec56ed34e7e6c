// Package publish puts a release's directory into a tree that a TFTP or HTTP
// server reads, here or on a host over SSH, and takes it back by one command.
//
//	publish.go   Publish: the story
//	source.go    the release's directory here, and SHA256
//	send.go      what is missing there, sent and verified
//	tree.go      Tree: its layout, the switch, old releases
//	rollback.go  Rollback
//	lock.go      one publisher at a time
//	store.go     the file operations that all of this needs
//	local.go     … in a local folder
//	remote.go    … on a host over SFTP
//	remotesum.go … hashes there
//	dest.go      where: a folder, ssh://…, user@host:path
//	ssh.go       the connection, by internal/remote
//
// A tree:
//
//	current -> releases/2026.11   what a server shows
//	releases/2026.11/             a whole release, read-only
//	releases/.2026.12.partial/    half sent: the next run goes on with it
//	releases/.2026.11.before      a link whose target is the release that was
//	                              current before: what a rollback goes back to
//	releases/.2026.08.gone/       half removed
//	.lock                         a link whose target says who is publishing
//
// A release appears under its name only when every file of it has been verified
// where it lies, and becomes current when a new link is renamed over `current`,
// which rename(2) and posix-rename@openssh.com do in one step. So a reader that
// goes through `current` finds the old release or the new one, whole, and never
// nothing; who opens one file after the other may get them of both. No release is removed before the switch; one that may go afterwards is
// renamed to a dot name first. A run that was killed at any point leaves a tree
// that serves, and the next run goes on from there.
//
// Names that begin with a dot are this package's; other names beside `current`
// and `releases` are let be.
package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Reporter hears how the work goes.
type Reporter interface {
	Start(step, detail string)
	Progress(done, total int64, unit string)
	Note(step, text string) // a line that stays
	Warn(text string)
}

// Options say how to publish.
type Options struct {
	Keep      int // whole releases that stay, 1 or more; current and the one before it always do
	BreakLock bool
	DryRun    bool // look, count and tell; change nothing
	Owner     Owner
	Now       func() time.Time
	Report    Reporter

	// Signature checks SHA256.sig against SHA256; nil asks for no signature.
	Signature func(sums, sig []byte) error
}

// Publish brings the release into the tree and makes it current.
func (t *Tree) Publish(ctx context.Context, src *Source, o Options) (err error) {
	if o.DryRun {
		return t.foretell(ctx, src, o)
	}
	defer t.naming(&err)
	if err := t.found(); err != nil {
		return err
	}
	l, err := t.lock(o)
	if err != nil {
		return err
	}
	defer l.release(&err)

	if err := t.sweep(); err != nil {
		return err
	}
	now, err := t.look()
	if err != nil {
		return err
	}
	there := now.has(src.Name)
	if there {
		err = t.confirm(ctx, src, o)
	} else {
		err = t.deliver(ctx, src, o)
	}
	if err != nil {
		return err
	}
	if err := l.held(); err != nil {
		return err
	}
	if !there {
		if err := t.finish(src); err != nil {
			return err
		}
	}
	if now.current == src.Name {
		o.Report.Note("switch", src.Name+" is current already")
	} else if err := t.replace(now.current, src.Name); err != nil {
		return err
	} else {
		o.Report.Note("switch", "current is "+src.Name+was(now.current))
	}
	return t.prune(l, o)
}

func was(name string) string {
	if name == "" {
		return ""
	}
	return ", was " + name
}

// foretell says what Publish would do.
func (t *Tree) foretell(ctx context.Context, src *Source, o Options) (err error) {
	defer t.naming(&err)
	now, err := t.look()
	if err != nil {
		return err
	}
	if _, err := t.store.Lstat(".."); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w\nhint: the folder above it must be there, and this user must be allowed to write to it", err)
	}
	if now.has(src.Name) {
		if err := t.confirm(ctx, src, o); err != nil {
			return err
		}
	} else {
		parts, err := t.compare(ctx, src, partial(src.Name), o.Report)
		if err != nil {
			return err
		}
		if err := t.announce(src, parts, o.Report); err != nil {
			return err
		}
	}
	if now.current == src.Name {
		o.Report.Note("dry run", src.Name+" is current already")
	} else {
		o.Report.Note("dry run", src.Name+" would become current"+was(now.current))
		now = now.switched(src.Name)
	}
	for _, name := range now.surplus(o.Keep) {
		o.Report.Note("dry run", name+" would be removed")
	}
	return nil
}

// naming puts the tree before an error.
func (t *Tree) naming(err *error) {
	if *err != nil {
		*err = fmt.Errorf("publish: %s: %w", t.store, *err)
	}
}
