package main

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/build"
	"tench/build/source"
	"tench/release"
)

func TestUpdateRows(t *testing.T) {
	at := func(url string) release.Location { return release.Location{URL: url} }
	for name, tc := range map[string]struct {
		candidates []source.Candidate
		want       [][2]string
	}{
		"newer at two places": {[]source.Candidate{{Location: at("a"), Version: "2"}, {Location: at("b")}, {Location: at("c"), Version: "3"}},
			[][2]string{{"2", "a"}, {"3", "c"}}},
		"nothing newer, one silent": {[]source.Candidate{{Location: at("a"), Err: errors.New("404")}, {Location: at("b")}}, [][2]string{{"-", ""}}},
		"newer, one silent":         {[]source.Candidate{{Location: at("a"), Err: errors.New("404")}, {Location: at("b"), Version: "2"}}, [][2]string{{"2", "b"}}},
		"nobody answers": {[]source.Candidate{{Location: at("a"), Err: errors.New("404\nhint: x")}, {Location: at("b"), Err: errors.New("500")}},
			[][2]string{{"unknown", "a: 404"}}},
		"apt-get fails": {[]source.Candidate{{Location: at("a"), Err: errors.New("apt-get update: exit status 100\nE: File has unexpected size\nE: ignored")}},
			[][2]string{{"unknown", "a: apt-get update: exit status 100: File has unexpected size"}}},
		"none to ask": {nil, [][2]string{{"unknown", "its locations have no versions"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, updateRows(build.Update{Candidates: tc.candidates})); diff != "" {
				t.Errorf("updateRows (-want +got)\n%s", diff)
			}
		})
	}
}
