package door

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"tench/internal/lab"
	"tench/internal/remote"
)

// A line of 64 kbit/s whose packets take a second each way.
const (
	slowRate  = 8000 // bytes/s
	slowDelay = time.Second
	slowPiece = 1000 // bytes
)

// slowly carries what it reads at the rate and with the delay of a slow line. It
// takes no more ahead than such a line has on the way.
func slowly(to net.Conn, from net.Conn) {
	type piece struct {
		data []byte
		due  time.Time
	}
	onTheWay := make(chan piece, int(slowRate*slowDelay.Seconds())/slowPiece)
	go func() {
		defer close(onTheWay)
		var free time.Time // when the line takes the next piece
		for {
			data := make([]byte, slowPiece)
			n, err := from.Read(data)
			if err != nil {
				return
			}
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(n) * time.Second / slowRate)
			time.Sleep(time.Until(free))
			onTheWay <- piece{data[:n], free.Add(slowDelay)}
		}
	}()
	for p := range onTheWay {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
	_ = to.(*net.TCPConn).CloseWrite()
}

// The desk and the box talk over a satellite from an old modem, with settings
// under which a line that is silent for a quarter of a minute counts as dead.
func TestSlowLine(t *testing.T) {
	lab.Require(t)
	d := startDoor(t)
	port := lab.Listen(t, func(c *net.TCPConn) {
		up, err := net.Dial("tcp", d.address)
		if err != nil {
			return
		}
		defer up.Close()
		// Small buffers, or else the proxy would be the fast line.
		_ = c.SetReadBuffer(slowPiece)
		go slowly(up, c)
		slowly(c, up)
	})
	home := t.TempDir()
	lab.Keygen(t, home+"/key", "-t", "ed25519", "-N", "")
	public, err := os.ReadFile(home + "/key.pub")
	must(t, err)
	d.allow(t, strings.TrimSpace(string(public)))
	known := fmt.Sprintf("[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(d.host.signer.PublicKey()))
	must(t, os.WriteFile(home+"/known", []byte(known), 0o600))

	began := time.Now()
	c, err := remote.Dial(context.Background(), "127.0.0.1:"+port, remote.Options{Home: home, Identity: home + "/key", KnownHosts: home + "/known",
		Patience: 15 * time.Second})
	must(t, err)
	defer c.Close()
	login := time.Since(began)
	data := bytes.Repeat([]byte("0123456789abcdef"), 5_000)
	var out bytes.Buffer
	must(t, c.Run(context.Background(), "apply -", bytes.NewReader(data), remote.Output{Stdout: &out, Stderr: io.Discard}))
	if !bytes.HasPrefix(out.Bytes(), data) {
		t.Errorf("%d bytes came back of %d", out.Len(), len(data))
	}
	t.Logf("login %s; %d bytes there and back %s", login.Round(time.Millisecond), len(data), time.Since(began.Add(login)).Round(time.Millisecond))
}
