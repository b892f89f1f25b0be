package exact_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
)

// forgetful returns the URL of a server that is the one of url, but for a part
// of each statement that is lost on the way: spaces are in its place.
func forgetful(t *testing.T, to, part string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go forget(client, server, part)
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

// forget carries one connection. The driver writes a statement at once, in
// less than the buffer holds.
func forget(client net.Conn, server, part string) {
	defer client.Close()
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer conn.Close()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, conn)
	}()
	spaces := []byte(strings.Repeat(" ", len(part)))
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(bytes.ReplaceAll(buffer[:n], []byte(part), spaces)); err != nil {
			return
		}
	}
}
