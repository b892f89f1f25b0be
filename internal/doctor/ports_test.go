package doctor

import (
	"net"
	"testing"
)

func TestPortsAreFreeOrTakenByTheInstance(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := settings(t)
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateOK, "any that is free")
	s.Listen = ln.Addr().String()
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "in use by another process")
	s.WebhookListen = "203.0.113.1:8081"
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "no address of this machine")
	s.WebhookListen = ""
	(&instance{}).run(t, s)
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateOK, "taken while the instance runs")
	ln.Close()
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateWarn, "nobody listens on")
	s.Data = settings(t).Data
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateOK, "is free")
}
