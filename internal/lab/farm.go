package lab

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Server is a daemon on loopback that ends with the test.
type Server struct {
	Host string // address and port
	Log  string // the file with what it says
}

// Distccd starts a distccd. env is laid over this process's environment.
func Distccd(t testing.TB, env ...string) Server {
	t.Helper()
	s := newServer(t)
	// Started by root it becomes a user who cannot open a log here.
	s.start(t, env, "distccd", "--daemon", "--no-detach", "--allow", "127.0.0.1", "--listen", "127.0.0.1",
		"--port", s.port(), "--jobs", "2", "--log-stderr")
	return s
}

// Redis starts a redis-server that keeps nothing.
func Redis(t testing.TB) Server {
	t.Helper()
	s := newServer(t)
	s.start(t, nil, "redis-server", "--bind", "127.0.0.1", "--port", s.port(), "--save", "", "--appendonly", "no",
		"--dir", filepath.Dir(s.Log))
	return s
}

// newServer takes a port that is free now.
func newServer(t testing.TB) Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return Server{Host: l.Addr().String(), Log: filepath.Join(t.TempDir(), "log")}
}

func (s Server) port() string {
	_, port, _ := net.SplitHostPort(s.Host)
	return port
}

// start starts the daemon and waits until it answers.
func (s Server) start(t testing.TB, env []string, name string, args ...string) {
	t.Helper()
	log, err := os.Create(s.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		conn, err := net.Dial("tcp", s.Host)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) || len(ended) > 0 {
			said, _ := os.ReadFile(s.Log)
			t.Fatalf("lab: %s does not answer: %v\n%s", name, err, said)
		}
	}
}
