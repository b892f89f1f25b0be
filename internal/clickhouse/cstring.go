package clickhouse

import "unsafe"

// cStrings makes an argv: pointers to zero-terminated copies, with a null
// pointer at the end. The caller keeps it alive while C reads it.
func cStrings(args ...string) (argv []*byte, argc int) {
	for _, arg := range args {
		argv = append(argv, unsafe.SliceData(append([]byte(arg), 0)))
	}
	return append(argv, nil), len(args)
}

// goString copies a zero-terminated C string of at most 64 KiB.
func goString(address uintptr) string {
	if address == 0 {
		return "no message"
	}
	p := *(*unsafe.Pointer)(unsafe.Pointer(&address))
	n := 0
	for n < 64<<10 && *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
