package install

import (
	"context"
	"time"

	"tench/release/netboot"
)

const (
	// everyPercent is how often a line is written: a console with 9600 bit/s takes
	// a tenth of a second for one.
	everyPercent = 5
	// everyPost is how often the server is told within a stage, and pauseAfter how long it is not
	// told again when it did not answer: the image comes first.
	everyPost  = 2 * time.Second
	pauseAfter = 20 * time.Second
	postLimit  = 3 * time.Second
	// worthTelling is the least a phase has in bytes to be told of.
	worthTelling = 4 << 20
)

// words are the stages for the console.
var words = map[netboot.Stage]string{netboot.Write: "written", netboot.Check: "read back"}

// progress tells of one stream.
type progress struct {
	i    *Installer
	ctx  context.Context // of the install
	disk string

	stage   netboot.Stage
	began   time.Time // of the stage
	percent int64     // that was said last
	next    time.Time // when the server is told next
}

// step is called after each piece; done and total are bytes.
func (p *progress) step(stage netboot.Stage, done, total int64) {
	// What makes the disk boot is written after all else was read back: no news.
	if total < worthTelling || stage == netboot.Write && p.stage == netboot.Check {
		return
	}
	now := p.i.Now()
	if stage != p.stage {
		p.stage, p.began, p.percent, p.next = stage, now, 0, now
	}
	percent := done * 100 / total
	if percent/everyPercent > p.percent/everyPercent {
		p.percent = percent
		rate := ""
		if s := now.Sub(p.began).Seconds(); s > 0 {
			rate = size(int64(float64(done)/s)) + "/s"
		}
		p.i.say("disk %s: %d %% %s, %s of %s  %s", p.disk, percent, words[stage], size(done), size(total), rate)
	}
	if now.Before(p.next) && done < total {
		return
	}
	p.next = now.Add(everyPost)
	ctx, cancel := context.WithTimeout(p.ctx, postLimit)
	defer cancel()
	if err := p.i.Server.Post(ctx, "progress", netboot.Progress{Stage: stage, Done: done, Total: total}, nil); err != nil {
		p.i.Log("%v", err)
		p.next = now.Add(pauseAfter)
	}
}
