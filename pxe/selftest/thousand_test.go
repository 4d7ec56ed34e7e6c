package selftest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tench/internal/lab"
)

// TestThousandBoxes lets 1,000 boxes boot at once with the whole server: each
// asks for an address as a ROM and again as iPXE, fetches iPXE and its script by
// TFTP, kernel and initramfs by HTTP. None may be lost; meanwhile the operator's
// page and the metrics answer, and pages follow the events.
func TestThousandBoxes(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	r := bootThousand(t)
	t.Log(r)
	// A box has at once one transfer or one connection of HTTP, which is two.
	if most := 2*crowdSize + 200; r.goroutines > most {
		t.Errorf("%d goroutines at once, want %d at most", r.goroutines, most)
	}
	if r.left > 100 {
		t.Errorf("%d goroutines are left", r.left)
	}
	const most = 256 << 20
	if r.peak > most {
		t.Errorf("the server had %.1f MB at once, want %.1f at most", mb(r.peak), mb(most))
	}
}

// BenchmarkThousandBoxes has them boot once, and prints the whole server's memory:
// before anybody came and when all have what they need (PSS), and the most that
// there was (RSS).
func BenchmarkThousandBoxes(b *testing.B) {
	if !lab.Isolate(b) {
		return
	}
	r := bootThousand(b)
	for b.Loop() { // it has run
	}
	b.ReportMetric(mb(r.idle), "idle-MB")
	b.ReportMetric(mb(r.now), "after-MB")
	b.ReportMetric(mb(r.peak), "most-RSS-MB")
	b.ReportMetric(r.took.Seconds(), "s")
	b.ReportMetric(0, "ns/op")
}

// thousand is what a server of 1,000 boxes took.
type thousand struct {
	took             time.Duration
	idle, now        int64 // PSS in bytes, before and after
	peak             int64 // RSS
	goroutines, left int   // at most, and at the end
	events           int
	pages            *audience
}

func (r thousand) String() string {
	return fmt.Sprintf("%d boxes in %v; server: %.1f MB PSS before, %.1f MB after, %.1f MB RSS at most; %d goroutines at most, %d after; %d events to %d pages, slowest answer %v of %d",
		crowdSize, r.took.Round(time.Millisecond), mb(r.idle), mb(r.now), mb(r.peak), r.goroutines, r.left, r.events, followers, r.pages.slowest.Round(time.Millisecond), r.pages.answers)
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// bootThousand has 1,000 boxes boot from a server in another namespace.
func bootThousand(t testing.TB) thousand {
	t.Helper()
	const peer = "server"
	lab.NewPeer(t, peer)
	lab.Cable(t, clientDevice, peer, serverDevice)
	crowdNet(t, peer)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := lab.Spawn(t, peer, "env", crowdEnv+"="+t.TempDir(), exe)
	lab.Eventually(t, time.Minute, "the server listens", func() bool { return strings.Contains(server.Output(), readyWord) })
	var r thousand
	if r.idle, _, err = server.Memory(); err != nil {
		t.Fatal(err)
	}

	ctx, enough := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	r.pages = watch(ctx, t, &watching)
	began := time.Now()
	c := newCrowd(t)
	var booting sync.WaitGroup
	for i := range crowdSize {
		booting.Go(func() {
			if err := c.boot(crowdMAC(i)); err != nil {
				t.Errorf("box %d: %v", i, err)
			}
		})
	}
	booting.Wait()
	r.took = time.Since(began)
	lab.Eventually(t, 10*time.Second, "the page shows 1,000 boxes that start", func() bool { return starting(t) == crowdSize })
	enough()
	watching.Wait()
	if r.now, r.peak, err = server.Memory(); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err := fmt.Sscanf(server.Output(), readyWord+crowdWords, &r.goroutines, &r.left, &r.events); err != nil {
		t.Fatalf("the server said %q: %v", server.Output(), err)
	}
	return r
}
