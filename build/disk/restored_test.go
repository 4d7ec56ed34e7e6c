package disk

import (
	"path"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/backup"
)

func TestRestoredBox(t *testing.T) {
	files := RestoredBox(backup.Archive{
		Generations: []backup.Generation{{Number: 3, Data: []byte("x"), Notes: []byte("{}")}}, Current: 3,
		Identity: []backup.File{{Path: "secrets/wan", Data: []byte("s")}},
	})
	var got []string
	made := map[string]bool{".": true}
	for _, f := range files {
		got = append(got, f.Mode.String()+" "+f.Path+" "+string(f.Content))
		if !dataPathRE.MatchString(f.Path) || !made[path.Dir(f.Path)] {
			t.Errorf("%s: a bad name, or its folder is not there yet", f.Path)
		}
		made[f.Path] = f.Mode.IsDir()
	}
	want := []string{
		"drwx------ config ", "drwx------ config/3 ", "drwx------ identity ", "drwx------ identity/secrets ", "drwx------ state ",
		"-rw------- config/3/router.toml x", "-rw------- config/3/about.json {}", "-rw------- config/current 3\n",
		"-rw------- identity/secrets/wan s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("RestoredBox (-want +got):\n%s", diff)
	}
}
