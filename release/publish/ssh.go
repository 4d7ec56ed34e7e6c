package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pkg/sftp"

	"tench/internal/remote"
)

const (
	probeTime = 15 * time.Second // for a command of no work
	graceTime = 5 * time.Second  // to give back the lock after an interrupt
	inFlight  = 32               // requests of 32 KiB: 1 MiB, 10 MB/s at 100 ms
)

// dial connects to the host and finds out what it can do.
func dial(ctx context.Context, d Dest, o remote.Options) (*overSSH, error) {
	o.Grace = graceTime
	client, err := remote.Dial(ctx, d.host().String(), o)
	if err != nil {
		return nil, err
	}
	r, err := newOverSSH(client, d)
	if err != nil {
		client.Close()
		return nil, explain(client, err)
	}
	return r, nil
}

// newOverSSH starts SFTP.
func newOverSSH(client *remote.Client, d Dest) (*overSSH, error) {
	c, err := sftp.NewClient(client.SSH(), sftp.MaxConcurrentRequestsPerFile(inFlight))
	if err != nil {
		return nil, fmt.Errorf("start sftp: %w\nhint: does its sshd_config have \"Subsystem sftp internal-sftp\"?", err)
	}
	if _, ok := c.HasExtension("posix-rename@openssh.com"); !ok {
		return nil, errors.New("its SFTP server has no posix-rename@openssh.com, without which a link cannot be replaced in one step\nhint: OpenSSH's has it")
	}
	r := &overSSH{client: client, sftp: c, dest: d}
	r.findHasher()
	return r, nil
}

// explain names the line, if it is the cause.
func explain(client *remote.Client, err error) error {
	const goesOn = "hint: the same command goes on where this one stopped"
	cause := client.Cause(err)
	switch {
	case cause != err:
		return fmt.Errorf("%w\n%s", cause, goesOn)
	case errors.Is(err, sftp.ErrSSHFxConnectionLost):
		return fmt.Errorf("the connection was lost: %w\n%s", err, goesOn)
	}
	return err
}
