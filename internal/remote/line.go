package remote

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"tench/internal/sshline"
)

// DeadLine is the error of a line that fell silent.
type DeadLine struct{ Silent time.Duration }

func (e DeadLine) Error() string {
	return fmt.Sprintf("nothing came from the host for %s: the line is dead", e.Silent)
}

// explain names the line, if it is the cause.
func explain(l *sshline.Conn, err error) error {
	if err != nil && l.Dead() {
		return DeadLine{l.Patience()}
	}
	return err
}

// explainLogin says what can be done about a login that failed.
func explainLogin(l *sshline.Conn, err error) error {
	err = explain(l, err)
	var algorithms *ssh.AlgorithmNegotiationError
	var dead DeadLine
	switch {
	case errors.As(err, &dead) && !l.Heard():
		return fmt.Errorf("ssh: log in: %w\nhint: something took the connection but says nothing: is it an SSH server?", err)
	case errors.As(err, &dead):
		return fmt.Errorf("ssh: log in: %w\nhint: try again; on a bad line, more often", err)
	case errors.As(err, &algorithms):
		return fmt.Errorf("ssh: log in: %w\nhint: the host knows none of today's algorithms: it needs newer software", err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("ssh: log in: the host closed the connection: %w\nhint: it may have seen too many connections: try again in a minute", err)
	}
	return err
}
