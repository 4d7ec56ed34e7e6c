package web

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"tench/internal/lab"
)

// promReader prints what Prometheus's own library for Python reads of a page of
// metrics, as JSON.
const promReader = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
json.dump([{"name": f.name, "type": f.type, "help": f.documentation,
            "samples": [{"name": s.name, "labels": s.labels, "value": s.value} for s in f.samples]} for f in read(sys.stdin.read())], sys.stdout)
`

// debianPython has Debian's modules, which another python3 in PATH may lack.
const debianPython = "/usr/bin/python3"

type promFamily struct {
	Name, Type, Help string
	Samples          []struct {
		Name   string
		Labels map[string]string
		Value  float64
	}
}

func readByProm(t *testing.T, text string) []promFamily {
	t.Helper()
	cmd := exec.Command(debianPython, "-c", promReader)
	cmd.Stdin = strings.NewReader(text)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Prometheus's library reads none of it: %v\n%s", err, errs.String())
	}
	var list []promFamily
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestMetricsReadByOthers has a library that is not ours read the page.
func TestMetricsReadByOthers(t *testing.T) {
	lab.Require(t, debianPython)
	b, s := newDesk(t)
	b.stir()
	text, _ := get(t, s.URL+"/metrics")
	var hostile bytes.Buffer
	const label = "a\"b\\c\nd {},=#\\n"
	exposition{&hostile}.family("tench_x", "gauge", "A test.")
	exposition{&hostile}.sample("tench_x", 1.5, "name", label, "box", "b")
	got, types := map[string]float64{}, map[string]string{}
	for _, f := range readByProm(t, text+hostile.String()) {
		types[f.Name] = f.Type
		if f.Help == "" {
			t.Errorf("%s is not explained", f.Name)
		}
		for _, s := range f.Samples {
			key, err := json.Marshal(s.Labels) // sorted
			if err != nil {
				t.Fatal(err)
			}
			name := s.Name + string(key)
			if _, twice := got[name]; twice {
				t.Errorf("%s is there twice", name)
			}
			got[name] = s.Value
			if f.Name == "tench_x" && (s.Labels["name"] != label || s.Labels["box"] != "b") {
				t.Errorf("the label %q was read as %q", label, s.Labels["name"])
			}
		}
	}
	for sample, want := range map[string]float64{
		`tench_pxe_boxes{"stage":"kernel"}`: 1, `tench_pxe_boxes{"stage":"confirm"}`: 1, `tench_pxe_boxes{"stage":"healthy"}`: 0, `tench_pxe_armings{"state":"booting"}`: 1,
		`tench_pxe_events_total{"kind":"discover"}`: 2, `tench_pxe_box_done_bytes{"box":"52:54:00:00:00:01","name":"gw0"}`: 43, `tench_pxe_box_stuck{"box":"02:01:00:00:00:00","name":""}`: 1,
	} {
		if value, ok := got[sample]; !ok || value != want {
			t.Errorf("%s = %v, %t; want %v", sample, value, ok, want)
		}
	}
	for family, want := range map[string]string{"tench_pxe_boxes": "gauge", "tench_pxe_events": "counter", "tench_pxe_box_boots": "gauge"} {
		if types[family] != want {
			t.Errorf("%s is a %q, want a %s", family, types[family], want)
		}
	}
	samples := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			samples++
		}
	}
	if len(got) != samples+1 {
		t.Errorf("%d samples were read, of %d lines", len(got), samples+1)
	}
}
