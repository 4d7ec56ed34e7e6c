package farm

import (
	"os"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		farm   Farm
		strict bool
		want   string // "" for no error
	}{
		"none":                       {},
		"none, strict":               {strict: true},
		"strict":                     {Farm{Storage: "file:/mnt/ccache"}, true, "farm: a strict build"},
		"file":                       {Farm{Storage: "file:/mnt/ccache"}, false, ""},
		"with attributes":            {Farm{Storage: "file:///a|read-only http://b:80/c|layout=bazel"}, false, ""},
		"relative":                   {Farm{Storage: "file:mnt"}, false, "needs an absolute path"},
		"another host's file":        {Farm{Storage: "file://host/mnt"}, false, "needs an absolute path"},
		"no host":                    {Farm{Storage: "redis:/x"}, false, "it names no host, e.g. redis://farm"},
		"no socket":                  {Farm{Storage: "redis+unix:"}, false, "it names no socket"},
		"https":                      {Farm{Storage: "https://a"}, false, `TENCH_CCACHE_REMOTE: "https" is not one of file, http, redis, redis+unix`},
		"only a host":                {Farm{Storage: "farm"}, false, `"" is not one of`},
		"zeroconf":                   {Farm{Hosts: "+zeroconf"}, false, `TENCH_DISTCC_HOSTS: "+zeroconf": only hosts that are named`},
		"pump mode":                  {Farm{Hosts: "a,lzo,cpp"}, false, "leave out cpp"},
		"host without name":          {Farm{Hosts: "a ,lzo"}, false, "it names no host"},
		"password in a wrong URL":    {Farm{Storage: "ftp://me:hush@a"}, false, "is not one of"},
		"password without a host":    {Farm{Storage: "file://me:hush@a"}, false, "file://me:xxxxx@a"},
		"password alone":             {Farm{Storage: "redis+unix://hush@localhost"}, false, "redis+unix://xxxxx@localhost: it names no socket"},
		"password in a broken URL":   {Farm{Storage: "redis://me:hush@a:x%"}, false, "it has no valid URL"},
		"the second of two is wrong": {Farm{Storage: "file:/a file:b"}, false, "needs an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.farm.Check(tc.strict)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				if tc.want == "" && strings.Contains(err.Error(), "this machine lacks") && os.Getenv("TENCH_LAB") != "yes" {
					t.Skip(err)
				}
				t.Fatalf("Check = %v, want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("%v shows a password", err)
			}
		})
	}
}

func TestEnvNamesOnlyWhatThereIs(t *testing.T) {
	for name, tc := range map[string]struct {
		farm       Farm
		has, lacks string
	}{
		"none":    {Farm{}, "CCACHE_DIR=/cache/ccache", "DISTCC"},
		"storage": {Farm{Storage: "redis://a"}, "CCACHE_REMOTE_STORAGE=redis://a", "DISTCC"},
		"hosts":   {Farm{Hosts: "a b"}, "CCACHE_PREFIX=distcc DISTCC_HOSTS=a b DISTCC_DIR=/cache/distcc", "REMOTE"},
	} {
		env := strings.Join(tc.farm.Env("/cache/ccache"), " ")
		if !strings.Contains(env, tc.has) || strings.Contains(env, tc.lacks) {
			t.Errorf("%s: Env = %s, want it with %q and without %q", name, env, tc.has, tc.lacks)
		}
	}
}

func TestStorages(t *testing.T) {
	dir := t.TempDir()
	states := Farm{Storage: "file:" + dir + "/not/yet redis+unix:" + dir + "/socket"}.Storages(t.Context())
	if len(states) != 2 || states[0].Err != nil || states[1].Err == nil {
		t.Errorf("Storages = %v, want one that can be reached and one that cannot", states)
	}
	if got := (Farm{Storage: "redis://hush@127.0.0.1:1"}).Storages(t.Context()); len(got) != 1 || got[0].What != "redis://xxxxx@127.0.0.1:1" {
		t.Errorf("Storages = %v, want a storage without its password", got)
	}
}
