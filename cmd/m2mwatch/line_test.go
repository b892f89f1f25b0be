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
