package web

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"tench/pxe/track"
)

// metrics writes the text format of Prometheus, 0.0.4. By hand: the client
// library is eight modules and 5 MB, for a page that is one snapshot of the table
// and keeps nothing between two requests.
func (d *desk) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	list, counts := d.Table.Snapshot(), d.Table.Counts()
	m := exposition{w}

	byStage, byState := map[track.Stage]int{}, map[track.State]int{}
	for _, b := range list {
		byStage[b.Stage]++
		if b.Install != nil {
			byState[b.Install.State]++
		}
	}
	m.family("tench_pxe_boxes", "gauge", "Boxes by what they are doing.")
	for _, s := range track.Stages() {
		m.sample("tench_pxe_boxes", float64(byStage[s]), "stage", s.String())
	}
	m.family("tench_pxe_armings", "gauge", "Armed boxes by how far they are.")
	for _, s := range track.States {
		m.sample("tench_pxe_armings", float64(byState[s]), "state", string(s))
	}
	m.family("tench_pxe_events_total", "counter", "What happened, by kind.")
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		m.sample("tench_pxe_events_total", float64(counts[kind]), "kind", string(kind))
	}

	// One box with no label but who it is, so that its graph does not break off
	// when something about it changes.
	perBox := func(name, help string, value func(track.Box) float64) {
		m.family(name, "gauge", help)
		for _, b := range list {
			m.sample(name, value(b), "box", b.MAC.String(), "name", b.Name)
		}
	}
	perBox("tench_pxe_box_stuck", "1 for a box that needs somebody to look at it.", func(b track.Box) float64 {
		if b.Diagnosis != "" {
			return 1
		}
		return 0
	})
	perBox("tench_pxe_box_seen_timestamp_seconds", "When the box was last heard of; 0 for never.", func(b track.Box) float64 {
		if b.Seen.IsZero() {
			return 0
		}
		return float64(b.Seen.UnixMilli()) / 1000
	})
	perBox("tench_pxe_box_done_bytes", "Of what the box fetches or writes.", func(b track.Box) float64 { return float64(b.Done) })
	perBox("tench_pxe_box_wanted_bytes", "All of what the box fetches or writes; 0 for not known.", func(b track.Box) float64 { return float64(b.Total) })
	perBox("tench_pxe_box_boots", "Boots since the box was armed.", func(b track.Box) float64 {
		if b.Install == nil {
			return 0
		}
		return float64(b.Install.Boots)
	})
}

// exposition writes families of metrics.
type exposition struct{ w io.Writer }

func (m exposition) family(name, kind, help string) {
	fmt.Fprintf(m.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// escapes are those of a label's value.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sample writes one value; labels are names and values in turn.
func (m exposition) sample(name string, value float64, labels ...string) {
	pairs := make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, labels[i]+`="`+escapes.Replace(labels[i+1])+`"`)
	}
	fmt.Fprintf(m.w, "%s{%s} %v\n", name, strings.Join(pairs, ","), value)
}
