package main

import (
	"bytes"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// What a server serves was said when it was started: who says it anew when a box
// is armed is told that it has no effect.
func TestArmOfAServerThatServesSomethingElse(t *testing.T) {
	state := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(state, "control"))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 10)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		_, _ = w.Write([]byte("{}"))
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	for _, flag := range []string{"--release=x", "--key=x.pub", "--unsigned"} {
		var out bytes.Buffer
		if code := run([]string{"pxe", "install", "gw0", "--state", state, flag}, nil, &out, &out); code != exitUsage {
			t.Errorf("%s: exit code %d, want %d:\n%s", flag, code, exitUsage, &out)
		}
		if got := <-asked; strings.Contains(got, "arm") || len(asked) > 0 {
			t.Errorf("%s: the server was asked for %s and %d more", flag, got, len(asked))
		}
	}
}
