package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tench/release/netboot"
)

// Console is where a person may be.
type Console struct {
	Out io.Writer
	// Ask reads a line that a person typed; nil where the console is locked.
	Ask func(ctx context.Context) (string, error)
}

// choice is what is to be written.
type choice struct {
	disk disk
	keep bool // only the slot disk.Slot of it
}

// settle is how long a disk may take to appear, during which a server that misses
// it is asked again, and lookAgain how often.
const (
	settle    = 20 * time.Second
	lookAgain = 2 * time.Second
)

// errAgain has the disks looked at again.
var errAgain = errors.New("look again")

// choose finds the disk to write, with the server and, where the server wants it,
// with a person.
func (i *Installer) choose(ctx context.Context) (choice, error) {
	began, shown := i.Now(), ""
	for {
		list, err := i.list()
		if err != nil {
			return choice{}, err
		}
		if text := fmt.Sprint(list); text != shown {
			shown = text
			i.show(list)
		}
		c, err := i.plan(ctx, list)
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, errAgain):
			began, shown = i.Now(), "" // a person took time, and may have plugged in another
		case conflict(err) && i.Now().Sub(began) < settle:
			if err := i.Wait(ctx, lookAgain); err != nil {
				return choice{}, err
			}
		default:
			return choice{}, err
		}
	}
}

func (i *Installer) show(list []disk) {
	if len(list) == 0 {
		i.say("there is no disk yet")
	}
	for _, d := range list {
		i.say("disk %v", d)
	}
}

// plan asks the server, and a person where it says so.
func (i *Installer) plan(ctx context.Context, list []disk) (choice, error) {
	q := netboot.Question{Disks: []netboot.Disk{}, Hardware: netboot.Hardware(i.hardware())}
	for _, d := range list {
		q.Disks = append(q.Disks, d.Disk)
	}
	var plan netboot.Plan
	if err := i.insist(ctx, "plan", q, &plan); err != nil {
		return choice{}, err
	}
	d, err := i.agree(ctx, list, plan)
	if err != nil {
		return choice{}, err
	}
	// A person takes time, in which disks come and go: names are given anew.
	if now := i.describe(d.Name); now.Refused != "" || now.Serial != d.Serial || now.Size != d.Size || now.Content != d.Content {
		i.say("disk %s is not any more what it was", d.Name)
		return choice{}, errAgain
	}
	return choice{d, d.Slot != "" && d.Board == i.Board && !plan.Wipe}, nil
}

// agree is the disk that the plan means.
func (i *Installer) agree(ctx context.Context, list []disk, plan netboot.Plan) (disk, error) {
	may := slices.DeleteFunc(slices.Clone(list), func(d disk) bool { return plan.Disk != "" && d.Name != plan.Disk })
	if plan.Disk != "" && len(may) == 0 {
		return disk{}, fmt.Errorf("the server names disk %q, and there is none", plain(plan.Disk))
	}
	if plan.Disk != "" && may[0].Refused != "" {
		return disk{}, fmt.Errorf("disk %s is not written: %s", may[0].Name, may[0].Refused)
	}
	if plan.Ask == "" && plan.Disk == "" {
		return disk{}, errors.New("the server's plan names no disk")
	}
	if plan.Ask == "" {
		return may[0], nil
	}
	words := plain(plan.Ask)
	if i.Console.Ask == nil {
		return disk{}, fmt.Errorf("the server asks on the console, which is locked on this board: %s\nhint: name the disk's serial number in boxes.toml", words)
	}
	i.tell(ctx, netboot.Progress{Stage: netboot.Confirm, Text: words})
	i.say("%s", words)
	return i.ask(ctx, slices.DeleteFunc(may, func(d disk) bool { return d.Refused != "" }))
}

// ask has a person name one of the disks.
func (i *Installer) ask(ctx context.Context, may []disk) (disk, error) {
	for {
		fmt.Fprint(i.Console.Out, "To write a disk, type the last four characters of its serial number, or its name\n"+
			"where it has none. An empty line looks again: ")
		typed, err := i.Console.Ask(ctx)
		if err != nil {
			return disk{}, fmt.Errorf("ask on the console: %w", err)
		}
		typed = strings.TrimSpace(typed)
		if typed == "" {
			return disk{}, errAgain
		}
		var meant []disk
		for _, d := range may {
			if strings.EqualFold(typed, d.answer()) || d.Serial != "" && strings.EqualFold(typed, d.Serial) {
				meant = append(meant, d)
			}
		}
		switch len(meant) {
		case 1:
			i.Log("disk %s was confirmed on the console", meant[0].Name)
			return meant[0], nil
		case 0:
			i.say("no disk that may be written answers to %q", plain(typed))
		default:
			i.say("%d disks answer to %q: type the whole serial number, or unplug one", len(meant), plain(typed))
		}
	}
}
