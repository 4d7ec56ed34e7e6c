package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBoardsConfigurations checks the router.toml that each board starts with.
func TestBoardsConfigurations(t *testing.T) {
	files, err := filepath.Glob("../boards/*/router.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("boards/*/router.toml: %d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(file, data)
		if err != nil {
			t.Errorf("Parse(%s) =\n%v", file, err)
		}
		if len(c.Interfaces) == 0 {
			t.Errorf("%s configures no interface", file)
		}
	}
}
