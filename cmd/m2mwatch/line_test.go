package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestALineThatIsTooLongIsCutAndTheNextOneRead(t *testing.T) {
	in := "short\n" + strings.Repeat("x", 300_000) + "\nafter\n\nlast"
	r := bufio.NewReaderSize(strings.NewReader(in), 16)
	var got []int
	for {
		line, err := readLine(r, 1000)
		got = append(got, len(line))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{5, 1000, 5, 0, 4}; len(got) != len(want) || got[0] != 5 || got[1] != 1000 || got[2] != 5 || got[3] != 0 || got[4] != 4 {
		t.Errorf("lines of %v bytes, want %v", got, want)
	}
}

func TestCompletionsAreHarmless(t *testing.T) {
	for value, want := range map[string]bool{
		"app:invoice-sync\tInvoice Sync": true, "auth0|5f7c": true, "https://api.acme.example/": true, "seccft\tExchange (Client Credentials)": true,
		"x$(reboot)": false, "a;b": false, "a`b`": false, "a\x1b[2J": false, "a\tb\x1b": false, "a'b": false,
	} {
		if got := harmless(value); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
