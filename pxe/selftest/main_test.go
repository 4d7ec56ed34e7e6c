package selftest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tench/boards"
	"tench/pxe"
	"tench/pxe/dhcp"
	"tench/pxe/event"
	"tench/release/audit"
	"tench/release/netboot"
)

// crowdEnv makes the crowd's server of the test's program: its value is the
// server's folder.
const crowdEnv = "TENCH_PXE_CROWD"

// crowdWords is what that says of itself at its end.
const crowdWords = "goroutines %d, at the end %d, events %d\n"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crowdEnv); dir != "" {
		if err := serveCrowd(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveCrowd serves the crowd until it gets a SIGTERM.
func serveCrowd(dir string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o, err := crowdOptions(dir)
	if err != nil {
		return err
	}
	if o.Interface, err = net.InterfaceByName(serverDevice); err != nil {
		return err
	}
	s, err := pxe.Listen(ctx, o)
	if err != nil {
		return err
	}
	for i := range crowdSize {
		if _, err := s.Arm(ctx, pxe.Request{Box: crowdName(i), Mode: netboot.Run}); err != nil {
			return err
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	most := make(chan int)
	go func() { most <- sample(stop) }()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	fmt.Print(readyWord)
	select {
	case err := <-served:
		return fmt.Errorf("the server ended: %w", err)
	case n := <-most:
		fmt.Printf(crowdWords, n, runtime.NumGoroutine(), counter.Load())
	}
	cancel()
	return <-served
}

// sample returns the most goroutines that there were, once stop has a value.
func sample(stop <-chan os.Signal) (most int) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return most
		case <-tick.C:
			most = max(most, runtime.NumGoroutine())
		}
	}
}

func crowdName(i int) string { return fmt.Sprintf("box-%04d", i) }

// crowdOptions are those of the self-test with a longer list, and one product for
// all.
func crowdOptions(dir string) (pxe.Options, error) {
	const boardsDir = "../../boards"
	o, err := options(boardsDir, dir)
	if err != nil {
		return o, err
	}
	var list strings.Builder
	list.WriteString("[box]\n")
	for i := range crowdSize {
		fmt.Fprintf(&list, "%s = {mac = [%q], board = \"qemu-amd64\"}\n", crowdName(i), crowdMAC(i))
	}
	if err := write(o.Boxes, []byte(list.String())); err != nil {
		return o, err
	}
	o.Mode, o.Address, o.Page = dhcp.Full, crowdAddress, crowdPage
	o.Sink = func(event.Event) { counter.Add(1) }
	product := sync.OnceValues(func() (pxe.Product, error) {
		b, err := boards.Load(boardsDir, "qemu-amd64")
		if err != nil {
			return pxe.Product{}, err
		}
		build, err := writeBuild(filepath.Join(dir, "out"), b.Name, crowdKernel, crowdInitrd)
		if err != nil {
			return pxe.Product{}, err
		}
		files, err := pxe.OpenProducts(context.Background(), build, audit.Options{})
		return pxe.Product{Board: b, Args: []string{"console=ttyS0,115200"}, Router: []byte("hostname = \"test\"\n"), Files: files}, err
	})
	o.Product = func(context.Context, string) (pxe.Product, error) { return product() }
	return o, nil
}
