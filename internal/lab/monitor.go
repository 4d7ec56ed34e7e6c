package lab

import (
	"encoding/json"
	"net"
	"testing"
	"time"
)

// monitorTime bounds the wait for an answer of QEMU's monitor.
const monitorTime = time.Minute

// Monitor gives a running QEMU a command on its monitor, e.g. "device_add" with
// its arguments. path is the socket of `-qmp unix:PATH,server=on,wait=off`; the
// protocol is QMP (QEMU, docs/interop/qmp-spec).
func Monitor(t testing.TB, path, command string, arguments map[string]any) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("lab: monitor: %v", err)
	}
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(monitorTime)))
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var message struct {
		QMP, Return json.RawMessage
		Error       *struct{ Desc string }
	}
	must(t, in.Decode(&message)) // QEMU's greeting
	for _, m := range []map[string]any{{"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}} {
		must(t, out.Encode(m))
		// Events come in between.
		for message.Return = nil; message.Return == nil; {
			must(t, in.Decode(&message))
			if message.Error != nil {
				t.Fatalf("lab: monitor: %s: %s", command, message.Error.Desc)
			}
		}
	}
}
